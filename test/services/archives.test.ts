import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Tar from "effect/encoding/Tar"
import * as Stream from "effect/Stream"
import { lstatSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { gzipSync } from "node:zlib"
import { downloadWorkspace } from "../../src/services/downloadWorkspace.ts"
import { Workspaces } from "../../src/services/Workspaces.ts"
import { sessionId } from "../support/fixtures.ts"
import * as Server from "../support/ScriptedServer.ts"
import { folder, run, unpackedByTar, written } from "../support/shell.ts"
import { withWarnings } from "../support/warnings.ts"

const serving = (bundle: Uint8Array) =>
  Server.make(() => new Response(new Uint8Array(bundle), { headers: { "content-type": "application/gzip" } })).layer

/** The files of a bundle, whatever the pieces in which it comes. */
const unpack = (bundle: Uint8Array, piece = 1000) =>
  Effect.map(
    withWarnings(
      Stream.runCollect(
        Workspaces.unpack(
          Stream.fromIterable(
            Array.from(
              { length: Math.ceil(bundle.length / piece) },
              (_, index) => bundle.subarray(index * piece, (index + 1) * piece)
            )
          )
        )
      )
    ),
    ({ result, warnings }) => ({
      files: new Map(result.map(({ content, path }) => [path, Buffer.from(content).toString("latin1")])),
      modes: new Map(result.map(({ mode, path }) => [path, mode])),
      warnings
    })
  )

const download = (bundle: Uint8Array, directory: string) =>
  withWarnings(Effect.result(Effect.provide(downloadWorkspace(sessionId, directory), serving(bundle))))

const archive = (entries: ReadonlyArray<Tar.Entry>) =>
  Stream.runCollect(Stream.pipeThroughChannel(Stream.fromIterable(entries), Tar.encode())).pipe(
    Effect.map((chunks) => new Uint8Array(gzipSync(Buffer.concat(chunks)))),
    Effect.orDie
  )

const filesIn = (directory: string): ReadonlyMap<string, string> =>
  new Map(
    readdirSync(directory, { recursive: true, encoding: "utf8" })
      .filter((path) => lstatSync(`${directory}/${path}`).isFile())
      .map((path) => [path, readFileSync(`${directory}/${path}`, "latin1")])
  )

const sorted = (files: ReadonlyMap<string, string>) => [...files].toSorted(([a], [b]) => a < b ? -1 : 1)

/** A folder with what folders may have, in names and contents that each format of tar can keep. */
const tree = `
  mkdir -p a/b/c empty; printf hello > a/b/c/x; : > a/nothing; printf run > a/run; chmod 755 a/run
  head -c 200000 /dev/urandom > a/big; ln a/big a/b/hard; ln a/big a/b/again
  d=a; for i in 1 2 3; do d=$d/folder$i; mkdir $d; printf $i > $d/file; done
`
const long = `
  n=$(printf 'n%.0s' $(seq 200)); mkdir -p "$n/ü ö" "$(printf 'd%.0s' $(seq 90))/$(printf 'e%.0s' $(seq 90))"
  printf 1 > "$n/ü ö/$n"; printf 2 > "$(printf 'd%.0s' $(seq 90))/$(printf 'e%.0s' $(seq 90))/f"; ln "$n/ü ö/$n" "$n/link"
`

describe("archives of GNU tar", () => {
  const made: ReadonlyArray<readonly [string, string]> = [
    ...["v7", "ustar", "oldgnu", "gnu", "pax"].map((format) =>
      [`the format ${format}`, `${tree} tar --format=${format} -czf - a empty`] as const
    ),
    ...["gnu", "pax"].map((format) =>
      [`long names in the format ${format}`, `${tree} ${long} tar --format=${format} -czf - *`] as const
    ),
    ["names with a dot before them", `${tree} tar -czf - .`],
    ["names written oddly", `${tree} tar -P -czf - .//a/./b a//run`],
    ["a blocking factor of one", `${tree} tar -b1 -czf - a`],
    [
      "times and owners that are negative or large",
      `${tree} touch -d 1960-01-01 a/run; tar --owner=x:3000000 -czf - a`
    ],
    ["entries that were appended", `${tree} tar -cf t a; printf new > a/run; tar -rf t a/run; gzip -c t`],
    ["several members", `${tree} tar -cf t a; split -b 70000 t part.; for p in part.*; do gzip -c $p; done`],
    ["two archives, one behind the other", `${tree} tar -czf one a/b; tar -czf two a/run; cat one two`],
    ["zeros behind the members", `${tree} tar -czf t a; cat t; head -c 10240 /dev/zero`],
    ["no blocks at the end", `mkdir a; printf 1 > a/x; tar -b1 -cf t a; head -c 1536 t | gzip -c`],
    ["one block at the end", `mkdir a; printf 1 > a/x; tar -b1 -cf t a; head -c 2048 t | gzip -c`],
    ["the names of their members", `${tree} tar -cf t a; gzip -N t; cat t.gz`],
    ["no compression", `${tree} tar -cf - a | gzip -1 -c`]
  ]

  it.live.each(made)(
    "%s: the files are those that GNU tar unpacks",
    ([, script]) =>
      Effect.scoped(Effect.gen(function*() {
        const bundle = yield* written(script)
        const expected = sorted(yield* unpackedByTar(bundle))
        assert.isAbove(expected.length, 0)
        for (const piece of [1, 77, 1e9]) {
          if (piece > 1 || bundle.length < 10_000) {
            assert.deepStrictEqual(sorted((yield* unpack(bundle, piece)).files), expected)
          }
        }
        const directory = yield* folder
        const { result } = yield* download(bundle, directory)
        assert.deepStrictEqual(sorted(filesIn(directory)), expected)
        assert.strictEqual(result._tag === "Success" ? result.success : result.failure.message, expected.length)
      }))
  )

  it.live("what is no file is passed over by a warning that names it, and what is behind it is there", () =>
    Effect.scoped(Effect.gen(function*() {
      const devices = process.getuid?.() === 0
      for (const format of ["gnu", "pax", "posix --sparse-version=0.0", "posix --sparse-version=0.1"]) {
        const bundle = yield* written(`
          mkdir a; printf 1 > a/1; mkfifo a/2-fifo; ln -s /etc/passwd a/3-link; ln -s .. a/4-up
          truncate -s 3M a/5-sparse; for i in $(seq 30); do printf x | dd of=a/5-sparse bs=1 seek=$((i*100000)) conv=notrunc status=none; done
          ${devices ? "mknod a/6-device c 1 3" : ""}
          printf 7 > a/7
          tar -S --format=${format} -V label -czf - a
        `)
        const left = ["2-fifo", "3-link", "4-up", "5-sparse", ...(devices ? ["6-device"] : [])].map((name) =>
          `a/${name}`
        )
        const { files, warnings } = yield* unpack(bundle)
        assert.deepStrictEqual(sorted(files), [["a/1", "1"], ["a/7", "7"]])
        const directory = yield* folder
        const downloaded = yield* download(bundle, directory)
        assert.deepStrictEqual(sorted(filesIn(directory)), [["a/1", "1"], ["a/7", "7"]])
        assert.deepStrictEqual(readdirSync(`${directory}/a`), ["1", "7"])
        for (const told of [warnings, downloaded.warnings]) {
          for (const path of left) assert.isTrue(told.some((warning) => warning.includes(`${path} is left out`)), path)
        }
      }
    })))

  it.live("permissions are at most 0755, and the owner can read and write", () =>
    Effect.scoped(Effect.gen(function*() {
      const modes = [0o644, 0o755, 0o777, 0o4755, 0o2755, 0o1777, 0o7777, 0o000, 0o400, 0o600, 0o666, 0o640]
      const bundle = yield* written(
        `${
          modes.map((mode) => `printf x > f${mode.toString(8)}; chmod ${mode.toString(8)} f${mode.toString(8)}`).join(
            ";"
          )
        }; tar -czf - f*`
      )
      const directory = yield* folder
      yield* download(bundle, directory)
      const { modes: unpacked } = yield* unpack(bundle)
      for (const mode of modes) {
        const name = `f${mode.toString(8)}`
        assert.strictEqual(unpacked.get(name), (mode & 0o755) | 0o600, name)
        assert.strictEqual(
          statSync(`${directory}/${name}`).mode & 0o7777,
          ((mode & 0o755) | 0o600) & ~process.umask(),
          name
        )
      }
    })))

  it.live("what is no padding behind the data is left out by a warning", () =>
    Effect.gen(function*() {
      const bundle = yield* written("printf 1 > x; tar -czf t x; cat t; printf trash")
      const { files, warnings } = yield* unpack(bundle)
      assert.deepStrictEqual([...files], [["x", "1"]])
      assert.deepStrictEqual(warnings, ["what stands behind the gzipped data is left out"])
      const two = yield* written("printf 1 > x; printf 2 > y; tar -czf t x; tar -czf u y; cat t u")
      assert.deepStrictEqual((yield* unpack(two)).warnings, ["what stands behind the end of the archive is left out"])
    }))
})

void [writeFileSync, run, archive]
