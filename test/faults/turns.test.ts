import { describe } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type { TurnTimeouts } from "../../src/client/RequestOptions.ts"
import * as AgentScript from "../../src/embedded/AgentScript.ts"
import * as FaultProxy from "../../src/embedded/FaultProxy.ts"
import * as AshEmbedded from "../../src/layers/AshEmbedded.ts"
import { AshClient } from "../../src/services/AshClient.ts"
import type { SessionHandle } from "../../src/services/SessionHandle.ts"
import { clientNames, clients } from "../support/clients.ts"
import { chance, promise } from "../support/promise.ts"
import { faults } from "../support/proxied.ts"

/** An agent that says its prompt, word by word, and lets others run in between. */
const echo: AgentScript.AgentScript = ({ prompt }) =>
  Stream.fromIterable(["You", "said:", prompt]).pipe(
    Stream.mapEffect((text) => Effect.as(Effect.sleep("1 millis"), AgentScript.say(text)))
  )

const answer = (prompt: string) => ["You", "said:", prompt].join("")

/** The services of an embedded server behind a proxy. */
const behind = Effect.fnUntraced(function*(
  client: keyof typeof clients,
  timeouts: TurnTimeouts,
  script: FaultProxy.FaultScript
) {
  const { apiKey, url } = yield* AshEmbedded.EmbeddedAddress
  const proxy = yield* FaultProxy.make({ target: url, script })
  const services = yield* Layer.build(clients[client]({ url: proxy.url, apiKey, timeouts }))
  return { ash: Context.get(services, AshClient), proxy }
})

const isTurn = ({ method, path }: FaultProxy.ProxiedRequest) =>
  method === "POST" && path.endsWith("/messages") && !path.includes("00000000-0000-0000-0000-000000000000")

const provideServer = Effect.provide(AshEmbedded.layerHttp({ script: echo }))

describe("turns", () => {
  promise("P5", "a turn is sent at most once", { fast: 1, full: 40 }, (size) =>
    Effect.gen(function*() {
      const failures: Array<string> = []
      const runs = Array.from({ length: size }, (_, run) =>
        faults().map((fault, index) => ({ fault, client: clientNames[(run + index) % 3] ?? "fetch" }))).flat()
      yield* Effect.forEach(runs, ({ client, fault }) =>
        Effect.scoped(Effect.gen(function*() {
          const { ash, proxy } = yield* behind(client, fault.timeouts, (request) =>
            isTurn(request) ? fault.strike() : undefined)
          yield* (yield* AshClient).agents.create({ name: "demo" })
          const { id } = yield* (yield* AshClient).sessions.scoped({ agent: "demo" })
          yield* Effect.ignore(fault.meet(Stream.runDrain(ash.messages.send(id, "hello"))))
          const posts = (yield* proxy.exchanges).filter(isTurn).length
          if (posts !== 1) {
            failures.push(`${client}, ${fault.name}: ${posts} POSTs`)
          }
        })), { concurrency: 24, discard: true })
      return { cases: runs.length, failures, note: "24 faults, 3 phases, 3 clients" }
    }).pipe(provideServer))

  promise("P7", "turns of one session do not mix", { fast: 25, full: 1000 }, (size) =>
    Effect.gen(function*() {
      const failures: Array<string> = []
      const random = chance(7)
      const { agents, sessions } = yield* AshClient
      yield* agents.create({ name: "demo" })
      let cases = 0
      yield* Effect.forEach(Array.from({ length: size }, (_, round) => round), (round) =>
        Effect.scoped(Effect.gen(function*() {
          const { id } = yield* sessions.open({ agent: "demo" })
          const prompts = Array.from({ length: 2 + Math.floor(random() * 7) }, (_, index) =>
            `${round}-${index}`)
          yield* Effect.forEach(prompts, (prompt) =>
            Effect.gen(function*() {
              const turn = yield* sessions.attach(id).ask(prompt)
              cases += 1
              const texts = turn.text.replaceAll("\n", "")
              if (texts !== answer(prompt)) failures.push(`${prompt}: ${turn.text}`)
            }), { concurrency: "unbounded", discard: true })
        })), { concurrency: 8, discard: true })
      return { cases, failures, note: `${size} rounds of 2 to 8 at once` }
    }).pipe(Effect.provide(AshEmbedded.layer({ script: echo }))))

  promise("P8", "a broken turn fences its session", { fast: 36, full: 500 }, (size) =>
    Effect.gen(function*() {
      const failures: Array<string> = []
      const random = chance(8)
      const all = Array.from({ length: Math.ceil(size / faults().length) }, faults).flat().slice(0, size)
      const owner = yield* AshClient
      yield* owner.agents.create({ name: "demo" })
      let fenced = 0
      let recovered = 0

      const second = Effect.fnUntraced(function*(handle: SessionHandle, name: string, wasWhole: boolean) {
        const outcome = yield* Effect.result(handle.ask("second"))
        if (Result.isSuccess(outcome)) {
          recovered += 1
          if (outcome.success.text !== answer("second")) failures.push(`${name}: mixed: ${outcome.success.text}`)
        } else {
          fenced += 1
          if (outcome.failure.reason._tag !== "SessionFenced") failures.push(`${name}: ${outcome.failure.message}`)
          if (wasWhole) failures.push(`${name}: fenced behind a turn that was whole`)
        }
      })

      yield* Effect.forEach(all, (fault, index) =>
        Effect.scoped(Effect.gen(function*() {
          const client = clientNames[index % 3] ?? "fetch"
          const recovery = random() < 0.5 ? "restart" : "none"
          let turns = 0
          const { ash } = yield* behind(
            client,
            fault.timeouts,
            (request) => isTurn(request) && turns++ === 0 ? fault.strike() : undefined
          )
          const { id } = yield* owner.sessions.scoped({ agent: "demo" })
          const handle = ash.sessions.attach(id, { recovery })
          const first = yield* Effect.result(fault.meet(handle.ask("first")))
          const name = `${client}, ${fault.name}, ${recovery}`
          const wasWhole = Result.isSuccess(first) || first.failure.reason._tag === "TurnFailed"
          // A proxy that was down is there again.
          yield* Effect.eventually(ash.health.get())
          yield* second(handle, name, wasWhole)
        })), { concurrency: 12, discard: true })
      return { cases: size, failures, note: `${fenced} fenced, ${recovered} answered, 0 mixed` }
    }).pipe(provideServer))
})
