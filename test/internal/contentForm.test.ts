import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { toForm } from "../../src/internal/contentForm.ts"
import type { Content } from "../../src/schema/Message.ts"

const image: Content = [{
  type: "image",
  source: { type: "base64", media_type: "image/png", data: new Uint8Array([1]) }
}]

const blocks = (content: Content): ReadonlyArray<string> => {
  const delivered = Result.getOrThrow(toForm(content, "SeveralBlocks"))
  return typeof delivered === "string" ? [] : delivered.map((block) => block.type === "text" ? block.text : block.type)
}

/** Texts of words, characters of several code units, and spaces of all kinds. */
const Text = Schema.Array(
  Schema.Literals([
    "a",
    "word",
    "é",
    "e\u0301",
    "😀",
    "👨‍👩‍👧",
    "🇩🇪",
    "日本",
    " ",
    "\n",
    "\t",
    "\u00a0",
    ".",
    "\u2028",
    "0"
  ])
)

const isGraphemeBoundary = (text: string, at: number) =>
  at === text.length || [...new Intl.Segmenter().segment(text)].some(({ index }) => index === at)

describe("AsGiven", () => {
  it.each<{ readonly content: Content }>([
    { content: "hello world" },
    { content: "" },
    { content: [{ type: "text", text: "one" }] },
    { content: image }
  ])("$content", ({ content }) => {
    assert.strictEqual(Result.getOrThrow(toForm(content, "AsGiven")), content)
  })
})

describe("SeveralBlocks", () => {
  it("a text is cut between words", () => {
    assert.deepStrictEqual(blocks("hello brave new world"), ["hello", " brave new world"])
    assert.deepStrictEqual(blocks("  hello \n\nworld"), ["  hello", " \n\nworld"])
    assert.deepStrictEqual(blocks("größer 😀"), ["größer", " 😀"])
  })

  it("a single word is cut within, never within a character", () => {
    for (const word of ["Hello.", "hello", "日本語", "😀😀", "👨‍👩‍👧👨‍👩‍👧", "e\u0301e\u0301", " hi ", "😀a"]) {
      const [first = "", second = "", ...more] = blocks(word)
      assert.deepStrictEqual(more, [])
      assert.strictEqual(first + second, word)
      assert.notStrictEqual(first.trim(), "", word)
      assert.notStrictEqual(second.trim(), "", word)
      assert.isTrue(isGraphemeBoundary(word, first.length), word)
    }
  })

  it("a single character has nothing beside it", () => {
    for (const character of ["a", "😀", "👨‍👩‍👧", "e\u0301", " x "]) {
      const [first, second] = blocks(character)
      assert.strictEqual(first?.trim(), character.trim())
      assert.strictEqual(second?.trim(), "")
    }
  })

  it("an empty text and white space stay what they are", () => {
    for (const text of ["", " ", "\n \t"]) {
      assert.strictEqual(blocks(text).length, 2)
      assert.strictEqual(blocks(text).join(""), text)
    }
  })

  it("a single block is split or gets a second one", () => {
    assert.deepStrictEqual(blocks([{ type: "text", text: "hello world" }]), ["hello", " world"])
    const delivered = Result.getOrThrow(toForm(image, "SeveralBlocks"))
    assert.deepStrictEqual(delivered, [...image, { type: "text", text: "" }] as never)
  })

  it("two blocks and more are left as they are", () => {
    const content: Content = [{ type: "text", text: "one" }, { type: "text", text: "two" }]
    assert.strictEqual(Result.getOrThrow(toForm(content, "SeveralBlocks")), content)
  })

  it.prop("any text is two blocks that read as the text, cut between characters", { parts: Text }, ({ parts }) => {
    const text = parts.join("")
    const [first = "", second = "", ...more] = blocks(text)
    assert.deepStrictEqual(more, [])
    assert.strictEqual(first + second, text)
    assert.isTrue(isGraphemeBoundary(text, first.length), JSON.stringify([first, second]))
    const characters = [...new Intl.Segmenter().segment(text.trim())].length
    if (characters > 1) assert.isTrue(first.trim() !== "" && second.trim() !== "", JSON.stringify([first, second]))
  })

  it.prop("any string reads as before", { text: Schema.String }, ({ text }) => {
    assert.strictEqual(blocks(text).join(""), text)
    assert.strictEqual(blocks([{ type: "text", text }]).join(""), text)
  })
})

describe("TextOnly", () => {
  const delivered = (content: Content) => toForm(content, "TextOnly")

  it("a text is left as it is, the texts of blocks are joined", () => {
    assert.deepStrictEqual(delivered("hello"), Result.succeed("hello"))
    assert.deepStrictEqual(
      delivered([{ type: "text", text: "hello" }, { type: "text", text: " world" }]),
      Result.succeed("hello world")
    )
  })

  it("an image or a document is refused", () => {
    const document: Content = [
      { type: "text", text: "read" },
      { type: "document", source: { type: "text", media_type: "text/plain", data: "x" } }
    ]
    for (const content of [image, document]) {
      const refusal = Result.getOrThrow(Result.flip(delivered(content)))
      assert.strictEqual(refusal._tag, "InvalidRequest")
      assert.strictEqual(refusal.field, "content")
      assert.match(refusal.message, /text/)
    }
  })

  it("more than 100,000 characters are refused, in one text or in blocks together", () => {
    const half = { type: "text", text: "a".repeat(50_000) } as const
    assert.isTrue(Result.isSuccess(delivered("a".repeat(100_000))))
    assert.isTrue(Result.isSuccess(delivered([half, half])))
    for (const content of ["a".repeat(100_001), [half, half, { type: "text", text: "a" } as const]]) {
      const refusal = Result.getOrThrow(Result.flip(delivered(content)))
      assert.strictEqual(refusal.field, "content")
      assert.include(refusal.message, "100,000")
      assert.isBelow(refusal.message.length, 200)
    }
  })
})
