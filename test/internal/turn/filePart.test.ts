import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { blockOf } from "../../../src/internal/turn/filePart.ts"

/** The bytes that a browser has of a URL, none where it takes it for none. */
const fetched = (url: string) =>
  Effect.promise(() => fetch(url).then((response) => response.arrayBuffer(), () => new ArrayBuffer()))

/** The bytes of a file, none where it is refused. */
const bytesOf = (data: string) => {
  const block = Result.getOrUndefined(blockOf({ mediaType: "image/png", data }))
  const source = block?.type === "image" ? block.source : undefined
  return source?.type === "base64" ? source.data : new Uint8Array()
}

const check = Effect.fnUntraced(function*(url: string) {
  const expected = yield* fetched(url)
  for (const data of [url, URL.canParse(url) ? new URL(url).href : url]) {
    assert.deepStrictEqual(Buffer.from(bytesOf(data)), Buffer.from(expected), url)
  }
})

const Pieces = (...pieces: readonly [string, ...ReadonlyArray<string>]) =>
  Schema.Array(Schema.Literals(pieces)).check(Schema.isMaxLength(6))

describe("a data URL", () => {
  const rows = [
    "data:text/plain;base64,aGVsbG8=",
    "data:text/plain;base64,aGVsbG8",
    "data:text/plain;base64,aGVs%62G8%3D",
    "data:text/plain;base64, aGVs\r\n bG8= ",
    "data:text/plain; base64 ,aGVsbG8=",
    " DATA:;BASE64,aGVsbG8=",
    "data:,100% of %ff%FE %4",
    "data:text/plain,a,b?c#d",
    "data:text/plain,ä\n\t€😀"
  ]
  it.effect.each(rows)("has the bytes that browsers read in it: %j", (url) => check(url))

  it.effect.prop(
    "has the bytes that browsers read in it, whatever it is made of",
    {
      head: Schema.Literals(["data:", "DATA:", " \ndata:"]),
      type: Pieces("text/plain", "image/png", ";", " ", "base64", "BASE64", "charset=utf-8", "=", "\""),
      comma: Schema.Literals([",", ",", ",", ""]),
      data: Pieces(
        "aGVs",
        "bG8=",
        "bG8",
        "=",
        "==",
        "%3D",
        "%",
        "%ff",
        "%4",
        "%zz",
        " ",
        "\n",
        "#",
        "?",
        ",",
        "+/",
        "-_",
        "ä",
        "😀"
      )
    },
    ({ comma, data, head, type }) => check(`${head}${type.join("")}${comma}${data.join("")}`),
    { arbitrary: { runs: 1000 } }
  )
})

describe("the block of a file", () => {
  const bytes = (text: string, encoding: BufferEncoding = "utf8") => new Uint8Array(Buffer.from(text, encoding))
  const document = (data: string) => ({ type: "document", source: { type: "text", media_type: "text/plain", data } })
  const noText = "its bytes are no text of the charset of its type, by default UTF-8"
  const neither = "agents take images, PDF, and text that is sent along"
  const pdf = bytes("%PDF")
  it.each<readonly [string, Parameters<typeof blockOf>[0], unknown]>([
    ["a PDF", { mediaType: "application/PDF; version=1.7", data: pdf, fileName: "a.pdf" }, {
      type: "document",
      source: { type: "base64", media_type: "application/pdf", data: pdf },
      title: "a.pdf"
    }],
    ["an image by its URL", { mediaType: "image/png", data: "https://example.com/a.png" }, {
      type: "image",
      source: { type: "url", url: "https://example.com/a.png" }
    }],
    ["a text", { mediaType: "text/markdown", data: bytes("ä") }, document("ä")],
    ["a text that begins with a mark", { mediaType: "text/plain", data: bytes("\ufeffä") }, document("ä")],
    [
      "a text in its charset",
      { mediaType: "Text/Plain; a=b; Charset=\"ISO-8859-1\"", data: bytes("ä", "latin1") },
      document("ä")
    ],
    [
      "a text in the charset of its URL",
      { mediaType: "text/plain", data: "data:text/plain;charset=latin1,%e4" },
      document("ä")
    ],
    [
      "a text in two bytes a character",
      { mediaType: "text/csv;charset=utf-16le", data: bytes("ä", "utf16le") },
      document("ä")
    ],
    ["no text in another charset", { mediaType: "text/plain", data: bytes("ä", "latin1") }, noText],
    ["no text in a charset that is none", { mediaType: "text/plain; charset=none", data: bytes("a") }, noText],
    ["no text by its URL", { mediaType: "text/plain", data: "https://example.com/a.txt" }, neither],
    ["nothing else", { mediaType: "application/json", data: bytes("{}") }, neither],
    ["nothing that is empty", { mediaType: "image/png", data: "" }, "it is empty"]
  ])("has %s", (_, file, expected) => {
    assert.deepStrictEqual<unknown>(Result.merge(blockOf(file)), expected)
  })
})
