import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import {
  contentKeyOf,
  reconcile,
  type ReconcileOutcome,
  type TurnToFind
} from "../../../src/internal/turn/reconcile.ts"
import { claudeMessageFromJson } from "../../../src/schema/ClaudeMessage.ts"
import type { StoredContent, StoredMessage } from "../../../src/schema/Message.ts"
import type { SessionEvent, SessionEventData } from "../../../src/schema/SessionEvent.ts"
import { result } from "../../support/fixtures.ts"
import { chance } from "../../support/promise.ts"

/** A row of a conversation, and the turn that it belongs to, which a server does not tell. */
interface Row {
  readonly owner: string
  readonly kind: "prompt" | "answer" | "result"
  readonly content?: string
}

const contentOf = ({ kind, owner, content = owner }: Row): StoredContent => {
  switch (kind) {
    case "prompt":
      return { _tag: "UserPrompt", type: "user", content, raw: null }
    case "answer":
      return claudeMessageFromJson({ type: "assistant", message: { content: [{ type: "text", text: owner }] } })
    case "result":
      return claudeMessageFromJson({ ...result, result: owner })
  }
}

const start = DateTime.toEpochMillis(DateTime.makeUnsafe("2026-11-22T10:00:00Z"))
const timeAt = (sequence: number) => DateTime.makeUnsafe(start + sequence * 1000)

const stored = (rows: ReadonlyArray<Row>): ReadonlyArray<StoredMessage> =>
  rows.map((row, index) => ({
    id: String(index),
    sessionId: "s",
    role: row.kind === "prompt" ? "user" : "assistant",
    content: contentOf(row),
    sequence: index + 1,
    createdAt: timeAt(index + 1)
  }))

const eventAt = (sequence: number, data: SessionEventData): SessionEvent => ({
  id: "e",
  sessionId: "s",
  type: "text",
  sequence,
  createdAt: timeAt(sequence),
  data,
  raw: null
})

const saying = (asked: TurnToFind): TurnToFind => ({
  ...asked,
  contentKey: asked.contentKey === undefined ? undefined : contentKeyOf(asked.contentKey)
})

const ask = (
  rows: ReadonlyArray<Row>,
  asked: TurnToFind,
  events: ReadonlyArray<SessionEvent> = [],
  clockAhead: number | undefined = 0
) =>
  reconcile({
    messages: Effect.succeed({ rows: stored(rows), clockAhead }),
    events: Stream.fromIterable(events)
  }, saying(asked))

const prompt = (owner: string, content?: string): Row => ({
  owner,
  kind: "prompt",
  ...(content === undefined ? {} : { content })
})
const answer = (owner: string): Row => ({ owner, kind: "answer" })
const end = (owner: string): Row => ({ owner, kind: "result" })

const textOf = (outcome: ReconcileOutcome) => outcome._tag === "Completed" ? outcome.turn.result?.result : outcome._tag

