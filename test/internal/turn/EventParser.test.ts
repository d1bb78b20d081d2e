import { assert, describe, it } from "@effect/vitest"
import { EventParser } from "../../../src/internal/turn/EventParser.ts"
import { chance } from "../../support/promise.ts"
import { eventsByEffect } from "../../support/sse.ts"

/** What the parser makes of chunks, until an event is too large. */
const parse = (chunks: ReadonlyArray<Uint8Array>, maxEventSize = Infinity) => {
  const parser = new EventParser(maxEventSize)
  const isTooLarge = chunks.some((chunk) => !parser.feed(chunk))
  return { events: parser.take(), isTooLarge }
}

const deltas = [
  String.raw`{"delta":"}`,
  String.raw`{"delta":""}`,
  String.raw`{"delta":"a\u00e9\n"}`,
  String.raw`{"delta":"a\"}`,
  String.raw`{"delta":"a","delta":"b"}`,
  String.raw`{"delta":"a"b"}`,
  String.raw`{"delta":"a	b"}`,
  String.raw`{"delta":"a}`,
  String.raw`{"delta":1}`,
  String.raw`{"delta":"longer than what engines copy"}`,
  String.raw`{"delta":"longer, and \ud83d\ude00 escaped"} `
]

/** Pieces of event streams, good and bad, in any order. */
const pieces = [
  ...deltas.map((delta) => `event: text_delta\ndata: ${delta}\n\n`),
  "\n",
  "\n\n",
  "\r",
  "\r\n",
  "data: {\"delta\":\"x\"}",
  "data:{\"delta\":\"größer 😀 \u2028\"}",
  "data",
  "data:",
  "data: ",
  "event: text_delta",
  "event:message",
  "event",
  "eventual: x",
  "database: x",
  "id: 1",
  "retry: 10",
  ": comment",
  ":",
  "\uFEFF",
  "x",
  "é"
]
const encoder = new TextEncoder()

const randomBytes = (random: () => number, withCarriageReturns: boolean) => {
  const some = withCarriageReturns ? pieces : pieces.filter((piece) => !piece.includes("\r"))
  const text = Array.from({ length: 1 + Math.floor(random() * 30) }, () => some[Math.floor(random() * some.length)])
    .join("")
  const bytes = encoder.encode(text)
  if (random() < 0.2) bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256)
  return bytes
}

const cut = (random: () => number, bytes: Uint8Array) => {
  const chunks: Array<Uint8Array> = []
  for (let start = 0; start < bytes.length;) {
    const end = Math.min(bytes.length, start + 1 + Math.floor(random() * (random() < 0.3 ? 3 : 40)))
    chunks.push(bytes.subarray(start, end))
    start = end
  }
  return chunks
}

describe("the parser", () => {
  it.each([[false, Infinity], [true, Infinity], [false, 20], [true, 20], [false, 60]] as const)(
    "agrees with Effect's (carriage returns: %s, limit: %d)",
    (withCarriageReturns, limit) => {
      const random = chance(limit === Infinity ? 1 : limit)
      for (let round = 0; round < 4000; round++) {
        const chunks = cut(random, randomBytes(random, withCarriageReturns))
        assert.deepStrictEqual(
          parse(chunks, limit),
          eventsByEffect(chunks, limit),
          JSON.stringify(chunks.map((chunk) => new TextDecoder().decode(chunk)))
        )
      }
    }
  )

  it("reads a line that comes byte by byte", () => {
    const bytes = encoder.encode("event: text_delta\ndata: {\"delta\":\"größer 😀\"}\n\n")
    assert.deepStrictEqual(parse(Array.from(bytes, (byte) => Uint8Array.of(byte))).events, [
      { _tag: "TextDelta", delta: "größer 😀" }
    ])
  })
})
