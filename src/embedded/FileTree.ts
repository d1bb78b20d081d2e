/** The files below a folder, as the server lists and packs them (contract 3.2 and 3.7). */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import type { PlatformError } from "effect/PlatformError"
import type { FileEntry } from "../schema/File.ts"

/** What no listing shows. */
export const alwaysHidden: ReadonlySet<string> = new Set(["node_modules", ".git", "__pycache__", ".DS_Store"])

/** Folders of caches, which some listings show. */
export const caches: ReadonlySet<string> = new Set([
  ".cache",
  ".npm",
  ".pnpm-store",
  ".yarn",
  ".venv",
  "venv",
  ".tmp",
  "tmp"
])

const hiddenExtensions: ReadonlySet<string> = new Set([".sock", ".lock", ".pid"])

/** The files below a folder by path, without those that have a hidden name on their way. */
export const list = (
  folder: string,
  isHidden: (name: string) => boolean,
  prefix = ""
): Effect.Effect<ReadonlyArray<FileEntry>, PlatformError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const fileSystem = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const entries: Array<FileEntry> = []
    for (const name of yield* fileSystem.readDirectory(folder)) {
      const info = yield* Effect.option(fileSystem.stat(path.join(folder, name)))
      if (Option.isNone(info) || isHidden(name)) continue
      if (info.value.type === "Directory") {
        entries.push(...(yield* list(path.join(folder, name), isHidden, `${prefix}${name}/`)))
      } else if (info.value.type === "File" && !hiddenExtensions.has(path.extname(name))) {
        entries.push({
          path: `${prefix}${name}`,
          size: Number(info.value.size),
          modifiedAt: yield* Option.match(info.value.mtime, {
            onNone: () => DateTime.now,
            onSome: (date) => Effect.succeed(DateTime.fromDateUnsafe(date))
          })
        })
      }
    }
    return entries.toSorted((a, b) => a.path < b.path ? -1 : 1)
  })
