/** Reads a folder on disk as the files that a server is given of it. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import type { PlatformError } from "effect/PlatformError"

/** A file of a folder. */
export interface FolderFile {
  /** Relative, its segments separated by `/`. */
  readonly path: string
  readonly content: Uint8Array
  /** The permissions. */
  readonly mode: number
}

const ignoredFolders = new Set([
  "node_modules",
  ".git",
  "__pycache__",
  ".cache",
  ".npm",
  ".pnpm-store",
  ".yarn",
  ".venv",
  "venv",
  ".tmp",
  "tmp"
])

const isIgnoredFile = (name: string) => name.startsWith(".env") || name === ".DS_Store" || /\.(?:sock|pid)$/.test(name)

const leftOut = (path: string, why: string) => Effect.as(Effect.logWarning(`${path} is left out: ${why}`), [])

const readFiles = (
  folder: string,
  prefix: string,
  /** The real paths of the folders that it lies in. */
  around: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<FolderFile>, PlatformError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const fileSystem = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const realPath = yield* fileSystem.realPath(folder)
    if (around.includes(realPath)) return yield* leftOut(prefix, "it is a link into a folder around it")
    const names = (yield* fileSystem.readDirectory(folder)).toSorted()
    const found = yield* Effect.forEach(names, (name) =>
      Effect.gen(function*() {
        const at = path.join(folder, name)
        if (!(yield* fileSystem.exists(at))) {
          return yield* leftOut(`${prefix}${name}`, "it is a link that leads nowhere")
        }
        const { mode, type } = yield* fileSystem.stat(at)
        if (type === "Directory") {
          return ignoredFolders.has(name) ? [] : yield* readFiles(at, `${prefix}${name}/`, [...around, realPath])
        }
        if (type !== "File" || isIgnoredFile(name)) return []
        return [{ path: `${prefix}${name}`, content: yield* fileSystem.readFile(at), mode }]
      }))
    return found.flat()
  })

/**
 * The files below a folder, by name. Left out are folders of dependencies and caches, `.env*`, `.DS_Store`, sockets and
 * process ids. Links are followed, but for those that lead nowhere or back into a folder around them.
 */
export const readFolder = (
  folder: string
): Effect.Effect<ReadonlyArray<FolderFile>, PlatformError, FileSystem.FileSystem | Path.Path> =>
  readFiles(folder, "", [])