describe("a turn that is asked about", () => {
  const turn = (owner: string) => [prompt(owner), answer(owner), end(owner)]
  const cases: ReadonlyArray<readonly [string, ReadonlyArray<Row>, TurnToFind, string]> = [
    ["is the one behind the cursor", [...turn("a"), ...turn("b")], { after: 3, contentKey: "b" }, "b"],
    ["is found by its content", [...turn("a"), ...turn("b"), ...turn("c")], { after: 0, contentKey: "b" }, "b"],
    ["is the first behind the cursor, where that is not known", [...turn("a"), ...turn("b")], {
      after: 0,
      contentKey: undefined
    }, "a"],
    ["is not the same words of before the cursor", turn("a"), { after: 3, contentKey: "a" }, "NotStarted"],
    ["is not there in an empty conversation", [], { after: 0, contentKey: "a" }, "NotStarted"],
    [
      "is not known behind a cursor that is not of this conversation",
      turn("a"),
      { after: 7, contentKey: "a" },
      "OutcomeUnknown"
    ],
    ["has no end where another prompt came before it", [prompt("a"), answer("a"), prompt("b"), end("a")], {
      after: 0,
      contentKey: "a"
    }, "OutcomeUnknown"],
    ["does not take the end of the turn before it", [prompt("b"), prompt("a"), answer("b"), end("b")], {
      after: 0,
      contentKey: "a"
    }, "OutcomeUnknown"],
    ["does not take it behind a cursor either", [...turn("x"), prompt("b"), prompt("a"), end("b")], {
      after: 4,
      contentKey: "a"
    }, "OutcomeUnknown"],
    [
      "was begun, and its end is not stored",
      [...turn("b"), prompt("a"), answer("a")],
      { after: 3, contentKey: "a" },
      "OutcomeUnknown"
    ]
  ]
  it.effect.each(cases)("%s", ([, rows, asked, expected]) =>
    Effect.gen(function*() {
      assert.strictEqual(textOf(yield* ask(rows, asked)), expected)
    }))

  it.effect.each([["stopped", "a"], ["ended", "a"], ["paused", "OutcomeUnknown"]] as const)(
    "may follow one of a session that was %s, which ends it or not: %s",
    ([action, expected]) =>
      Effect.gen(function*() {
        const rows = [prompt("b"), answer("b"), prompt("a"), end("a")]
        const timeline = [eventAt(2, { _tag: "Lifecycle", action })]
        assert.strictEqual(textOf(yield* ask(rows, { after: 2, contentKey: "a" }, timeline)), expected)
        const later = [eventAt(4, { _tag: "Lifecycle", action })]
        assert.strictEqual(textOf(yield* ask(rows, { after: 2, contentKey: "a" }, later)), "OutcomeUnknown")
      })
  )

  it.effect("may follow one that failed, which has no result, by the timeline", () =>
    Effect.gen(function*() {
      const rows = [prompt("b"), answer("b"), prompt("a"), end("a")]
      assert.strictEqual(textOf(yield* ask(rows, { after: 2, contentKey: "a" })), "OutcomeUnknown")
      const failed = [eventAt(2, { _tag: "Error", error: "no" })]
      assert.strictEqual(textOf(yield* ask(rows, { after: 2, contentKey: "a" }, failed)), "a")
      const later = [eventAt(4, { _tag: "Error", error: "no" })]
      assert.strictEqual(textOf(yield* ask(rows, { after: 2, contentKey: "a" }, later)), "OutcomeUnknown")
    }))

  it.effect("has its own events alone", () =>
    Effect.gen(function*() {
      const rows = [...turn("b"), prompt("a"), answer("a"), prompt("c"), end("c")]
      const events = rows.map((_, index) => eventAt(index + 1, { _tag: "Text", text: String(index + 1) }))
      const outcome = yield* ask(rows, { after: 3, contentKey: "a" }, events)
      if (outcome._tag !== "OutcomeUnknown") return assert.fail(outcome._tag)
      assert.deepStrictEqual(outcome.messages.map(({ sequence }) => sequence), [4, 5])
      assert.deepStrictEqual(outcome.events.map(({ sequence }) => sequence), [4, 5])
    }))

  it.effect("of which only the time of sending is known is not one of the same words before it", () =>
    Effect.gen(function*() {
      const rows = [...turn("a"), ...turn("a")]
      const sentAt = start + 3500
      assert.strictEqual(textOf(yield* ask(turn("a"), { after: 0, contentKey: "a", sentAt })), "NotStarted")
      const outcome = yield* ask(rows, { after: 0, contentKey: "a", sentAt })
      assert.strictEqual(outcome._tag, "Completed")
      // A clock that is an hour behind the server's.
      const behind = { after: 0, contentKey: "a", sentAt: sentAt - 3_600_000 }
      assert.strictEqual(textOf(yield* ask(turn("a"), behind, [], 3_600_000)), "NotStarted")
      // Of a server that does not tell its time it is not known whose clock is right.
      const ahead = { after: 0, contentKey: "a", sentAt: sentAt + 3_600_000 }
      const unknown = yield* reconcile({
        messages: Effect.succeed({ rows: stored(turn("a")), clockAhead: undefined }),
        events: Stream.empty
      }, saying(ahead))
      assert.strictEqual(textOf(unknown), "OutcomeUnknown")
    }))

  it.effect("is recognised by its pictures too, in whatever form they are given", () =>
    Effect.sync(() => {
      const picture = (data: Uint8Array) =>
        [{ type: "image", source: { type: "base64", media_type: "image/png", data } }] as const
      const one = new Uint8Array([1, 2, 3])
      assert.strictEqual(contentKeyOf(picture(one)), contentKeyOf(picture(new Uint8Array([0, 1, 2, 3]).subarray(1))))
      assert.notStrictEqual(contentKeyOf(picture(one)), contentKeyOf(picture(new Uint8Array([1, 2, 4]))))
      assert.notStrictEqual(contentKeyOf(picture(one)), contentKeyOf(""))
      assert.strictEqual(
        contentKeyOf("one two"),
        contentKeyOf([{ type: "text", text: "one" }, { type: "text", text: " two" }])
      )
    }))

  it.effect("of which the time of sending is not known is found, whatever the clocks show", () =>
    Effect.gen(function*() {
      assert.strictEqual(textOf(yield* ask(turn("a"), { after: 0, contentKey: "a" }, [], start * 2)), "a")
    }))

  it.effect("never has the end of another, however turns mix", () =>
    Effect.gen(function*() {
      const random = chance(31)
      let completed = 0
      for (let round = 0; round < 20_000; round++) {
        const owners = ["a", "b", "c"].slice(0, 1 + Math.floor(random() * 3))
        // Rows of each turn in their order, of the turns in any; what comes behind a disconnection is lost.
        const left = owners.map((owner) => {
          const rows = [
            prompt(owner),
            ...Array.from({ length: Math.floor(random() * 3) }, () => answer(owner)),
            end(owner)
          ]
          return rows.slice(0, random() < 0.3 ? Math.floor(random() * rows.length) : rows.length)
        })
        const rows: Array<Row> = []
        const isMixed = random() < 0.7
        while (left.some((queue) => queue.length > 0)) {
          const queue = isMixed ? left[Math.floor(random() * left.length)] : left.find((queue) => queue.length > 0)
          const row = queue?.shift()
          if (row !== undefined) rows.push(row)
        }
        for (const owner of owners) {
          const at = rows.findIndex((row) => row.kind === "prompt" && row.owner === owner)
          const outcome = yield* ask(rows, { after: random() < 0.5 || at < 0 ? 0 : at, contentKey: owner })
          if (outcome._tag === "Completed") {
            completed += 1
            assert.strictEqual(textOf(outcome), owner, JSON.stringify(rows))
          }
          if (outcome._tag === "NotStarted") assert.strictEqual(at, -1, JSON.stringify(rows))
        }
      }
      assert.isAbove(completed, 5000)
    }))
})
