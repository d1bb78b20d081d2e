import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as AshEmbedded from "../../src/layers/AshEmbedded.ts"
import { connect } from "../../src/promise.ts"
import { AshClient } from "../../src/services/AshClient.ts"
import { clientNames, clients } from "../support/clients.ts"

const large = "x".repeat(3_000_000)

/** Everything that is downloaded, with its text where that is known. */
const downloads = Effect.gen(function*() {
  const ash = yield* AshClient
  const session = yield* ash.sessions.open({ agent: "helper" })
  yield* session.files.write([{ path: "small", content: "abc" }, { path: "large", content: large }, {
    path: "none",
    content: ""
  }])
  const { id } = yield* session.attachments.upload({ filename: "a", content: "attached" })
  return [
    ["a small file", session.files.read("small"), "abc"],
    ["a large file", session.files.read("large"), large],
    ["an empty file", session.files.read("none"), ""],
    ["an attachment", ash.attachments.download(id), "attached"],
    ["a file of an agent", ash.agents.readFile("helper", "CLAUDE.md"), undefined],
    ["a workspace", session.workspace.download(), undefined]
  ] as const
})

const gone = "the content was read, or its scope is closed; request it again"

const check = Effect.gen(function*() {
  for (const [what, download, expected] of yield* downloads) {
    const read = Effect.gen(function*() {
      const { content } = yield* download
      return { content, text: Stream.mkString(Stream.decodeText(content)), first: Stream.runHead(content) }
    })
    const isGone = (again: Effect.Effect<unknown, { readonly message: string }>) =>
      Effect.map(Effect.flip(again), ({ message }) => assert.include(message, gone, what))

    const twice = yield* read
    const text = yield* twice.text
    if (expected !== undefined) assert.strictEqual(text, expected, what)
    yield* isGone(twice.text)
    const begun = yield* read
    yield* begun.first
    yield* isGone(begun.text)
    const under = yield* read
    const meanwhile = Stream.mapEffect(under.content, (piece) => Effect.as(isGone(under.text), piece))
    const whole = yield* Stream.mkString(Stream.decodeText(meanwhile))
    if (expected !== undefined) assert.strictEqual(whole, expected, what)
    const scope = yield* Scope.make()
    const closed = yield* Effect.provideService(read, Scope.Scope, scope)
    yield* Scope.close(scope, Exit.void)
    yield* isGone(closed.text)
  }
}).pipe(Effect.scoped)

describe("a content that was read, is being read, or is behind its scope fails, and is not empty", () => {
  const server = AshEmbedded.layerHttp({ agents: { helper: {} } })

  it.live("without a socket", () => Effect.provide(check, AshEmbedded.layer({ agents: { helper: {} } })))

  for (const name of clientNames) {
    it.live(`over ${name}`, () =>
      Effect.flatMap(AshEmbedded.EmbeddedAddress, (address) => Effect.provide(check, clients[name](address))).pipe(
        Effect.provide(server)
      ))
  }

  it("of promises", async () => {
    await using ash = await connect(server)
    await using session = await ash.sessions.open({ agent: "helper" })
    await session.files.write([{ path: "small", content: "abc" }])
    const failure = (promise: Promise<unknown>) =>
      promise.then(() => assert.fail("it did not fail"), (error: unknown) => String(error))

    const twice = await session.files.read("small")
    assert.strictEqual(await twice.text(), "abc")
    for (const again of [twice.text(), twice.bytes(), twice.content[Symbol.asyncIterator]().next()]) {
      assert.include(await failure(again), gone)
    }
    await session.files.write([{ path: "large", content: large }])
    const under = await session.files.read("large")
    const [text, again] = await Promise.all([under.text(), failure(under.bytes())])
    assert.strictEqual(text, large)
    assert.include(again, gone)
    const closed = await session.files.read("small")
    await closed[Symbol.asyncDispose]()
    assert.include(await failure(closed.text()), gone)
  })
})
