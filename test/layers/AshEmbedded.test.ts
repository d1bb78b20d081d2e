import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { networkInterfaces, tmpdir } from "node:os"
import * as AgentScript from "../../src/embedded/AgentScript.ts"
import * as AshEmbedded from "../../src/layers/AshEmbedded.ts"
import * as AshNode from "../../src/layers/AshNode.ts"
import { Agents } from "../../src/services/Agents.ts"
import { QueueItems } from "../../src/services/QueueItems.ts"
import { SessionFiles } from "../../src/services/SessionFiles.ts"
import { Sessions } from "../../src/services/Sessions.ts"
import { patiently } from "../support/clock.ts"

const says = (text: string): AgentScript.AgentScript => () => Stream.make(AgentScript.say(text))
const quirks = { content: "intact" } as const

const ask = Effect.fnUntraced(function*(agent: string, prompt: string) {
  const session = yield* (yield* Sessions).open({ agent })
  return (yield* session.ask(prompt)).text
}, Effect.scoped)

const layers = [["layer", AshEmbedded.layer], ["layerHttp", AshEmbedded.layerHttp]] as const

it.effect.each(layers)(
  "%s fails where the system refuses its files a folder",
  ([name, layer]) =>
    Effect.gen(function*() {
      const { TMPDIR } = process.env
      process.env["TMPDIR"] = `${tmpdir()}/no-such-folder`
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => TMPDIR === undefined ? delete process.env["TMPDIR"] : process.env["TMPDIR"] = TMPDIR)
      )
      const { operation, reason } = yield* Effect.flip(Effect.provide(Agents, layer()))
      assert.strictEqual(operation, `AshEmbedded.${name}`)
      assert(reason._tag === "InvalidRequest")
      assert.strictEqual(reason.field, "TMPDIR")
      assert.match(reason.message, /ENOENT: .*no-such-folder/)
    })
)

describe.each(layers)("agents of %s", (called, layer) => {
  it.effect("are there from the start, each with its script, or else with that of all", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual((yield* (yield* Agents).list()).map(({ name }) => name), [
        "constructor",
        "plain",
        "weather"
      ])
      assert.strictEqual(yield* ask("weather", "How is it?"), "sunny")
      assert.strictEqual(yield* ask("plain", "How is it?"), "as all")
      assert.strictEqual(yield* ask("constructor", "How is it?"), "as all")
    }).pipe(Effect.provide(layer({
      agents: { weather: { script: says("sunny") }, plain: {}, constructor: {} },
      script: says("as all"),
      quirks
    }))))

  it.effect("have their prompt, their files and their environment", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* ask("weather", "How is it?"), "Be brief.|{}|there")
    }).pipe(Effect.provide(layer({
      agents: {
        weather: {
          systemPrompt: "Be brief.",
          files: [{ path: "data/today.json", content: "{}" }],
          env: { PLACE: "there" },
          script: ({ agent, workspace }) =>
            Stream.fromEffect(Effect.gen(function*() {
              const { stdout } = yield* workspace.exec("printf '|%s|%s' \"$(cat data/today.json)\" \"$PLACE\"")
              return AgentScript.say(agent.systemPrompt + stdout)
            }))
        }
      },
      quirks
    }))))

  it.effect.each(["", "two words", "../x", "a".repeat(256)])(
    "of a bad name are refused: %j",
    (name) =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(Layer.build(layer({ agents: { [name]: {} } })))
        assert.strictEqual(error.reason._tag, "InvalidRequest")
        const field = `agents[${JSON.stringify(name)}]`
        assert.strictEqual(error.reason._tag === "InvalidRequest" && error.reason.field, `${field}.name`)
        assert.include(error.message, `AshEmbedded.${called}: ${field}: name must be`)
      }).pipe(Effect.scoped)
  )
})

describe("what was asked", () => {
  it.effect("is recorded in order, with its options and the files of its workspace", () =>
    Effect.gen(function*() {
      const asked = yield* AshEmbedded.AskedTurns
      assert.deepStrictEqual(yield* asked.all, [])
      const session = yield* (yield* Sessions).open({ agent: "weather" })
      yield* session.ask("first", { model: "m", maxTurns: 3 })
      yield* (yield* SessionFiles).write(session.id, [{ path: "data/a.csv", content: "1,2" }])
      yield* session.ask("second")
      const turns = yield* asked.all
      assert.deepStrictEqual(turns.map(({ files, prompt }) => [prompt, files]), [
        ["first", ["CLAUDE.md"]],
        ["second", ["CLAUDE.md", "data/a.csv"]]
      ])
      assert.deepInclude(turns[0]?.options, { model: "m", maxTurns: 3 })
      assert.strictEqual(yield* turns[1]!.workspace.readFile("data/a.csv"), "1,2")
      assert.deepStrictEqual(turns.map((turn) => turn.session.id), [session.id, session.id])
    }).pipe(
      Effect.scoped,
      Effect.provide(AshEmbedded.layer({ agents: { weather: {} }, script: says("sunny"), quirks }))
    ))

  it.effect("of turns at once is all there, though they end in another order", () =>
    Effect.gen(function*() {
      const names = Array.from({ length: 10 }, (_, index) => `prompt ${index}`)
      yield* Effect.forEach(names, (name) => ask("weather", name), { concurrency: "unbounded" })
      const turns = yield* (yield* AshEmbedded.AskedTurns).all
      assert.deepStrictEqual(turns.map(({ prompt }) => prompt).toSorted(), names)
    }).pipe(Effect.provide(AshEmbedded.layer({ agents: { weather: {} }, script: says("sunny"), quirks }))))

  it.effect("is waited for, where it is asked in the background", () =>
    Effect.gen(function*() {
      const asked = yield* AshEmbedded.AskedTurns
      const queue = yield* QueueItems
      const waiting = yield* Effect.forkChild(asked.first(2))
      yield* queue.enqueue({ agentName: "weather", prompt: "one" })
      yield* queue.enqueue({ agentName: "weather", prompt: "two" })
      assert.deepStrictEqual((yield* patiently(waiting)).map(({ prompt }) => prompt), ["one", "two"])
      assert.deepStrictEqual((yield* asked.first(1)).map(({ prompt }) => prompt), ["one"])
    }).pipe(Effect.provide(AshEmbedded.layer({ agents: { weather: {} }, script: says("sunny") }))))

  it.effect("of one server is in no other's record", () =>
    Effect.gen(function*() {
      const options = { agents: { weather: {} }, script: says("sunny"), quirks }
      const asked = Effect.flatMap(AshEmbedded.AskedTurns, ({ all }) => Effect.map(all, ({ length }) => length))
      const first = yield* Layer.build(AshEmbedded.layer(options))
      const second = yield* Layer.build(AshEmbedded.layer(options))
      yield* Effect.provideContext(ask("weather", "How is it?"), first)
      assert.strictEqual(yield* Effect.provideContext(asked, first), 1)
      assert.strictEqual(yield* Effect.provideContext(asked, second), 0)
    }).pipe(Effect.scoped))
})

