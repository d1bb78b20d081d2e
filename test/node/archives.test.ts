import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Tar from "effect/encoding/Tar"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { lstatSync, readdirSync, readFileSync, statSync } from "node:fs"
import { gunzipSync, gzipSync } from "node:zlib"
import * as Bundle from "../../src/functions/Bundle.ts"
import { downloadWorkspace } from "../../src/node/downloadWorkspace.ts"
import { archive } from "../support/archive.ts"
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
        Bundle.unpack(
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
    ["two archives, one after the other", `${tree} tar -czf one a/b; tar -czf two a/run; cat one two`],
    ["zeros after the members", `${tree} tar -czf t a; cat t; head -c 10240 /dev/zero`],
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

  it.live("what is no file is skipped with a warning that names it, and what follows it is there", () =>
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
        for (const reported of [warnings, downloaded.warnings]) {
          for (const path of left) {
            assert.isTrue(reported.some((warning) => warning.includes(`${path} is left out`)), path)
          }
        }
      }
    })))

  it.live("permissions are at most 0755, and the owner can read and write", () =>
    Effect.scoped(Effect.gen(function*() {
      const modes = [0o644, 0o755, 0o777, 0o4755, 0o2755, 0o1777, 0o7777, 0o000, 0o400, 0o600, 0o666, 0o640]
      // By option, as a user who is not root cannot read what has no permissions.
      const add = modes.map((mode) => mode.toString(8)).map((mode) =>
        `printf x > f${mode}; tar --mode=${mode} -rf t f${mode}`
      )
      const bundle = yield* written(`${add.join("; ")}; gzip -c t`)
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

  it.live("what follows the data and is no padding is left out, with a warning", () =>
    Effect.gen(function*() {
      const bundle = yield* written("printf 1 > x; tar -czf t x; cat t; printf trash")
      const { files, warnings } = yield* unpack(bundle)
      assert.deepStrictEqual([...files], [["x", "1"]])
      assert.deepStrictEqual(warnings, ["what follows the gzipped data is left out"])
      const two = yield* written("printf 1 > x; printf 2 > y; tar -czf t x; tar -czf u y; cat t u")
      assert.deepStrictEqual((yield* unpack(two)).warnings, ["what follows the end of the archive is left out"])
    }))

  it.live("what was cut off before it was compressed fails, or is reported where the cut is between two entries", () =>
    Effect.gen(function*() {
      const whole = gunzipSync(yield* written("printf 1 > x; head -c 700 /dev/zero > y; : > z; tar -b1 -czf - x y z"))
      const outcomes = yield* Effect.forEach(
        Array.from({ length: whole.length / 256 }, (_, index) => whole.subarray(0, index * 256)),
        (archive) =>
          Effect.match(unpack(new Uint8Array(gzipSync(archive))), {
            onFailure: ({ reason }) => reason._tag,
            onSuccess: ({ files, warnings }) => `${files.size} files, ${warnings.length} warnings`
          })
      )
      const broken = "Undecodable"
      const cut = (files: number) => `${files} files, 1 warnings`
      assert.deepStrictEqual(outcomes.filter((outcome, index) => outcome !== outcomes[index - 1]), [
        cut(0),
        broken,
        cut(1),
        broken,
        cut(2),
        broken,
        cut(3),
        broken,
        "3 files, 0 warnings"
      ])
    }))
})

describe("archives", () => {
  type Change = readonly [offset: number, bytes: ReadonlyArray<number> | string]

  /** Changes the header of the second entry, so that its checksum still fits. */
  const withChecksum = (bytes: Buffer, changes: ReadonlyArray<Change>): Buffer => {
    const header = bytes.subarray(1024, 1536)
    for (const [offset, change] of changes) {
      header.set(typeof change === "string" ? Buffer.from(change) : change, offset)
    }
    header.fill(32, 148, 156)
    header.write(`${header.reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, "0")}\0 `, 148)
    return bytes
  }

  const withHeader = (...changes: ReadonlyArray<Change>) =>
    Effect.map(
      archive([Tar.file("first", "1"), Tar.file("second", "2")]),
      (bundle) => new Uint8Array(gzipSync(withChecksum(gunzipSync(bundle), changes)))
    )

  /** An archive whose second file has a record of attributes before it. */
  const pax = (record: string) =>
    Effect.map(
      archive([Tar.file("first", "1"), Tar.file("x", `${record.length + 4} ${record}\n`), Tar.file("second", "2")]),
      (bundle) => {
        const bytes = gunzipSync(bundle)
        return new Uint8Array(gzipSync(withChecksum(bytes, [[156, "x"]])))
      }
    )

  const hostile: ReadonlyArray<readonly [string, Effect.Effect<Uint8Array>]> = [
    ["a size that is negative", withHeader([124, [255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 254]])],
    ["a size that is huge", withHeader([124, [128, 127, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255]])],
    ["a size that is too large", withHeader([124, "77777777777\0"])],
    ["a size that is no number", withHeader([124, "1x\0"])],
    ["no name", withHeader([0, Array.from({ length: 100 }, () => 0)])],
    ["a name of dots", withHeader([0, "./.\0\0\0\0\0"])],
    ["a name that leaves", withHeader([0, "a/../../x\0"])],
    ["a name that is absolute", withHeader([0, "/etc/x\0"])],
    ["a prefix that leaves", withHeader([345, "../..\0"])],
    ["a NUL in a name", pax("path=a\0b")],
    ["a path that leaves", pax("path=../x")],
    ["a record that is broken", pax("path")],
    ["a size of a record that is too large", pax("size=99999999999")],
    ["a path that is too long", archive([Tar.file("first", "1"), Tar.file("x".repeat(4097), "3")])],
    ["too many folders", archive([Tar.file("first", "1"), Tar.file(`${"d/".repeat(256)}x`, "2")])]
  ]

  it.live("have no content for a link or a folder, whatever its size", () =>
    Effect.gen(function*() {
      for (
        const between of [Tar.hardlink("second", "first"), Tar.directory("second"), Tar.symlink("second", "first")]
      ) {
        const bundle = yield* archive([Tar.file("first", "1"), between, Tar.file("third", "3")])
        const sized = new Uint8Array(gzipSync(withChecksum(gunzipSync(bundle), [[124, "00000001750\0"]])))
        const { files } = yield* unpack(sized)
        assert.deepStrictEqual([files.get("first"), files.get("third")], ["1", "3"])
      }
    }))

  it.live.each(hostile)("with %s fail, and nothing is written", ([, made]) =>
    Effect.scoped(Effect.gen(function*() {
      const around = yield* folder
      const bundle = yield* made
      const { result } = yield* download(bundle, `${around}/into`)
      assert.strictEqual(result._tag === "Failure" ? result.failure.reason._tag : "written", "Undecodable")
      assert.deepStrictEqual(readdirSync(around), ["into"])
      assert.deepStrictEqual(readdirSync(`${around}/into`), [])
    })))

  it.live("are refused and reported in one line, whatever stands in a name", () =>
    Effect.gen(function*() {
      const name = "a\u0085\u2028\u202e\u001b[2J\nb"
      for (const path of [`../${name}`, `/${name}`]) {
        const { message } = yield* Effect.flip(unpack(yield* archive([Tar.file(path, "x")])))
        assert.match(message, /^[^\p{Cc}\p{Cf}\p{Zl}]+$/u)
      }
      const { warnings } = yield* unpack(yield* withHeader([156, [0x85]], [0, "a\0"]))
      assert.isNotEmpty(warnings)
      for (const warning of warnings) assert.match(warning, /^[^\p{Cc}\p{Cf}\p{Zl}]+$/u)
    }))

  it.live(
    "cut off or spoilt anywhere, they give what they held or fail, and never write elsewhere",
    () =>
      Effect.scoped(Effect.gen(function*() {
        const around = yield* folder
        const whole = yield* written(`${tree} rm a/big; tar -b1 -czf - a empty`)
        const archive = gunzipSync(whole)
        let seed = 1
        const random = (below: number) => (seed = (seed * 48271) % 2147483647) % below
        const spoilt = (bytes: Uint8Array) => {
          const copy = bytes.slice()
          for (let times = random(4); times >= 0; times--) copy[random(copy.length)] = random(256)
          return copy
        }
        for (let time = 0; time < 50; time++) {
          const bundles = [
            whole.slice(0, random(whole.length)),
            spoilt(whole),
            new Uint8Array(gzipSync(archive.subarray(0, random(archive.length)))),
            new Uint8Array(gzipSync(spoilt(archive)))
          ]
          for (const bundle of bundles) {
            const { result } = yield* download(bundle, `${around}/into`)
            if (result._tag === "Failure") assert.strictEqual(result.failure.reason._tag, "Undecodable")
          }
        }
        assert.deepStrictEqual(readdirSync(around), ["into"])
        assert.isFalse(readdirSync(`${around}/into`).some((name) => name.startsWith(".effect-ash")))
      }))
  )

  const zeros = new Uint8Array(67_108_864)

  const bombs: ReadonlyArray<readonly [string, Effect.Effect<Uint8Array>]> = [
    [
      "files and folders",
      archive(Array.from({ length: 50_001 }, (_, index) => Tar.file(`${index}/x`, "")))
    ],
    [
      "bytes when it is unpacked",
      Effect.map(archive([Tar.file("x", zeros)]), (bundle) => {
        // As members of gzip, what is the same has to be made but once.
        const header = gzipSync(gunzipSync(bundle).subarray(0, 512))
        const body = gzipSync(zeros)
        return new Uint8Array(Buffer.concat(Array.from({ length: 17 }, () => [header, body]).flat()))
      })
    ],
    [
      "bytes in hard links",
      archive([Tar.file("x", zeros), ...Array.from({ length: 17 }, (_, index) => Tar.hardlink(`y${index}`, "x"))])
    ]
  ]

  it.live.each(bombs)("of too many %s fail, with little memory", ([, made]) =>
    Effect.gen(function*() {
      const bundle = yield* made
      assert.isBelow(bundle.length, 3_000_000)
      const before = process.memoryUsage().rss
      const error = yield* Effect.flip(Stream.runDrain(Bundle.unpack(Stream.make(bundle))))
      assert.include(error.message, "the bundle is too large")
      assert.isBelow(process.memoryUsage().rss - before, 600_000_000)
    }))

  it.live("report names that are one on some disks, and lose none where they are two", () =>
    Effect.scoped(Effect.gen(function*() {
      const bundle = yield* archive([
        Tar.file("src/Makefile", "1"),
        Tar.file("src/makefile", "2"),
        Tar.file("\u00fc", "3"),
        Tar.file("u\u0308", "4"),
        Tar.file("SRC/other", "5"),
        Tar.file("stra\u00dfe", "6"),
        Tar.file("STRASSE", "7"),
        Tar.file("twice", "old"),
        Tar.file("twice", "new")
      ])
      const directory = yield* folder
      const { result, warnings } = yield* download(bundle, directory)
      assert.deepStrictEqual(warnings, [
        "src/Makefile and src/makefile are one name on some disks",
        "\u00fc and u\u0308 are one name on some disks",
        "src and SRC are one name on some disks",
        "stra\u00dfe and STRASSE are one name on some disks"
      ])
      assert.strictEqual(result._tag === "Success" ? result.success : 0, 8)
      assert.strictEqual(filesIn(directory).get("twice"), "new")
      assert.strictEqual(filesIn(directory).size, 8)
      assert.deepStrictEqual((yield* unpack(bundle)).warnings, warnings)
    })))

  it.live("leave out what has the place of another, and every part of a git repository", () =>
    Effect.scoped(Effect.gen(function*() {
      const git = [
        ".git/hooks/post-checkout",
        ".GIT/config",
        "a/.git/config",
        "git~1/config",
        "a/b/GIT~1",
        ".g\u200cit/config",
        ".git./x",
        ".git"
      ]
      const bundle = yield* archive([
        Tar.file("file", "1"),
        Tar.file("file/below", "2"),
        Tar.directory("folder"),
        Tar.file("folder", "3"),
        ...git.map((path) => Tar.file(path, "x", { mode: 0o755 })),
        Tar.hardlink("linked", ".git/hooks/post-checkout"),
        Tar.file(".gitignore", "4"),
        Tar.file(".github/git", "5")
      ])
      const directory = yield* folder
      const { result, warnings } = yield* download(bundle, directory)
      assert.deepStrictEqual(sorted(filesIn(directory)), [[".github/git", "5"], [".gitignore", "4"], ["file", "1"]])
      assert.strictEqual(result._tag === "Success" ? result.success : 0, 3)
      for (const path of ["file/below", "folder", "linked", ...git]) {
        assert.isTrue(
          warnings.some((warning) => warning.startsWith(`${path.replace("\u200c", "\u200c")} is left out`)),
          path
        )
      }
    })))

  it.live("that are interrupted on their way leave a folder as it was", () =>
    Effect.scoped(Effect.gen(function*() {
      const directory = yield* folder
      const content = Uint8Array.from({ length: 500_000 }, (_, index) => (index * index * 7919) % 251)
      const bundle = yield* archive([Tar.file("a", "1"), Tar.file("b", content)])
      const isRead = yield* Deferred.make<void>()
      let pulls = 0
      const body = () =>
        new ReadableStream({
          pull: (controller) => {
            if (pulls++ === 0) controller.enqueue(bundle.slice(0, -20))
            else Deferred.doneUnsafe(isRead, Exit.void)
          }
        }, { highWaterMark: 0 })
      const server = Server.make(() => new Response(body(), { headers: { "content-type": "application/gzip" } }))
      const fiber = yield* Effect.forkChild(Effect.provide(downloadWorkspace(sessionId, directory), server.layer))
      yield* Deferred.await(isRead)
      assert.strictEqual(readdirSync(directory).length, 1)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(readdirSync(directory), [])
    })))

  it.live("that fail leave a folder as it was, and one in the way is reported before anything is written", () =>
    Effect.scoped(Effect.gen(function*() {
      const directory = yield* folder
      run(directory, "printf old > a; mkdir b c; printf kept > c/kept; printf shared > shared; ln shared c/shared")
      const before = sorted(filesIn(directory))
      const files = [Tar.file("a", "new"), Tar.file("c/x", "new"), Tar.file("z", "new")]
      const whole = gunzipSync(yield* archive(files))
      const spoilt = [
        gzipSync(whole).subarray(0, -12),
        gzipSync(whole.subarray(0, 2500)),
        yield* archive([...files, Tar.file("b", "a folder there")]),
        yield* archive([...files, Tar.file("a/x", "a file there")]).pipe(Effect.map((bundle) => bundle.slice(0, -9))),
        yield* archive([Tar.file("a/x", "a file there"), Tar.file("z", "new")])
      ]
      for (const bundle of spoilt) {
        const { result } = yield* download(new Uint8Array(bundle), directory)
        assert.strictEqual(result._tag, "Failure")
        assert.deepStrictEqual(sorted(filesIn(directory)), before)
        assert.deepStrictEqual(readdirSync(directory).toSorted(), ["a", "b", "c", "shared"])
      }
      yield* download(yield* archive([Tar.file("shared", "new")]), directory)
      assert.strictEqual(filesIn(directory).get("shared"), "new")
      // Nothing is written through another name of the file either.
      assert.strictEqual(filesIn(directory).get("c/shared"), "shared")
    })))

  it.live("leave out names that a disk cannot have", () =>
    Effect.scoped(Effect.gen(function*() {
      const names = ["n".repeat(256), "\u00fc".repeat(128), `${"n".repeat(300)}/x`, `a/${"n".repeat(256)}/b/x`]
      for (const name of names) {
        for (const entry of [Tar.file(name, "2"), Tar.directory(name), Tar.hardlink(name, "first")]) {
          const directory = yield* folder
          const bundle = yield* archive([Tar.file("first", "1"), entry, Tar.file("last", "3")])
          const { result, warnings } = yield* download(bundle, directory)
          assert.strictEqual(result._tag === "Success" ? result.success : result.failure.message, 2)
          assert.deepStrictEqual(sorted(filesIn(directory)), [["first", "1"], ["last", "3"]])
          assert.deepStrictEqual(warnings, [`${name} is left out: this disk has no such name`])
        }
      }
    })))

  /** A folder with another disk in it, which is full beyond its size; undefined where that is not allowed. */
  const withDisk = Effect.fnUntraced(function*(size: string) {
    const directory = yield* folder
    const mount = `mkdir disk; mount -t tmpfs -o size=${size} none disk`
    const isMounted = yield* Effect.acquireRelease(
      Effect.sync(() => Result.isSuccess(Result.try(() => run(directory, mount)))),
      (isMounted) => Effect.sync(() => isMounted && run(directory, "umount disk"))
    )
    return isMounted ? directory : undefined
  })

  it.live("are written to a disk within the folder as well", () =>
    Effect.scoped(Effect.gen(function*() {
      const directory = yield* withDisk("1m")
      if (directory === undefined) return
      run(directory, "printf old > disk/a; ln disk/a disk/other; printf old > b; chmod 600 disk/a")
      const files = [Tar.file("b", "1"), Tar.file("disk/a", "2", { mode: 0o755 }), Tar.file("disk/c/d", "3")]
      const { result } = yield* download(yield* archive(files), directory)
      assert.strictEqual(result._tag === "Success" ? result.success : result.failure.message, 3)
      assert.deepStrictEqual(sorted(filesIn(directory)), [
        ["b", "1"],
        ["disk/a", "2"],
        ["disk/c/d", "3"],
        ["disk/other", "old"]
      ])
      assert.strictEqual(statSync(`${directory}/disk/a`).mode & 0o777, 0o755 & ~process.umask())
    })))

  it.live("report a disk that is full, with what is in its place", () =>
    Effect.scoped(Effect.gen(function*() {
      const directory = yield* withDisk("16k")
      if (directory === undefined) return
      const files = [Tar.file("b", "1"), Tar.file("disk/a", new Uint8Array(100_000)), Tar.file("disk/c", "3")]
      const bundle = yield* archive(files)
      const within = yield* download(bundle, directory)
      assert.match(within.result._tag === "Failure" ? within.result.failure.message : "", /1 of 3 .*ENOSPC/)
      assert.deepStrictEqual(sorted(filesIn(directory)), [["b", "1"]])
      const whole = yield* download(bundle, `${directory}/disk`)
      assert.match(whole.result._tag === "Failure" ? whole.result.failure.message : "", /not be written: ENOSPC/)
      assert.deepStrictEqual(readdirSync(`${directory}/disk`), [])
    })))
})
