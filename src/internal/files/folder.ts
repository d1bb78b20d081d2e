/** Reads a folder on disk: the files in it that are sent to a server. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import { type PlatformError, systemError } from "effect/PlatformError"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { AshError } from "../../schema/AshError.ts"
import { flag, refusal, rule } from "../request/options.ts"
import { printable } from "../request/printable.ts"
import { maxDepth, maxEntries } from "./bundle.ts"
import { decodeText } from "./fileName.ts"
import { type FolderRules, isCredential, makeRules } from "./folderRules.ts"
import { leftOut } from "./leftOut.ts"

/** What is sent of a folder. */
export interface FolderOptions {
  /** Patterns of what is left out, as in `.gitignore`; they come after those of `.ashignore`. */
  readonly exclude?: ReadonlyArray<string> | undefined
  /** Whether links are followed that lead out of the folder. @default false */
  readonly followLinks?: boolean | undefined
}

/** A file of a folder. */
export interface FolderFile {
  readonly kind: "file"
  /** Relative, its segments separated by `/`. */
  readonly path: string
  /** Where it is read. */
  readonly source: string
  /** Bytes. */
  readonly size: number
  readonly mode: number
}

/** A file of a folder, or a folder in it that holds nothing to send. */
type FolderEntry = FolderFile | { readonly kind: "folder"; readonly path: string }

const ignoreName = ".ashignore"

/** The most bytes of a text that configures how a folder is sent. */
const maxTextSize = 1_000_000

/** The most characters of a pattern. */
const maxPattern = 4096

/** The most links to folders that are followed where a link leads to them: such links can multiply each other. */
const maxNestedLinks = 1000

/** Fails with what is wrong with a directory. */
export const refuse = (operation: string, message: string): Effect.Effect<never, AshError> =>
  Effect.fail(refusal(operation, "directory", printable(message)))

/** What the system says of its refusal, its code first. */
export const whyOf = ({ cause, message }: PlatformError): string => cause instanceof Error ? cause.message : message

/** Fails as {@link refuse} does where the system refuses something. */
export const refuseAs = (operation: string, what: string) => (error: PlatformError) =>
  refuse(operation, `${what}: ${whyOf(error)}`)

/** Decodes UTF-8, or UTF-16 after a byte order mark; none if it is not text. */
const decode = (bytes: Uint8Array): Option.Option<string> => {
  const mark = (bytes[0] ?? 0) * 256 + (bytes[1] ?? 0)
  const charset = mark === 0xfffe ? "utf-16le" : mark === 0xfeff ? "utf-16be" : "utf-8"
  return Option.filter(decodeText(charset, bytes), (text) => !text.includes("\0"))
}

/** The content of a file of a folder, up to the size it had when it was found. To open what else has its place may take for ever. */
export const contentOf = ({ size, source }: Pick<FolderFile, "size" | "source">) =>
  Stream.unwrap(Effect.gen(function*() {
    const fileSystem = yield* FileSystem.FileSystem
    const { type } = yield* fileSystem.stat(source)
    return type === "File" ? fileSystem.stream(source, { bytesToRead: size }) : Stream.fail(systemError({
      _tag: "BadResource",
      module: "FileSystem",
      method: "stream",
      pathOrDescriptor: source,
      description: `it is no file any more, but a ${type}`
    }))
  }))

/** Whether something are patterns that the regular expressions of this platform can have. */
const arePatterns = Schema.is(Schema.Array(Schema.String.check(Schema.isMaxLength(maxPattern))))

export const folderRules = {
  exclude: rule(`patterns of at most ${maxPattern} characters each`, arePatterns),
  followLinks: flag
}

export const textOf = Effect.fnUntraced(
  function*(operation: string, file: Pick<FolderFile, "path" | "size" | "source">) {
    if (file.size > maxTextSize) {
      return yield* refuse(operation, `${file.path} has ${file.size} bytes, of at most ${maxTextSize}; shorten it`)
    }
    const text = decode(yield* Stream.mkUint8Array(contentOf(file)))
    return Option.isSome(text)
      ? text.value
      : yield* refuse(
        operation,
        `${file.path} is no text in UTF-8, nor in UTF-16 with a byte order mark: save it as UTF-8`
      )
  }
)

interface Place {
  /** Its real path. */
  readonly source: string
  /** The path under which it is sent: empty, or with `/` at its end. */
  readonly prefix: string
  /** The real paths of the folders that it is sent in. */
  readonly around: ReadonlyArray<string>
  /** Whether a link is on the way. */
  readonly isLinked: boolean
  readonly rules: FolderRules
}

type Read = Effect.fn.Return<unknown, AshError | PlatformError, FileSystem.FileSystem>

/**
 * What is sent of a folder, by name. A warning reports what is not sent, unless it is useless or excluded. Files named in
 * `taken` are sent whatever the rules are.
 *
 * A link is followed within the folder, and out of it if `followLinks` is set, but never into a folder that it is in.
 */
