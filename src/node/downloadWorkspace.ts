/** Fetches a session's workspace into a folder on disk. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import type { PlatformError } from "effect/PlatformError"
import * as Stream from "effect/Stream"
import { type BundleEntry, entries } from "../internal/files/bundle.ts"
import { unwritable } from "../internal/files/fileName.ts"
import { refuse, refuseAs, whyOf } from "../internal/files/folder.ts"
import { leftOut } from "../internal/files/leftOut.ts"
import { within } from "../internal/request/operations.ts"
import { printable } from "../internal/request/printable.ts"
import type { AshError } from "../schema/AshError.ts"
import { Workspaces } from "../services/Workspaces.ts"

const operation = "downloadWorkspace"

/** What has been staged, by its path, and the folders on the way to it, which come before. */
type Staged = Map<string, "file" | "folder">

/** Writes an entry into the folder in which a download is staged. */
const stage = Effect.fnUntraced(function*(staging: string, staged: Staged, entry: BundleEntry<AshError>) {
  const fileSystem = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const { kind, path: name } = entry
  const why = unwritable(name, path)
  if (why !== undefined) return yield* leftOut(name, why)
  const source = kind === "hard link" ? entry.target : name
  if (kind === "hard link" && staged.get(source) !== "file") {
    return yield* leftOut(name, `it is a hard link to ${printable(source)}, which is left out`)
  }
  const target = path.join(staging, name)
  if (kind === "folder") {
    yield* fileSystem.makeDirectory(target, { recursive: true })
  } else {
    const content: Stream.Stream<Uint8Array, AshError | PlatformError> = kind === "file"
      ? entry.content
      : fileSystem.stream(path.join(staging, source))
    yield* fileSystem.makeDirectory(path.dirname(target), { recursive: true })
    // A later entry of the same path is a newer one.
    if (staged.get(name) === "file") yield* fileSystem.remove(target)
    yield* Stream.run(content, fileSystem.sink(target, { flag: "wx", mode: entry.mode }))
  }
  for (const { index } of name.matchAll(/\//g)) staged.set(name.slice(0, index), "folder")
  staged.set(name, kind === "folder" ? kind : "file")
}, (self, _staging, _staged, entry) =>
  Effect.catchTag(self, "PlatformError", (error) =>
    // Something is there already, which has another path.
    error.reason._tag === "AlreadyExists" || error.reason._tag === "BadResource"
      ? leftOut(entry.path, "another has its name on this disk")
      : /^E(?:NAMETOOLONG|ILSEQ|INVAL):/.test(whyOf(error))
      ? leftOut(entry.path, "this disk has no such name")
      : Effect.fail(error)))

/** Fails where the folder has a link, or another kind, in the place of what is staged. */
const checkPlaces = Effect.fnUntraced(function*(root: string, staged: Staged) {
  const fileSystem = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  for (const [name, kind] of staged) {
    const info = yield* Effect.option(fileSystem.lstat(path.join(root, name)))
    if (Option.isNone(info)) continue
    const { type } = info.value
    if (type === "SymbolicLink" || (type === "Directory") !== (kind === "folder")) {
      return yield* refuse(
        operation,
        `the workspace is not written: ${name} is a link or no ${kind} in the folder; remove it`
      )
    }
  }
})

/** Moves what is staged to its places, and answers the number of files. */
const move = Effect.fnUntraced(function*(staging: string, root: string, staged: Staged) {
  const fileSystem = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const moveFile = (from: string, to: string) =>
    Effect.catchIf(fileSystem.rename(from, to), (error) => whyOf(error).startsWith("EXDEV:"), () => {
      // A disk is mounted within the folder: the file is copied to it, and takes its place there.
      const near = path.join(path.dirname(to), path.basename(staging))
      return Effect.ensuring(
        Effect.andThen(fileSystem.copyFile(from, near), fileSystem.rename(near, to)),
        Effect.ignore(fileSystem.remove(near))
      )
    })
  const total = [...staged.values()].filter((kind) => kind === "file").length
  let moved = 0
  yield* Effect.forEach(staged, ([name, kind]) => {
    const target = path.join(root, name)
    return kind === "folder"
      ? fileSystem.makeDirectory(target, { recursive: true })
      : Effect.andThen(moveFile(path.join(staging, name), target), Effect.sync(() => moved++))
  }).pipe(
    Effect.uninterruptible,
    Effect.catchTag("PlatformError", (error) =>
      refuse(
        operation,
        `the files could not be moved into the folder, ${moved} of ${total} are in their places: ${whyOf(error)}`
      ))
  )
  return total
})

/**
 * Writes the files of a session's workspace over those of a folder, and answers their number. The folder is made if it does
 * not exist. Hard links become copies, and empty folders are made. Permissions are at most `0o755`, less the umask of the
 * process.
 *
 * No file can get outside of the folder: a path that leaves it is a failure, and so is one through a link in the folder.
 * Some entries are left out with a warning: what is neither file nor folder, such as links and devices; `.git`, at any depth;
 * names that the system does not allow; and the second of two names that are one on the disk.
 *
 * All files are first written to a temporary folder within the folder, and moved to their places when all have arrived. A
 * download that fails before that leaves the folder as it was. One that fails during the move reports how many files were
 * moved. A bundle may have 100 MiB, 1 GiB unpacked and 100,000 files and folders, and each file 100 MiB.
 */
export const downloadWorkspace: (
  sessionId: string,
  directory: string
) => Effect.Effect<number, AshError, Workspaces> = Effect.fn("downloadWorkspace")(
  function*(sessionId, directory) {
    const fileSystem = yield* FileSystem.FileSystem
    yield* fileSystem.makeDirectory(directory, { recursive: true })
    const root = yield* fileSystem.realPath(directory)
    const staging = yield* fileSystem.makeTempDirectoryScoped({ directory: root, prefix: ".effect-ash-" })
    const staged: Staged = new Map()
    const { content } = yield* (yield* Workspaces).download(sessionId)
    yield* Stream.runForEach(entries(content), (entry) => stage(staging, staged, entry))
    yield* checkPlaces(root, staged)
    return yield* move(staging, root, staged)
  },
  Effect.scoped,
  Effect.catchTag("PlatformError", refuseAs(operation, "the folder could not be written")),
  Effect.mapError(within(operation)),
  Effect.provide(Layer.merge(NodeFileSystem.layer, NodePath.layer))
)
