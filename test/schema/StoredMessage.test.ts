import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { StoredMessage } from "../../src/schema/index.ts"
import { assistant, result, storedMessage, user } from "../support/fixtures.ts"
import { AnyJson } from "../support/json.ts"

const decode = Schema.decodeUnknownEffect(StoredMessage)
const contentOf = (content: string, role = "user") =>
  Effect.map(decode(storedMessage(1, role, content)), ({ content }) => content)

describe("StoredMessage", () => {
  it.effect("a prompt whose content is a text", () =>
    Effect.gen(function*() {
      const json = { type: "user", content: "hello" } as const
      assert.deepStrictEqual(yield* contentOf(JSON.stringify(json)), { _tag: "UserPrompt", ...json, raw: json })
    }))

  it.effect("a prompt whose text a server made a list", () =>
    Effect.gen(function*() {
      const json = { type: "user" as const, content: ["hello"] }
      assert.deepStrictEqual(yield* contentOf(JSON.stringify(json)), { _tag: "UserPrompt", ...json, raw: json })
    }))

  it.effect("a prompt of blocks, known and unknown", () =>
    Effect.gen(function*() {
      const image = { type: "image", source: { type: "base64", media_type: "image/png", data: "AP8=" } }
      const json = { type: "user", content: [{ type: "text", text: "look" }, image, { type: "video", id: 4 }] }
      const content = yield* contentOf(JSON.stringify(json))
      assert.strictEqual(content._tag, "UserPrompt")
      assert.deepStrictEqual(content._tag === "UserPrompt" ? content.content : [], [
        { type: "text", text: "look" },
        { type: "image", source: { type: "base64", media_type: "image/png", data: new Uint8Array([0, 255]) } },
        { _tag: "Unknown", raw: { type: "video", id: 4 } }
      ])
      assert.deepStrictEqual(content.raw, json)
    }))

  it.effect("messages of the Claude Agent SDK", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* contentOf(JSON.stringify(assistant("Hi.")), "assistant"))._tag, "Assistant")
      assert.strictEqual((yield* contentOf(JSON.stringify(result), "assistant"))._tag, "Result")
      assert.strictEqual((yield* contentOf(JSON.stringify(user("x"))))._tag, "User")
    }))

  it.effect("what is neither is kept", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* contentOf("null"), { _tag: "Unknown", raw: null })
      assert.deepStrictEqual(yield* contentOf("plain text, no JSON"), { _tag: "Unknown", raw: "plain text, no JSON" })
      assert.deepStrictEqual(yield* contentOf(""), { _tag: "Unknown", raw: "" })
      assert.deepStrictEqual(yield* contentOf("[\"hello\"]"), { _tag: "Unknown", raw: ["hello"] })
      assert.deepStrictEqual(yield* contentOf("{\"type\":\"user\"}"), { _tag: "Unknown", raw: { type: "user" } })
    }))

  it.effect("the row: open roles, no tenant, an instant", () =>
    Effect.gen(function*() {
      const { tenantId: _, ...row } = storedMessage(7, "narrator", "{}")
      const message = yield* decode(row)
      assert.strictEqual(message.role, "narrator")
      assert.strictEqual(message.sequence, 7)
      assert.strictEqual(message.createdAt.epochMilliseconds, 1_795_344_059_772)
    }))

  it.effect.prop("encodes to the row that it came from", { json: AnyJson }, ({ json }) =>
    Effect.gen(function*() {
      const row = storedMessage(1, "user", JSON.stringify(json))
      assert.deepStrictEqual(yield* Schema.encodeEffect(StoredMessage)(yield* decode(row)), row)
    }))
})
