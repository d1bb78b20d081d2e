import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { constants, gunzipSync, gzipSync } from "node:zlib"
import { gunzip } from "../../../src/internal/files/gunzip.ts"

const piecesOf = (bytes: Uint8Array, size: number) =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) => bytes.subarray(index * size, (index + 1) * size))

const read = (bytes: Uint8Array, size: number) =>
  Stream.runCollect(gunzip((why) => why)(Stream.fromIterable(piecesOf(bytes, size)))).pipe(
    Effect.map((chunks) => Buffer.concat(chunks))
  )

let seed = 3
const random = (below: number) => (seed = (seed * 48271) % 2147483647) % below

const contents: ReadonlyArray<readonly [string, Buffer]> = [
  ["nothing", Buffer.alloc(0)],
  ["a byte", Buffer.from("a")],
  ["what cannot be compressed", Buffer.from(Uint8Array.from({ length: 150_000 }, () => random(256)))],
  ["one byte again and again", Buffer.alloc(400_000, "x")],
  [
    "text",
    Buffer.from(Array.from({ length: 30_000 }, () => ["the ", "quick ", "brown\n", "fox "][random(4)]).join(""))
  ],
  [
    "what repeats far behind",
    Buffer.concat(
      Array.from(
        { length: 12 },
        () => Buffer.from(Uint8Array.from({ length: 32_000 }, (_, at) => (at * at * 7919) % 251))
      )
    )
  ],
  ["skewed bytes", Buffer.from(Uint8Array.from({ length: 200_000 }, () => Math.clz32(random(2 ** 30) + 1)))]
]

const { Z_DEFAULT_STRATEGY, Z_FILTERED, Z_FIXED, Z_HUFFMAN_ONLY, Z_RLE } = constants

describe("gunzip", () => {
  it.effect.each(contents)("gives %s as it was, however it was compressed", ([, content]) =>
    Effect.gen(function*() {
      for (const strategy of [Z_DEFAULT_STRATEGY, Z_FILTERED, Z_FIXED, Z_HUFFMAN_ONLY, Z_RLE]) {
        for (const level of [0, 1, 9]) {
          const bytes = gzipSync(content, { strategy, level, memLevel: 1 + random(9), windowBits: 9 + random(7) })
          for (const size of bytes.length < 3000 ? [1, 1000, Infinity] : [997, Infinity]) {
            assert.isTrue(
              (yield* read(bytes, Math.min(size, bytes.length))).equals(content),
              `${strategy} ${level} ${size}`
            )
          }
        }
      }
    }))

  it.effect("goes on with the next member, and past padding", () =>
    Effect.gen(function*() {
      const [one, two] = [gzipSync("one"), gzipSync("two")]
      // Flags for an extra field, a name, a comment and a checksum of the header.
      const named = Buffer.concat([
        two.subarray(0, 3),
        Buffer.from([4 + 8 + 16 + 2]),
        two.subarray(4, 10),
        Buffer.from("\x03\0ext name\0comment\0\x01\x02", "latin1"),
        two.subarray(10)
      ])
      for (const size of [1, 1000]) {
        assert.strictEqual(String(yield* read(Buffer.concat([one, two, one]), size)), "onetwoone")
        assert.strictEqual(String(yield* read(Buffer.concat([one, Buffer.alloc(1000)]), size)), "one")
        assert.strictEqual(String(yield* read(Buffer.concat([one, Buffer.from("trash")]), size)), "one")
        assert.strictEqual(String(yield* read(Buffer.concat([one, Buffer.from([0x1f])]), size)), "one")
        assert.strictEqual(String(yield* read(Buffer.concat([one, Buffer.alloc(3), two]), size)), "one")
        assert.strictEqual(String(yield* read(Buffer.concat([named, one]), size)), "twoone")
      }
    }))

  it.effect("fails at what is cut off, and at what zlib fails at", () =>
    Effect.gen(function*() {
      const bytes = gzipSync(contents[4]![1].subarray(0, 3000))
      for (let length = 0; length < bytes.length; length++) {
        assert.strictEqual(yield* Effect.flip(read(bytes.subarray(0, length), 1000)), "it is cut off")
      }
      for (let at = 10; at < bytes.length; at++) {
        const spoilt = Buffer.from(bytes)
        spoilt[at] = spoilt[at]! ^ (1 << random(8))
        const expected = yield* Effect.option(Effect.try(() => gunzipSync(spoilt)))
        const result = yield* Effect.option(read(spoilt, 1000))
        assert.strictEqual(Option.isSome(result), Option.isSome(expected))
        if (Option.isSome(result)) assert.isTrue(result.value.equals(contents[4]![1].subarray(0, 3000)))
      }
      assert.strictEqual(
        yield* Effect.flip(read(Buffer.from("no gzip at all"), 1000)),
        "it does not begin as gzip does"
      )
    }))
})
