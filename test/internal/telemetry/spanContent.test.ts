import { assert, describe, it } from "@effect/vitest"
import { inputMessages, outputMessages } from "../../../src/internal/telemetry/spanContent.ts"

const partsOf = (content: unknown) => {
  const json = inputMessages(content)
  return json === undefined ? undefined : JSON.parse(json)[0].parts
}

describe("the content of a span", () => {
  const png = { type: "base64", media_type: "image/png", data: new Uint8Array([1, 2, 3]) }
  it.each<readonly [name: string, block: object, part: object]>([
    ["a text", { type: "text", text: "Look" }, { type: "text", content: "Look" }],
    ["a document of text", { type: "document", source: { type: "text", media_type: "text/plain", data: "a" } }, {
      type: "text",
      content: "a"
    }],
    ["an image, without its bytes", { type: "image", source: png }, {
      type: "blob",
      modality: "image",
      mime_type: "image/png"
    }],
    ["a document by its URL", { type: "document", source: { type: "url", url: "https://example.com/a.pdf" } }, {
      type: "uri",
      modality: "document",
      uri: "https://example.com/a.pdf"
    }]
  ])("has %s", (_, block, part) => {
    assert.deepStrictEqual(partsOf([block]), [part])
  })

  it("has a prompt that is a text, and nothing of what is no prompt", () => {
    assert.deepStrictEqual(partsOf("Hello"), [{ type: "text", content: "Hello" }])
    assert.deepStrictEqual([undefined, 1, [], [{ type: "text" }]].map(partsOf), [
      undefined,
      undefined,
      undefined,
      undefined
    ])
  })

  it("has what was answered, and why that ended", () => {
    assert.strictEqual(
      outputMessages("Hi", undefined),
      "[{\"role\":\"assistant\",\"parts\":[{\"type\":\"text\",\"content\":\"Hi\"}],\"finish_reason\":\"\"}]"
    )
  })
})