const keyOf = Effect.map(AshEmbedded.EmbeddedAddress, ({ apiKey }) => Redacted.value(apiKey))
const list = Effect.flatMap(Agents, (agents) => agents.list())

describe("an embedded server on a port", () => {
  it.live("has a key of its own at each start, which no other server takes", () =>
    Effect.gen(function*() {
      const layer = AshEmbedded.layerHttp()
      const first = yield* Effect.provide(keyOf, layer)
      assert.match(first, /^ash_[\w-]{32}$/)
      const status = yield* Effect.gen(function*() {
        const { apiKey, url } = yield* AshEmbedded.EmbeddedAddress
        assert.notStrictEqual(Redacted.value(apiKey), first)
        assert.deepStrictEqual(yield* list, [])
        return yield* Effect.flip(Effect.provide(list, AshNode.layer({ url, apiKey: first })))
      }).pipe(Effect.provide(layer))
      assert.strictEqual(status.reason._tag, "Unauthorized")
    }))

  it.live.each<readonly [string]>([["0.0.0.0"], ["::"], ["192.0.2.1"], ["example.test"], ["128.0.0.1"]])(
    "is not made on %j without a key",
    ([host]) =>
      Effect.gen(function*() {
        const { reason } = yield* Effect.flip(Effect.provide(list, AshEmbedded.layerHttp({ host })))
        assert(reason._tag === "InvalidRequest")
        assert.strictEqual(reason.field, "apiKey")
      })
  )

  it.live("fails on a port that is in use, and on a host that is not this machine's", () =>
    Effect.gen(function*() {
      const { url } = yield* AshEmbedded.EmbeddedAddress
      const port = Number(new URL(url).port)
      for (const [field, options] of [["port", { port }], ["host", { host: "192.0.2.1", apiKey: "a-key" }]] as const) {
        const { operation, reason } = yield* Effect.flip(Effect.provide(list, AshEmbedded.layerHttp(options)))
        assert.strictEqual(operation, "AshEmbedded.layerHttp")
        assert(reason._tag === "InvalidRequest")
        assert.strictEqual(reason.field, field, reason.message)
      }
    }).pipe(Effect.provide(AshEmbedded.layerHttp())))

  const hasIpv6 = Object.values(networkInterfaces()).flat().some((address) => address?.family === "IPv6")

  it.live.each<readonly [host: string, url: string]>([
    ["0.0.0.0", "http://127.0.0.1:"],
    ...(hasIpv6 ? [["::", "http://[::1]:"]] as const : [])
  ])(
    "is made on every interface, %s, with a key, and told by the address of loopback",
    ([host, start]) =>
      Effect.gen(function*() {
        const { apiKey, url } = yield* AshEmbedded.EmbeddedAddress
        assert.strictEqual(Redacted.value(apiKey), "a-key")
        assert.isTrue(url.startsWith(start), url)
        assert.deepStrictEqual(yield* list, [])
      }).pipe(Effect.provide(AshEmbedded.layerHttp({ host, apiKey: "a-key" })))
  )
})

describe.each([["text", "a-key"], ["redacted", Redacted.make("a-key")]] as const)("a key that is %s", (_, apiKey) => {
  it.effect("is taken without a socket", () =>
    Effect.map(list, (agents) => assert.deepStrictEqual(agents, [])).pipe(
      Effect.provide(AshEmbedded.layer({ apiKey }))
    ))

  it.live("is taken on a port, by both sides", () =>
    Effect.gen(function*() {
      const { url } = yield* AshEmbedded.EmbeddedAddress
      assert.deepStrictEqual(yield* Effect.provide(list, AshNode.layer({ url, apiKey })), [])
    }).pipe(Effect.provide(AshEmbedded.layerHttp({ apiKey }))))
})

it.live("a server does not listen to the input of the process", () =>
  Effect.gen(function*() {
    const before = process.stdin.listenerCount("end")
    yield* Layer.build(AshEmbedded.layer())
    assert.strictEqual(process.stdin.listenerCount("end"), before)
  }))
