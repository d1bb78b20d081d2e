import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { printable, printableLines } from "../../../src/internal/request/printable.ts"
import { AshClient } from "../../../src/services/AshClient.ts"
import { sessionId } from "../../support/fixtures.ts"
import * as Server from "../../support/ScriptedServer.ts"

/** What acts on a terminal or a log: C0, DEL, C1, bidirectional overrides, ends of lines, marks that are not seen. */
const acting = [
  ..."\u0000\u0007\b\t\n\r\u001b\u007f\u0085\u009b\u00ad\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069\ufeff",
  "\ud800",
  "\u{e0041}"
]

describe("printable", () => {
  it.each(acting)("escapes %j", (character) => {
    assert.match(printable(`a${character}b`), /^a(?:\\[nrt]|(?:\\u[0-9a-f]{4}){1,2})b$/)
  })

  it("leaves text as it is, whatever its script", () => {
    const text = "Grüße, 你好, שלום, \u{1f468}\u200d\u{1f469}, \\n \"'<&>"
    assert.strictEqual(printable(text), text)
    assert.strictEqual(printableLines(`${text}\n\tb`), `${text}\n\tb`)
  })

  it("cuts no character in half", () => {
    assert.strictEqual(printable("ab\u{1f468}", 3), "ab")
    assert.strictEqual(printableLines("a\n\u{1f468}\u{1f469}", 4), "a\n\u{1f468}")
  })

  it.effect("is what messages have of a server's text", () => {
    const said = `bad ${acting.join("")} end`
    const hostile = new RegExp(`[${acting.filter((character) => character !== "\ud800").join("")}]`, "u")
    return Effect.gen(function*() {
      const calls = [
        [Server.json({ error: said, code: said }, 400), false],
        [Server.json({ message: `Session is ${said}` }, 409), false],
        [Server.text(said, 502), false],
        [() => Effect.fail(Object.assign(new Error(said), { code: said })), false],
        [Server.sse(Server.frames(["error", { error: said }])), true]
      ] as const
      for (const [script, isTurn] of calls) {
        const error = yield* Effect.flatMap(AshClient, (ash) =>
          isTurn
            ? Stream.runDrain(ash.messages.send(sessionId, "Hello!"))
            : Effect.asVoid(ash.sessions.get(sessionId))).pipe(
            Effect.flip,
            Effect.provide(Server.make(script, { retry: { times: 0 } }).layer)
          )
        assert.notMatch(error.message, hostile)
        assert.notMatch(error.reason.message, hostile)
        assert.notMatch(error.reason.http?.code ?? "", hostile)
        assert.notMatch((error.reason.http?.body ?? "").replaceAll(/[\n\t]/g, ""), hostile)
      }
    })
  })
})
