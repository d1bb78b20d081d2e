import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Tar from "effect/encoding/Tar"
import * as Stream from "effect/Stream"
import { gzipSync } from "node:zlib"
import * as Bundle from "../../src/functions/Bundle.ts"
import { archive } from "../support/archive.ts"

describe("bundles", () => {
  it.effect("give the files that were packed", () =>
    Effect.gen(function*() {
      const long = `${"d".repeat(90)}/${"ü".repeat(90)}`
      const bundle = yield* Bundle.pack([
        { path: "a.txt", content: "größer" },
        { path: long, content: new Uint8Array([0, 255]), mode: 0o755 },
        { path: "empty", content: "" }
      ])
      const files = yield* Stream.runCollect(Bundle.unpack(Stream.make(bundle.slice(0, 7), bundle.slice(7))))
      assert.deepStrictEqual(files.map(({ content, mode, path }) => [path, mode, [...content]]), [
        ["a.txt", 0o644, [...new TextEncoder().encode("größer")]],
        [long, 0o755, [0, 255]],
        ["empty", 0o644, []]
      ])
    }))

  it.effect.each(["../a", "/a", "", "a//b", "a/."])("of a file %j are not packed", (path) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Bundle.pack([{ path: "good", content: "" }, { path, content: "" }]))
      assert.strictEqual(error.reason._tag === "InvalidRequest" ? error.reason.field : "", "files[1].path")
    }))

  const bad: ReadonlyArray<readonly [string, Effect.Effect<Uint8Array>]> = [
    ["a path that leaves", archive([Tar.file("../../etc/passwd", "x")])],
    ["an absolute path", archive([Tar.file("/etc/passwd", "x")])],
    ["no gzip", Effect.succeed(new Uint8Array([1, 2, 3]))],
    ["no archive", Effect.sync(() => new Uint8Array(gzipSync("x".repeat(600))))],
    ["half of one", Effect.map(archive([Tar.file("a", "x".repeat(10_000))]), (bundle) => bundle.slice(0, 60))]
  ]
  it.effect.each(bad)("with %s fail typed", ([, bundle]) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Stream.runDrain(Bundle.unpack(Stream.make(yield* bundle))))
      assert.strictEqual(error.reason._tag, "Undecodable")
      assert.strictEqual(error.operation, "Bundle.unpack")
      assert.include(error.message, "the bundle is not a gzipped tar archive of files")
    }))

  it.effect("that break off fail as their source does", () =>
    Effect.gen(function*() {
      const bundle = yield* Bundle.pack([{ path: "a", content: "x" }])
      const broken = Stream.concat(Stream.make(bundle.slice(0, 20)), Stream.fail("mine" as const))
      assert.strictEqual(yield* Effect.flip(Stream.runDrain(Bundle.unpack(broken))), "mine")
    }))
})
