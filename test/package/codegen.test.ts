import { assert, describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"

const program = `
  import { DateTime, Effect, Stream } from "effect"
  import { Agents, Sessions, TurnStream } from "effect-ash"
  import { AshEmbedded } from "effect-ash/embedded"

  const canGenerate = (() => { try { return new Function("return true")() } catch { return false } })()
  const turn = Effect.gen(function*() {
    yield* (yield* Agents).create({ name: "demo" })
    const session = yield* (yield* Sessions).open({ agent: "demo" })
    const events = yield* Stream.runCollect(session.stream("Hello!", { includePartialMessages: true }))
    const text = yield* Stream.mkString(TurnStream.textDeltas(Stream.fromIterable(events)))
    const malformed = yield* Stream.runCollect(TurnStream.decodeEvents(Stream.succeed(
      new TextEncoder().encode('event: text_delta\\ndata: {"delta":1}\\n\\nevent: text_delta\\ndata: {"delta":"\\\\u00fc"}\\n\\n')
    )))
    const { status } = yield* session.get()
    const list = yield* (yield* Sessions).list()
    const times = list.map(({ createdAt, lastActiveAt }) => [createdAt, lastActiveAt].every(DateTime.isDateTime))
    return { tags: events.map(({ _tag }) => _tag), text, malformed, status, times }
  })
  const result = await turn.pipe(Effect.scoped, Effect.provide(AshEmbedded.layer()), Effect.runPromise)
  console.log(JSON.stringify({ canGenerate, result }))
`

const run = (...flags: ReadonlyArray<string>) => {
  const { stderr, stdout } = spawnSync(
    process.execPath,
    [...flags, "--conditions=effect-ash-source", "--input-type=module", "--eval", program],
    { encoding: "utf8" }
  )
  assert.include(stdout, "result", stderr)
  return JSON.parse(stdout)
}

describe("where code may not be generated", () => {
  it("everything works as where it may", () => {
    const compiled = run()
    const interpreted = run("--disallow-code-generation-from-strings")
    assert.isTrue(compiled.canGenerate)
    assert.isFalse(interpreted.canGenerate)
    assert.deepStrictEqual(interpreted.result, compiled.result)
    assert.deepStrictEqual(compiled.result.times, [true])
    assert.deepStrictEqual(compiled.result.malformed, [
      { _tag: "Unknown", event: "text_delta", data: { delta: 1 } },
      { _tag: "TextDelta", delta: "ü" }
    ])
  })
})
