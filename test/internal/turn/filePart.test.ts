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
