/** Bundles: workspaces as gzipped tar archives. */
import * as Effect from "effect/Effect"
import * as Tar from "effect/encoding/Tar"
import * as Stream from "effect/Stream"
import type { AshError } from "../../schema/AshError.ts"
import { Undecodable } from "../../schema/Reasons.ts"
import { through, upTo } from "../request/answer.ts"
import { gather, type WholeContent } from "../request/content.ts"
import { failure } from "../request/operations.ts"
import { refusal } from "../request/options.ts"
import { printable } from "../request/printable.ts"
import { gunzip } from "./gunzip.ts"
import { leftOut } from "./leftOut.ts"
import { gatherFiles } from "./newFiles.ts"
import * as TarReader from "./tar.ts"

/** A file of a workspace. */
export interface BundleFile {
  /** Relative, its segments separated by `/`. */
  readonly path: string
  readonly content: WholeContent
  /** The permissions, such as `0o755`. @default 0o644 */
  readonly mode?: number | undefined
}

/** Bytes that a bundle may have, and each file in it. */
export const maxSize = 104_857_600

/** Bytes that a bundle may have when it is unpacked. */
export const maxUnpackedSize = 1_073_741_824

/** Files and folders that a bundle may have. */
export const maxEntries = 100_000

/** Folders that a file may lie in, one within the other. */
export const maxDepth = 255

/** Characters that a path may have. */
const maxPath = 4096

/** Characters that the names of a bundle may have, each folder on the way to a file counted once. */
const maxNames = 67_108_864

/** Bytes of files that are kept for hard links after them: at least the last file. */
const maxKept = maxSize

const broken = (why: string) =>
  failure("Bundle.unpack", Undecodable, {
    message: printable(`the bundle is not a gzipped tar archive of files: ${why}`)
  })

const tooMuch = (what: string) => failure("Bundle.unpack", Undecodable, { message: `the bundle is too large: ${what}` })

const tooMany = () => tooMuch(`it holds more than ${maxEntries} files and folders`)

const refused = (message: string, field: string) => refusal("Bundle.pack", field, printable(message))

const gzip = through(() => new CompressionStream("gzip"), (cause) => refused(String(cause), "files"))

/** Packs entries into a bundle, each of them read when it is its turn. */
export const packEntries = <E, R>(
  entries: Stream.Stream<Tar.Entry<E, R>, E, R>
): Effect.Effect<Uint8Array, AshError | E, R> =>
  Stream.pipeThroughChannel(entries, Tar.encode<E, unknown, Tar.Entry<E, R>>()).pipe(
    Stream.mapError((error) => Tar.isTarError(error) ? refused(error.message, "files") : error),
    gzip,
    (bundle) => gather("Bundle.pack", bundle, "bundle", maxSize)
  )

/** Packs files into a bundle. */
export const pack = (files: ReadonlyArray<BundleFile>): Effect.Effect<Uint8Array, AshError> =>
  Effect.flatMap(
    gatherFiles("Bundle.pack", files),
    (files) =>
      packEntries(Stream.fromIterable(files.map(({ content, mode, path }) => Tar.file(path, content, { mode }))))
  )

/** What a bundle holds, in its order. */
export type BundleEntry<E> =
  | { readonly kind: "folder"; readonly path: string }
  | {
    readonly kind: "file"
    readonly path: string
    readonly mode: number
    /** Read before the next entry, or never. */
    readonly content: Stream.Stream<Uint8Array, E>
  }
  | {
    readonly kind: "hard link"
    readonly path: string
    readonly mode: number
    /** The file before it that it has the content of. */
    readonly target: string
  }

/** A path without what it could do without; none of one that leaves the folder. */
const inFolder = (path: string): string | undefined => {
  const segments = path.split("/").filter((segment) => segment !== "" && segment !== ".")
  return path.startsWith("/") || path.includes("\0") || segments.includes("..") ? undefined : segments.join("/")
}

/** Permissions as what comes from elsewhere may have them: its owner can read and write it, and it runs as no other user. */
const permissions = (mode: number) => (mode & 0o755) | 0o600

/** A path as disks have it that know neither letter case nor forms of characters. */
const fold = (path: string) => path.normalize("NFD").toLowerCase().toUpperCase().normalize("NFD")

