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
import { refuse } from "../internal/files/folder.ts"
import { leftOut } from "../internal/files/leftOut.ts"
import { printable } from "../internal/request/printable.ts"
import type { AshError } from "../schema/AshError.ts"
import { Workspaces } from "../services/Workspaces.ts"

const operation = "downloadWorkspace"

/**
 * Writes the files of a session's workspace over those of a folder, which is made where there is none, and answers their
 * number. Hard links become copies, empty folders are made, and permissions are at most `0o755`, as the umask of the process
 * lets them be.
 *
 * No file can come to lie outside the folder: a path that would leave it fails, and so does one through a link in the folder.
 * Left out with a warning is what is neither file nor folder, such as links and devices; `.git`, in folders as well; what
 * the system has no name for; and the second of two that have one name on the disk.
 *
 * Everything is written beside, into a folder within the folder, and moved to its place when all has arrived. A download that
 * fails before leaves the folder as it was; one that fails while it is moved says how many files are in their places.
 * A bundle may have 100 MiB, 1 GiB unpacked and 100,000 files and folders, and each file 100 MiB.
 */
export const downloadWorkspace: (
  sessionId: string,
  directory: string
) => Effect.Effect<number, AshError, Workspaces> = Effect.fn("downloadWorkspace")(
  function*(sessionId, directory) {
    const workspaces = yield* Workspaces
    const fileSystem = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    yield* fileSystem.makeDirectory(directory, { recursive: true })
    const root = yield* fileSystem.realPath(directory)
    const staging = yield* fileSystem.makeTempDirectoryScoped({ directory: root, prefix: ".effect-ash-" })
    /** What has been staged, and the folders on the way to it, which come before. */
    const staged = new Map<string, "file" | "folder">()

    const stage = Effect.fnUntraced(function*(entry: BundleEntry<AshError>) {
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
    })

    const { content } = yield* workspaces.download(sessionId)
    yield* Stream.runForEach(entries(content), (entry) =>
      Effect.catchTag(stage(entry), "PlatformError", (error) =>
        // Something is there already, which has another path.
        error.reason._tag === "AlreadyExists" || error.reason._tag === "BadResource"
          ? leftOut(entry.path, "another has its name on this disk")
          : Effect.fail(error)))

    for (const [name, kind] of staged) {
      const target = path.join(root, name)
      if (yield* Effect.isSuccess(fileSystem.readLink(target))) {
        return yield* refuse(operation, `${printable(name)} is a link in the folder`)
      }
      const info = yield* Effect.option(fileSystem.stat(target))
      if (Option.isSome(info) && (info.value.type === "Directory") !== (kind === "folder")) {
        return yield* refuse(operation, `${printable(name)} is no ${kind} in the folder`)
      }
    }

    const total = [...staged.values()].filter((kind) => kind === "file").length
    let moved = 0
    yield* Effect.uninterruptible(Effect.forEach(staged, ([name, kind]) => {
      const target = path.join(root, name)
      return kind === "folder"
        ? fileSystem.makeDirectory(target, { recursive: true })
        : Effect.andThen(fileSystem.rename(path.join(staging, name), target), Effect.sync(() => moved++))
    })).pipe(
      Effect.catchTag(
        "PlatformError",
        ({ message }) =>
          refuse(operation, `${moved} of ${total} files have been written into the folder, then: ${message}`)
      )
    )
    return total
  },
  Effect.scoped,
  Effect.catchTag("PlatformError", ({ message }) => refuse(operation, `the folder could not be written: ${message}`)),
  Effect.provide(Layer.merge(NodeFileSystem.layer, NodePath.layer))
)
