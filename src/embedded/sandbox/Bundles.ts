/**
 * Workspaces as gzipped tar archives, packed and unpacked as streams. A small archive may unpack to anything: its content
 * is bounded in size, entries and depth, and is written only into the workspace.
 */
import * as NodeStream from "@effect/platform-node/NodeStream"
import * as Effect from "effect/Effect"
import * as Tar from "effect/encoding/Tar"
import * as FileSystem from "effect/FileSystem"
import * as Stream from "effect/Stream"
import { createGunzip, createGzip } from "node:zlib"
import { ErrorResponse } from "../../schema/ErrorResponse.ts"
import * as Errors from "../wire/Errors.ts"
import * as FileTree from "./FileTree.ts"

/** Bytes of a bundle. */
const maxSize = 104_857_600
/** Bytes of the archive in a bundle. */
const maxUnpackedSize = 536_870_912
const maxEntries = 50_000
/** The size in bytes from which a file is written as it is read. */
const streamedFrom = 1_048_576
/** Names in the path of an entry. */
const maxDepth = 100

const tooLarge = (size: number) => Errors.framework(500, `Bundle too large: ${size} bytes (max ${maxSize})`)
const beyond = (what: string, limit: number) =>
  Errors.failure(413, `Bundle is not unpacked: it unpacks to more than ${limit} ${what}. Send a smaller one`)
const broken = Errors.framework(500, "Failed to extract bundle")

const refusal = (error: unknown): ErrorResponse => error instanceof ErrorResponse ? error : broken

/** Passes on bytes up to a limit, and fails beyond it. */
const upTo =
  (limit: number, refused: (size: number) => ErrorResponse) =>
  <E, R>(self: Stream.Stream<Uint8Array, E, R>): Stream.Stream<Uint8Array, E | ErrorResponse, R> =>
    Stream.suspend(() => {
      let size = 0
      return Stream.tap(self, (bytes) => {
        size += bytes.length
        return size > limit ? Effect.fail(refused(size)) : Effect.void
      })
    })

const isKeptBack = (name: string) => FileTree.isHidden(name) || name.startsWith(".env")

/** Packs a folder: the files that a listing shows, those that links lead to as well. */
export const pack = Effect.fnUntraced(function*(folder: string) {
  const fileSystem = yield* FileSystem.FileSystem
  const files = yield* FileTree.list(folder, isKeptBack)
  const total = files.reduce((sum, { size }) => sum + size, 0)
  if (total > maxUnpackedSize) return yield* tooLarge(total)
  return yield* Stream.fromIterable(files).pipe(
    Stream.mapEffect(Effect.fnUntraced(function*({ path: file }) {
      // A command may have changed it since the listing: it is checked again.
      const source = yield* FileTree.within(folder, file)
      if (source === undefined) return []
      const { mode } = yield* fileSystem.stat(source)
      return [Tar.file(file, yield* fileSystem.readFile(source), { mode })]
    })),
    Stream.flattenIterable,
    Stream.pipeThroughChannel(Tar.encode()),
    NodeStream.pipeThroughSimple(() => createGzip()),
    upTo(maxSize, tooLarge),
    Stream.mkUint8Array,
    Effect.catchIf(
      (error): error is Exclude<typeof error, ErrorResponse> => !(error instanceof ErrorResponse),
      Effect.die
    )
  )
})

/**
 * Lays a bundle over a folder, without entries that lead out of the folder, devices and the like. Links come last, so that
 * no file of a bundle is written through a link of the same bundle.
 */
export const unpack = Effect.fnUntraced(function*(folder: string, bundle: Uint8Array) {
  const fileSystem = yield* FileSystem.FileSystem
  if (bundle.length > maxSize) return yield* tooLarge(bundle.length)
  if (bundle.at(0) !== 0x1f || bundle.at(1) !== 0x8b) {
    return yield* Errors.framework(500, "Invalid bundle: not a gzip file")
  }
  const links: Array<Tar.Header> = []
  let entries = 0

  const extract = Effect.fnUntraced(function*({ body, header }: Tar.Entry<Tar.TarError | ErrorResponse>) {
    entries += 1
    if (entries > maxEntries) return yield* beyond("entries", maxEntries)
    if (header.path.split("/").length > maxDepth) return yield* beyond("levels of folders", maxDepth)
    if (header.size > maxUnpackedSize) return yield* beyond("bytes", maxUnpackedSize)
    const target = yield* FileTree.within(folder, header.path)
    if (target === undefined) return
    if (header.type === "Directory") return yield* fileSystem.makeDirectory(target, { recursive: true })
    if (header.type === "Symlink" || header.type === "Hardlink") links.push(header)
    if (header.type !== "File") return
    yield* FileTree.makeWay(target)
    const options = { mode: header.mode & 0o777 }
    // For a small file a stream costs more than the bytes.
    yield* header.size > streamedFrom
      ? Stream.run(body, fileSystem.sink(target, options))
      : Effect.flatMap(Stream.mkUint8Array(body), (bytes) => fileSystem.writeFile(target, bytes, options))
  })

  /** Makes a link, and removes it again if it leads out of the folder or nowhere. Hard links have their files by now. */
  const link = Effect.fnUntraced(function*({ linkTarget = "", path: file, type }: Tar.Header) {
    yield* FileTree.remove(folder, file).pipe(Effect.ignore)
    const target = yield* FileTree.within(folder, file)
    const linked = yield* FileTree.within(folder, linkTarget)
    if (target === undefined) return
    yield* FileTree.makeWay(target)
    if (type === "Symlink") yield* fileSystem.symlink(linkTarget, target)
    else if (linked !== undefined) yield* fileSystem.link(linked, target)
    if ((yield* FileTree.within(folder, file)) === undefined) yield* FileTree.remove(folder, file)
  })

  yield* Stream.succeed(bundle).pipe(
    NodeStream.pipeThroughSimple(() => createGunzip()),
    Stream.mapError(() => broken),
    upTo(maxUnpackedSize, () => beyond("bytes", maxUnpackedSize)),
    Stream.pipeThroughChannel(Tar.decode()),
    Stream.runForEach(extract),
    Effect.andThen(Effect.forEach(links, link, { discard: true })),
    Effect.mapError(refusal)
  )
})
