/** Paths and files below a folder, as the server follows, lists and packs them (docs/ash.md 3.2, 3.7 and 3.8). */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import type { PlatformError } from "effect/PlatformError"
import * as Result from "effect/Result"
import { realpathSync } from "node:fs"
import { basename, dirname, join, relative, resolve, sep } from "node:path"
import type { FileEntry } from "../../schema/File.ts"

/** Names that no listing shows. */
export const alwaysHidden: ReadonlySet<string> = new Set(["node_modules", ".git", "__pycache__", ".DS_Store"])

/** Folders of caches, which some listings show. */
const caches: ReadonlySet<string> = new Set([".cache", ".npm", ".pnpm-store", ".yarn", ".venv", "venv", ".tmp", "tmp"])

/** Whether the listings that show least leave out a name. */
export const isHidden = (name: string): boolean => alwaysHidden.has(name) || caches.has(name)

const hiddenExtensions: ReadonlyArray<string> = [".sock", ".lock", ".pid"]

/** Whether a name has an extension that no listing shows. Where the only dot comes first, the whole name is it. */
const hasHiddenExtension = (name: string) => hiddenExtensions.includes(name.slice(name.lastIndexOf(".")))

const isWithin = (root: string, target: string) =>
  target === root || target.startsWith(root.endsWith(sep) ? root : root + sep)

/** Whether the text of a path stays in a folder. A path that begins with a slash begins at the folder. */
export const isInside = (folder: string, file: string): boolean =>
  isWithin(resolve(folder), resolve(join(folder, file)))

/**
 * Where a path leads within a folder, whether or not something is there. Commands of agents may link to any place of the
 * disk: a path through a link that leads out of the folder, or nowhere, counts as absent.
 */
export const within = Effect.fnUntraced(function*(folder: string, file: string) {
  if (!isInside(folder, file)) return undefined
  const target = join(folder, file)
  let place = folder
  for (const name of relative(folder, target).split(sep)) {
    place = join(place, name)
    if (!(yield* isLink(place))) continue
    const real = behind(folder, place)
    if (real === undefined) return undefined
    place = real
  }
  // The separator at the end stays: a path with one names no file.
  return target.endsWith(sep) ? place + sep : place
})

/** Whether what the system finds is that; not where it finds nothing. */
export const finds = <A>(
  find: (fileSystem: FileSystem.FileSystem) => Effect.Effect<A, PlatformError>,
  isThat: (found: A) => boolean
) => FileSystem.FileSystem.use((fileSystem) => Effect.orElseSucceed(Effect.map(find(fileSystem), isThat), () => false))

const isLink = (file: string) => finds(({ lstat }) => lstat(file), ({ type }) => type === "SymbolicLink")

/** Where a path leads, as the system resolves it. Node's own `realpathSync` resolves `..` after a link otherwise. */
const realPath = (file: string) => Result.getOrUndefined(Result.try(() => realpathSync.native(file)))

/** Where a link leads, if it leads somewhere in the folder. */
const behind = (folder: string, link: string) => {
  const [root, real] = [realPath(folder), realPath(link)]
  return root !== undefined && real !== undefined && isWithin(root, real) ? real : undefined
}

/** Prepares the place of a file: makes its parent folders, and removes what would block a write to it, such as a pipe. */
export const makeWay = Effect.fnUntraced(function*(file: string) {
  const fileSystem = yield* FileSystem.FileSystem
  yield* fileSystem.makeDirectory(dirname(file), { recursive: true })
  const existing = yield* Effect.option(fileSystem.stat(file))
  if (Option.isSome(existing) && !["File", "Directory"].includes(existing.value.type)) yield* fileSystem.remove(file)
})

export const write = (file: string, content: Uint8Array) =>
  Effect.andThen(makeWay(file), FileSystem.FileSystem.use((fileSystem) => fileSystem.writeFile(file, content)))

/** Writes a file within a folder, and answers whether its path leads to a place there. */
export const writeWithin = Effect.fnUntraced(function*(folder: string, file: string, content: Uint8Array) {
  const target = yield* within(folder, file)
  if (target !== undefined) yield* write(target, content)
  return target !== undefined
})

/** Removes a file that is within a folder, or the link in its place. */
export const remove = Effect.fnUntraced(function*(folder: string, file: string) {
  const fileSystem = yield* FileSystem.FileSystem
  const parent = yield* within(folder, dirname(file))
  if (parent !== undefined) yield* fileSystem.remove(join(parent, basename(file)))
})

/** The system's own message of a failure. */
export const textOf = (error: PlatformError): string =>
  error.cause instanceof Error ? error.cause.message : error.message

/**
 * The files below a folder, depth first and by name, without those that have a hidden name in their path. Links are
 * followed only within the folder, and each folder is entered through links once: links in a circle have no end, and
 * links to one another multiply.
 */
export const list = (
  folder: string,
  isHidden: (name: string) => boolean
): Effect.Effect<ReadonlyArray<FileEntry>, never, FileSystem.FileSystem> =>
  Effect.gen(function*() {
    const fileSystem = yield* FileSystem.FileSystem
    const entries: Array<FileEntry> = []
    const linked = new Set<string>()

    const walk = (place: string, prefix: string, isLinked: boolean): Effect.Effect<void> =>
      Effect.gen(function*() {
        for (const name of yield* Effect.orElseSucceed(fileSystem.readDirectory(place), () => [])) {
          if (isHidden(name) || hasHiddenExtension(name)) continue
          const file = join(place, name)
          const own = yield* Effect.option(fileSystem.lstat(file))
          const isOwn = Option.isSome(own) && own.value.type !== "SymbolicLink"
          const real = isOwn ? file : behind(folder, file)
          const info = isOwn || real === undefined ? own : yield* Effect.option(fileSystem.stat(real))
          if (real === undefined || Option.isNone(info)) continue
          if (info.value.type === "Directory") {
            const isBehindLink = isLinked || !isOwn
            if (isBehindLink && linked.has(real)) continue
            if (isBehindLink) linked.add(real)
            yield* walk(real, `${prefix}${name}/`, isBehindLink)
          } else if (info.value.type === "File") {
            entries.push({
              path: `${prefix}${name}`,
              size: Number(info.value.size),
              // Node always has it.
              modifiedAt: DateTime.makeUnsafe(Option.getOrElse(info.value.mtime, () => 0))
            })
          }
        }
      })

    yield* walk(folder, "", false)
    return entries
  })
