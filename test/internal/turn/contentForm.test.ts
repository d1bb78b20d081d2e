import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { toForm } from "../../../src/internal/turn/contentForm.ts"
import type { MessageContent } from "../../../src/schema/Message.ts"
import { fromTexts } from "../../../src/schema/promptText.ts"

const image: MessageContent = [{
  type: "image",
  source: { type: "base64", media_type: "image/png", data: new Uint8Array([1]) }
}]

const blocks = (content: MessageContent): ReadonlyArray<string> => {
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
    "\u2060",
    "\u0085",
    "0"
  ])
)

const isGraphemeBoundary = (text: string, at: number) =>
  at === text.length || [...new Intl.Segmenter().segment(text)].some(({ index }) => index === at)

describe("AsGiven", () => {
  it.each<{ readonly content: MessageContent }>([
    { content: "hello world" },
    { content: "" },
    { content: [{ type: "text", text: "one" }] },
    { content: image }
  ])("$content", ({ content }) => {
    assert.strictEqual(Result.getOrThrow(toForm(content, "AsGiven")), content)
  })
})

describe("SeveralBlocks", () => {
  const joiner = "\u2060"
  // What models refuse in a block, in whatever language they are served.
  const hasSomethingToRead = (text: string) => /[^\s\p{Cc}]/u.test(text)

  it("a text is cut between lines, or else between words", () => {
    assert.deepStrictEqual(blocks("hello brave new world"), ["hello", " brave new world"])
    assert.deepStrictEqual(blocks("größer 😀"), ["größer", " 😀"])
    assert.deepStrictEqual(blocks("  hello \n\nworld"), ["  hello", " \n\nworld"])
    assert.deepStrictEqual(blocks("read this: \n\nline\nline"), ["read this:", " \n\nline\nline"])
    assert.deepStrictEqual(blocks("\n\nhello world\n"), ["\n\nhello", " world\n"])
  })

  it("a single word is left whole", () => {
    for (
      const word of [
        "Hello.",
        "hello",
        "a",
        "日本語",
        "😀",
        "👨‍👩‍👧",
        "🇩🇪",
        "e\u0301",
        " hi ",
        "\n.\n",
        "x".repeat(400_000)
      ]
    ) {
      assert.deepStrictEqual(blocks(word), [word, joiner])
    }
  })

  it("what has nothing to read gets something", () => {
    for (const text of ["", " ", "\n \t", "\u0085", joiner, "\u200b", "\ufeff", "\u0000"]) {
      assert.deepStrictEqual(blocks(text), [`${text}${joiner}`, `${joiner}${joiner}`])
    }
  })

  it("a single block is a text, or gets a second one", () => {
    assert.deepStrictEqual(blocks([{ type: "text", text: "hello world" }]), ["hello", " world"])
    const delivered = Result.getOrThrow(toForm(image, "SeveralBlocks"))
    assert.deepStrictEqual(delivered, [...image, { type: "text", text: joiner }] as never)
  })

  it("two blocks and more are left as they are", () => {
    const content: MessageContent = [{ type: "text", text: "one" }, { type: "text", text: "two" }]
    assert.strictEqual(Result.getOrThrow(toForm(content, "SeveralBlocks")), content)
  })

  const check = (text: string) => {
    for (const content of [text, [{ type: "text", text }] as const]) {
      const [first = "", second = "", ...more] = blocks(content)
      assert.deepStrictEqual(more, [])
      assert.strictEqual((first + second).replaceAll(joiner, ""), text.replaceAll(joiner, ""))
      assert.isTrue(isGraphemeBoundary(text, Math.min(first.length, text.length)), JSON.stringify([first, second]))
      assert.isTrue(hasSomethingToRead(first) && hasSomethingToRead(second), JSON.stringify([first, second]))
      assert.strictEqual(fromTexts([first, second]).join(""), text)
    }
  }

  it.prop(
    "any text is two blocks that read as the text, and is distinguished from them",
    { parts: Text },
    ({ parts }) => check(parts.join(""))
  )

  it.prop("any string, too", { text: Schema.String }, ({ text }) => check(text))

  it("the time grows with the text", () => {
    for (const text of ["x".repeat(500_000), " ".repeat(500_000), "x ".repeat(250_000), `x${" ".repeat(499_999)}`]) {
      assert.strictEqual(fromTexts(blocks(text)).join(""), text)
    }
  })
})

describe("TextOnly", () => {
  const delivered = (content: MessageContent) => toForm(content, "TextOnly")

  it("a text is left as it is, the texts of blocks are joined", () => {
    assert.deepStrictEqual(delivered("hello"), Result.succeed("hello"))
    assert.deepStrictEqual(
      delivered([{ type: "text", text: "hello" }, { type: "text", text: " world" }]),
      Result.succeed("hello world")
    )
  })

  it("an image or a document is refused", () => {
    const document: MessageContent = [
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