export const readFolder = Effect.fnUntraced(function*(
  operation: string,
  directory: string,
  { exclude = [], followLinks = false }: FolderOptions,
  taken: ReadonlyArray<string> = []
) {
  const fileSystem = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  if (typeof directory !== "string" || directory === "") {
    return yield* refuse(operation, "the folder has no path; give one")
  }
  const root = yield* fileSystem.realPath(path.resolve(directory))
  const entries: Array<FolderEntry> = []
  let nestedLinks = 0

  /** An entry of a folder, with its link resolved if it is one. */
  const find = Effect.fnUntraced(function*({ prefix, source }: Place, { name, type }: FileSystem.DirectoryEntry) {
    const isLink = type === "SymbolicLink"
    const here = path.join(source, name)
    const real = isLink ? yield* Effect.orElseSucceed(fileSystem.realPath(here), () => here) : here
    // What it is, or why that is not known: it is gone, a link that leads nowhere, or nothing may be read there.
    const stat = yield* Effect.result(fileSystem.stat(real))
    return { sent: `${prefix}${name}`, real, isLink, stat }
  })

  type Found = Effect.Success<ReturnType<typeof find>>

  const isWithinRoot = (source: string) => source === root || source.startsWith(path.join(root, path.sep))

  /**
   * Whether a path, or the real path that it resolves to, has a name that secrets have. The names count from the folder
   * itself, which may have such a name; or from the root of the disk if a link leads out of the folder.
   */
  const isSecret = ({ real, sent }: Found) => {
    const start = isWithinRoot(real) ? path.dirname(path.dirname(root)) : path.parse(real).root
    return [sent, real.slice(start.length)].some((name) =>
      isCredential(name.replaceAll(path.sep, "/").replaceAll(/^\/+|\/+$/g, ""))
    )
  }

  /** Why something is not sent that no rule ignores; undefined if it is sent. */
  const whyNot = (found: Found, isTaken: boolean) => {
    const { isLink, real, sent, stat } = found
    if (Result.isFailure(stat)) {
      if (isLink) return "it is a link that leads nowhere, or may not be read"
      return path.basename(sent).includes("\uFFFD") ? "its name is not UTF-8" : "it is gone"
    }
    if (!followLinks && !isWithinRoot(real)) return "it is a link that leads out of the folder"
    return !isTaken && isSecret(found) ? "it may hold credentials" : undefined
  }

  /** The rules within a folder, with those of its `.ashignore`, which is one of its entries. */
  const rulesIn = Effect.fnUntraced(function*({ prefix, rules, source }: Place) {
    const ignoreFile = path.join(source, ignoreName)
    const { size, type } = yield* fileSystem.stat(ignoreFile)
    const file = { path: `${prefix}${ignoreName}`, source: ignoreFile, size: Number(size) }
    if (type !== "File") return yield* refuse(operation, `${file.path} is a ${type}; rename it`)
    const lines = (yield* textOf(operation, file)).split(/\r?\n/)
    return arePatterns(lines)
      ? rules.within(prefix, lines)
      : yield* refuse(operation, `${file.path} has a line of more than ${maxPattern} characters; shorten it`)
  })

  const readPlace = Effect.fnUntraced(function*(place: Place): Read {
    const { around, prefix, source } = place
    if (around.length > maxDepth) {
      return yield* refuse(operation, `the folder, with its links, is more than ${maxDepth} folders deep: exclude some`)
    }
    const before = entries.length
    const found = yield* fileSystem.readDirectoryEntries(source)
    const rules = found.some(({ name }) => name === ignoreName) ? yield* rulesIn(place) : place.rules
    for (const entry of found.toSorted((a, b) => a.name < b.name ? -1 : 1)) yield* readEntry({ ...place, rules }, entry)
    if (entries.length === before && prefix !== "") entries.push({ kind: "folder", path: prefix.slice(0, -1) })
  })

  /** Reads a folder that is found in another, unless its links go around, or multiply each other. */
  const readWithin = Effect.fnUntraced(
    function*({ around, isLinked, rules }: Place, { isLink, real, sent }: Found): Read {
      if (around.includes(real)) return yield* leftOut(sent, "it is a link into a folder around it")
      if (isLink && isLinked && ++nestedLinks > maxNestedLinks) {
        return yield* leftOut(sent, `it is one of more than ${maxNestedLinks} links that are reached through a link`)
      }
      return yield* readPlace({
        source: real,
        prefix: `${sent}/`,
        around: [...around, real],
        isLinked: isLink || isLinked,
        rules
      })
    }
  )

  const readEntry = Effect.fnUntraced(function*(place: Place, entry: FileSystem.DirectoryEntry): Read {
    const found = yield* find(place, entry)
    const { isLink, real, sent, stat } = found
    const info = Result.getOrUndefined(stat)
    const kind = info?.type
    const isTaken = kind === "File" && taken.includes(sent)
    if (!isTaken && place.rules.ignores(kind === "Directory" ? `${sent}/` : sent)) return
    if (Result.isFailure(stat) && !isLink && stat.failure.reason._tag !== "NotFound") return yield* stat.failure
    const why = whyNot(found, isTaken)
    if (why !== undefined) return yield* leftOut(sent, why)
    if (entries.length >= maxEntries) {
      return yield* refuse(
        operation,
        `the folder, with its links, holds more than ${maxEntries} files and folders: exclude some`
      )
    }
    if (info?.type === "Directory") return yield* readWithin(place, found)
    if (info?.type !== "File") return yield* leftOut(sent, `it is no file, but a ${kind}`)
    const size = Number(info.size)
    // So are files of the system itself, and of some that are mounted.
    if (size === 0 && Option.isSome(yield* Stream.runHead(contentOf({ size: 1, source: real })))) {
      return yield* leftOut(sent, "its size is not known before it is read")
    }
    entries.push({ kind: "file", path: sent, source: real, size, mode: info.mode })
  })

  yield* readPlace({ source: root, prefix: "", around: [root], isLinked: false, rules: makeRules(exclude) })
  return entries
})
