/** Every schema of the package comes back from its own JSON as it was. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Equal from "effect/Equal"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { inspect } from "node:util"
import { fromMessages } from "../../src/internal/turn/turnFold.ts"
import { claudeMessageFromJson } from "../../src/schema/ClaudeMessage.ts"
import * as schemas from "../../src/schema/index.ts"
import { assistant, otherId, result, sessionEvent, sessionId, storedMessage, user } from "../support/fixtures.ts"
import { AnyJson, isReadAsWritten } from "../support/json.ts"

const byName = new Map(
  Object.entries({ ...schemas, ...schemas.Reasons }).flatMap(([name, value]) =>
    Schema.isSchema(value) ? [[name, Schema.make<Schema.Codec<unknown>>(value.ast)]] : []
  )
)

const codecs = new Map([...byName].map(([name, schema]) => {
  const codec = Schema.toCodecJson(schema)
  return [name, { encode: Schema.encodeUnknownSync(codec), decode: Schema.decodeUnknownSync(codec) }]
}))

const codecOf = (name: string) => {
  const { decode, encode } = codecs.get(name)!
  return { decode, encode, back: (value: unknown) => decode(JSON.parse(JSON.stringify(encode(value)))) }
}

/** What comes back otherwise, beside what it was. */
const differing = (name: string, values: ReadonlyArray<unknown>) =>
  values
    .filter((value) => isReadAsWritten(codecOf(name).encode(value)))
    .map((value) => ({ value, back: codecOf(name).back(value) }))
    .filter(({ back, value }) => !isSame(back, value))
    .map((pair) => JSON.stringify(pair, (_, value) => value === undefined ? "undefined" : value))

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null

/** The class of a value; that of plain objects, some of which are made up with a prototype of their own, is none. */
const classOf = (value: object): unknown => {
  const prototype: unknown = Object.getPrototypeOf(value)
  return isObject(prototype) && Object.getPrototypeOf(prototype) !== null ? prototype : undefined
}

/** Whether two values are the same, but for a negative zero, which JSON lacks, and for fields that are `undefined`. */
const isSame = (one: unknown, other: unknown): boolean => {
  if (one === other || Equal.equals(one, other)) return true
  if (!isObject(one) || !isObject(other)) return false
  if (classOf(one) !== classOf(other)) return false
  const names = new Set([...Object.keys(one), ...Object.keys(other)])
  const field = (value: object, name: string) => Object.getOwnPropertyDescriptor(value, name)?.value
  return [...names].every((name) => isSame(field(one, name), field(other, name)))
}

/** What keeps its JSON in `raw`: its fields are those of that. */
const ofJson: Readonly<Record<string, (json: Schema.Json) => ReadonlyArray<unknown>>> = {
  ClaudeMessage: (json) => [json, assistant("x", { extra: json }), user([json]), { ...result, uuid: json }],
  UserPrompt: (json) => [{ type: "user", content: "x" }, { type: "user", content: ["x", json] }],
  StoredContent: (json) => [json, JSON.stringify(json), JSON.stringify({ type: "user", content: ["x", json] })],
  StoredMessage: (json) => [storedMessage(1, "user", JSON.stringify(json))],
  SessionEvent: (json) => ["text", "tool_start", "future"].map((type) => sessionEvent(1, type, JSON.stringify(json)))
}

const files = [{ path: "a/b.txt", content: new Uint8Array([0, 255]) }]

/** Of what hardly any value that is made up would pass. */
const samples: Readonly<Record<string, ReadonlyArray<unknown>>> = {
  FileUpload: files,
  CreateAttachmentRequest: [{ filename: "a", content: new Uint8Array([0, 255]), mimeType: "text/plain" }],
  Uuid: [otherId],
  SessionId: [sessionId],
  FilePath: ["a/b.txt"],
  ResourceId: [otherId],
  ScoreEvalResultRequest: [{ humanScore: 3 }],
  ScoreEvalRunRequest: [{ humanScore: 3, humanNotes: "n" }],
  CreateCredentialRequest: [{ type: "custom", key: Redacted.make("k") }]
}

describe("comes back from its own JSON as it was", () => {
  it("all schemas", () => assert.isAbove(byName.size, 100))

  it.each(Object.entries(samples))("%s", (name, values) => {
    assert.deepStrictEqual(differing(name, values), [])
  })

  for (const [name, jsonOf] of Object.entries(ofJson)) {
    it.prop(
      `${name}, of JSON`,
      { json: AnyJson },
      ({ json }) => assert.deepStrictEqual(differing(name, jsonOf(json).map((json) => codecOf(name).decode(json))), [])
    )
  }

  for (const [name, schema] of [...byName].filter(([name]) => !(name in samples || name in ofJson))) {
    it.prop(
      `${name}, of any value`,
      { value: Schema.toType(schema) },
      ({ value }) => assert.deepStrictEqual(differing(name, [value]), [])
    )
  }
})

/** Of which there is hardly more than a call without an answer. */
const turn = fromMessages([
  claudeMessageFromJson(assistant([{ type: "tool_use", id: "t", name: "Bash", input: null }]))
])

describe("a turn", () => {
  const { back } = codecOf("Turn")

  it("keeps what is undefined, and what is null", () => {
    assert.isTrue("structuredOutput" in turn && turn.structuredOutput === undefined)
    assert.deepStrictEqual(back(turn), turn)
    assert.deepStrictEqual(back({ ...turn, structuredOutput: null }), { ...turn, structuredOutput: null })
  })
})

describe("an error", () => {
  const error = new schemas.AshError({
    operation: "Messages.send",
    reason: new schemas.Reasons.TimedOut({
      message: "the stream was silent for 1 second",
      http: { method: "POST", path: "/x" },
      timer: "idle",
      duration: Duration.seconds(1),
      partialTurn: Redacted.make(turn),
      lastSequence: 4
    })
  })

  it("comes back with its reason, and what was received of the turn", () => {
    const decoded = codecOf("AshError").back(error)
    assert.instanceOf(decoded, schemas.AshError)
    assert.strictEqual(decoded.message, error.message)
    assert.strictEqual(decoded.reason._tag, "TimedOut")
    assert.deepStrictEqual(decoded.partialTurn, turn)
    assert.strictEqual(decoded.lastSequence, 4)
  })

  it("knows whether it is retryable, and prints only what happened", () => {
    assert.deepStrictEqual([error.isRetryable, error.nothingHappened], [true, false])
    for (const printed of [inspect(error), JSON.stringify(error), String(error)]) {
      assert.include(printed, "silent for 1 second")
      assert.notMatch(printed, /isRetryable|nothingHappened/)
    }
  })

  it("keeps its message where it is cloned, as by postMessage", () => {
    for (const reason of [error.reason, new schemas.Reasons.SessionBusy({ message: "busy", sessionId })]) {
      const clone: unknown = structuredClone(new schemas.AshError({ operation: "Messages.send", reason }))
      assert.instanceOf(clone, Error)
      assert.strictEqual(clone.message, `Messages.send: ${reason.message}`)
    }
  })
})