/** Checks the number of paths in a bundle, and warns of paths that are one on some disks. */
const makeNames = () => {
  const names = new Map<string, string>()
  const warned = new Set<string>()
  let length = 0
  return Effect.fnUntraced(function*(path: string) {
    if (path.split("/").length > maxDepth + 1) {
      return yield* tooMuch(`a file lies in more than ${maxDepth} folders, one within the other`)
    }
    // The folders above one that is known are known as well.
    for (let name = path; name !== "" && !warned.has(name); name = name.slice(0, Math.max(name.lastIndexOf("/"), 0))) {
      const folded = fold(name)
      const known = names.get(folded)
      if (known === name) break
      length += name.length
      if (known === undefined) {
        names.set(folded, name)
      } else {
        warned.add(name)
        yield* Effect.logWarning(`${printable(known)} and ${printable(name)} are one name on some disks`)
      }
    }
    if (names.size + warned.size > maxEntries || length > maxNames) return yield* tooMany()
  })
}

/** Takes what stands in an archive one by one, checked and bounded. */
const makeTake = <E>() => {
  const takeName = makeNames()
  const sizes = new Map<string, number>()
  let count = 0
  let copied = 0
  return Effect.fnUntraced(
    function*(entry: TarReader.Entry<E>): Effect.fn.Return<ReadonlyArray<BundleEntry<E>>, AshError> {
      const { content, kind, size } = entry
      if (++count > maxEntries) return yield* tooMany()
      if (entry.path.length > maxPath) return yield* tooMuch(`a path has more than ${maxPath} characters`)
      const path = inFolder(entry.path)
      if (path === undefined || (path === "" && kind !== "folder")) {
        return yield* broken(`it holds ${JSON.stringify(entry.path)} (${kind}), which is no file within a folder`)
      }
      if (path === "") return []
      if (path.includes("\uFFFD")) return yield* leftOut(path, "its name is not UTF-8")
      if (kind !== "file" && kind !== "folder" && kind !== "hard link") return yield* leftOut(path, `it is a ${kind}`)
      yield* takeName(path)
      if (kind === "folder") return [{ kind, path }]
      const mode = permissions(entry.mode)
      if (kind === "file") {
        if (size > maxSize) return yield* tooMuch(`${printable(path)} has more than ${maxSize} bytes`)
        sizes.set(path, size)
        return [{ kind, path, mode, content }]
      }
      const target = inFolder(entry.target) ?? ""
      const copy = sizes.get(target)
      if (copy === undefined) {
        return yield* leftOut(
          path,
          `it is a hard link to ${printable(entry.target.slice(0, maxPath))}, which is no file before it`
        )
      }
      if (target === path) return []
      sizes.set(path, copy)
      copied += copy
      if (copied > maxUnpackedSize) {
        return yield* tooMuch(`its hard links have more than ${maxUnpackedSize} bytes`)
      }
      return [{ kind, path, mode, target }]
    }
  )
}

/** What a bundle holds. What is no file, folder or hard link to a file before it is passed over with a warning. */
export const entries = <E, R>(
  bundle: Stream.Stream<Uint8Array, E, R>
): Stream.Stream<BundleEntry<E | AshError>, E | AshError, R> =>
  Stream.suspend(() =>
    bundle.pipe(
      upTo(maxSize, () => tooMuch(`it has more than ${maxSize} bytes`)),
      gunzip(broken),
      upTo(maxUnpackedSize, () => tooMuch(`unpacked, it has more than ${maxUnpackedSize} bytes`)),
      (archive) => TarReader.decode(archive, broken),
      Stream.mapEffect(makeTake<E | AshError>()),
      Stream.flattenIterable
    )
  )

/** The files of a bundle, one after the other. */
export const unpack = <E, R>(
  bundle: Stream.Stream<Uint8Array, E, R>
): Stream.Stream<BundleFile & { readonly content: Uint8Array }, E | AshError, R> =>
  Stream.suspend(() => {
    /** By path, the number of the entry with the content, as a path may come again with another. */
    const numbers = new Map<string, number>()
    /** Copies, as what is given away may be changed; the last ones that were needed come last. */
    const contents = new Map<number, Uint8Array>()
    let count = 0
    let size = 0
    const keep = (content: Uint8Array, number: number) => {
      if (!contents.delete(number)) size += content.length
      contents.set(number, content)
      for (const [oldest, { length }] of contents) {
        if (size <= maxKept) return
        contents.delete(oldest)
        size -= length
      }
    }
    return entries(bundle).pipe(
      Stream.mapEffect(Effect.fnUntraced(function*(entry) {
        if (entry.kind === "folder") return []
        const { mode, path } = entry
        if (entry.kind === "file") {
          const content = yield* Stream.mkUint8Array(entry.content)
          numbers.set(path, ++count)
          keep(content.slice(), count)
          return [{ path, mode, content }]
        }
        const number = numbers.get(entry.target) ?? 0
        const content = contents.get(number)
        if (content === undefined) return yield* leftOut(path, "it is a hard link to a file that is no longer kept")
        numbers.set(path, number)
        keep(content, number)
        return [{ path, mode, content: content.slice() }]
      })),
      Stream.flattenIterable
    )
  })
