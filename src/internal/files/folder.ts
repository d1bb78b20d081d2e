/** Reads a folder on disk as the files that a server is given of it. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import type { PlatformError } from "effect/PlatformError"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { AshError } from "../../schema/AshError.ts"
import { InvalidRequest } from "../../schema/Reasons.ts"
import { collect } from "../request/answer.ts"
import { maxDepth, maxEntries } from "./bundle.ts"
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
  /** The permissions. */
  readonly mode: number
}

/** A file of a folder, or a folder in it of which nothing is sent. */
type FolderEntry = FolderFile | { readonly kind: "folder"; readonly path: string }

/** Bytes that a text may have which says how a folder is sent. */
const maxTextSize = 1_000_000

/** Links to folders that are followed where they are behind a link themselves: there they can multiply each other. */
const maxNestedLinks = 1000

/** Fails with what is wrong with a directory. */
export const refuse = (operation: string, message: string): Effect.Effect<never, AshError> =>
  Effect.fail(new AshError({ operation, reason: new InvalidRequest({ message, field: "directory" }) }))

/** Fails as {@link refuse} does where a folder cannot be read. */
export const refuseUnreadable = (operation: string) => (error: PlatformError) =>
  refuse(operation, `the folder could not be read: ${error.message}`)

/** The text of bytes in UTF-8, or in UTF-16 where they begin as it does. */
const decodeText = (bytes: Uint8Array): Option.Option<string> => {
  const mark = (bytes[0] ?? 0) * 256 + (bytes[1] ?? 0)
  const charset = mark === 0xfffe ? "utf-16le" : mark === 0xfeff ? "utf-16be" : "utf-8"
  return Result.getSuccess(Result.try(() => new TextDecoder(charset, { fatal: true }).decode(bytes))).pipe(
    Option.filter((text) => !text.includes("\0"))
  )
}

/** The content of a file of a folder, no more than it had when it was found. */
export const contentOf = ({ size, source }: FolderFile) =>
  Stream.unwrap(Effect.map(FileSystem.FileSystem, (fileSystem) => fileSystem.stream(source, { bytesToRead: size })))

/** The text of a file of a folder. */
export const textOf = Effect.fnUntraced(function*(operation: string, file: FolderFile) {
  if (file.size > maxTextSize) {
    return yield* refuse(operation, `${file.path} has ${file.size} bytes, of at most ${maxTextSize}`)
  }
  const text = decodeText(yield* collect(contentOf(file)))
  return Option.isSome(text)
    ? text.value
    : yield* refuse(operation, `${file.path} is no text in UTF-8, nor in UTF-16 with a byte order mark`)
})

/** A folder on the way down. */
interface Place {
  /** Where it really is. */
  readonly source: string
  /** The path by which it is sent: empty, or with `/` at its end. */
  readonly prefix: string
  /** The real paths of the folders that it is sent in. */
  readonly around: ReadonlyArray<string>
  /** Whether a link is on the way. */
  readonly isLinked: boolean
  readonly rules: FolderRules
}

/**
 * What is sent of a folder, by name. What is not is told by a warning, but for what is of no use or excluded. `taken` are
 * files that are found whatever the rules say.
 *
 * A link is followed within the folder, and out of it where that is asked for, but never into a folder that it is in.
 */
export const readFolder = Effect.fnUntraced(function*(
  operation: string,
  directory: string,
  { exclude, followLinks = false }: FolderOptions,
  taken: ReadonlyArray<string> = []
) {
  const fileSystem = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const root = yield* fileSystem.realPath(path.resolve(directory))
  const entries: Array<FolderEntry> = []
  let nestedLinks = 0

  const isWithin = (source: string) => source === root || source.startsWith(path.join(root, path.sep))

  /**
   * Whether a path, or the one behind it, is named as secrets are: seen with the names of the folder itself, which may be
   * one of secrets, or from the whole disk where a link has led out.
   */
  const isSecret = (sent: string, source: string) => {
    const start = isWithin(source) ? path.dirname(path.dirname(root)) : path.parse(source).root
    return [sent, source.slice(start.length)].some((name) =>
      isCredential(name.replaceAll(path.sep, "/").replaceAll(/^\/+|\/+$/g, ""))
    )
  }

  const readEntry = Effect.fnUntraced(function*(
    { around, isLinked, prefix, rules, source }: Place,
    { name, type }: FileSystem.DirectoryEntry
  ): Effect.fn.Return<unknown, AshError | PlatformError, FileSystem.FileSystem> {
    const sent = `${prefix}${name}`
    const isLink = type === "SymbolicLink"
    const found = path.join(source, name)
    const real = isLink ? yield* Effect.orElseSucceed(fileSystem.realPath(found), () => found) : found
    const info = yield* Effect.option(fileSystem.stat(real))
    const kind = Option.getOrUndefined(info)?.type
    const isTaken = kind === "File" && taken.includes(sent)
    if (!isTaken && rules.ignores(kind === "Directory" ? `${sent}/` : sent)) return
    if (Option.isNone(info)) {
      return yield* leftOut(
        sent,
        isLink ? "it is a link that leads nowhere" : name.includes("\uFFFD") ? "its name is not UTF-8" : "it is gone"
      )
    }
    if (!followLinks && !isWithin(real)) return yield* leftOut(sent, "it is a link that leads out of the folder")
    if (!isTaken && isSecret(sent, real)) return yield* leftOut(sent, "it may hold credentials")
    if (entries.length >= maxEntries) {
      return yield* refuse(operation, `more than ${maxEntries} files and folders are in it or behind its links`)
    }
    switch (kind) {
      case "Directory":
        if (around.includes(real)) return yield* leftOut(sent, "it is a link into a folder around it")
        if (isLink && isLinked && ++nestedLinks > maxNestedLinks) {
          return yield* leftOut(sent, `it is a link behind another, of more than ${maxNestedLinks}`)
        }
        return yield* readPlace({
          source: real,
          prefix: `${sent}/`,
          around: [...around, real],
          isLinked: isLink || isLinked,
          rules
        })
      case "File":
        return entries.push({
          kind: "file",
          path: sent,
          source: real,
          size: Number(info.value.size),
          mode: info.value.mode
        })
      default:
        return yield* leftOut(sent, `it is no file, but a ${kind}`)
    }
  })

  const readPlace = Effect.fnUntraced(function*(
    place: Place
  ): Effect.fn.Return<void, AshError | PlatformError, FileSystem.FileSystem> {
    const { around, prefix, source } = place
    if (around.length > maxDepth) {
      return yield* refuse(operation, `folders lie in it, or behind its links, more than ${maxDepth} deep`)
    }
    const before = entries.length
    const found = yield* fileSystem.readDirectoryEntries(source)
    const ignoreFile = path.join(source, ".ashignore")
    const info = yield* Effect.option(fileSystem.stat(ignoreFile))
    const rules = Option.isSome(info) && info.value.type === "File"
      ? place.rules.within(
        prefix,
        yield* textOf(operation, {
          kind: "file",
          path: `${prefix}.ashignore`,
          source: ignoreFile,
          size: Number(info.value.size),
          mode: 0
        })
      )
      : place.rules
    for (const entry of found.toSorted((a, b) => a.name < b.name ? -1 : 1)) {
      yield* readEntry({ ...place, rules }, entry)
    }
    if (entries.length === before && prefix !== "") entries.push({ kind: "folder", path: prefix.slice(0, -1) })
  })

  yield* readPlace({ source: root, prefix: "", around: [root], isLinked: false, rules: makeRules(exclude) })
  return entries
})
