/** What is kept of the workspaces of sessions, for when their sandboxes are gone. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import type { PlatformError } from "effect/PlatformError"
import * as Semaphore from "effect/Semaphore"
import * as FileTree from "./FileTree.ts"

export type Snapshots = Effect.Success<ReturnType<typeof make>>

/** Keeps snapshots below a folder, one for a session. */
export const make = Effect.fnUntraced(function*(folder: string) {
  const fileSystem = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const lock = yield* Semaphore.make(1)
  const snapshotOf = (session: string) => path.join(folder, session, "workspace")

  /** Copies a folder as it is, links as links: a link may lead to the whole disk. */
  const copy = Effect.fnUntraced(function*(
    from: string,
    to: string,
    isKept: (name: string) => boolean
  ): Effect.fn.Return<void, PlatformError> {
    yield* fileSystem.makeDirectory(to, { recursive: true })
    yield* Effect.forEach((yield* fileSystem.readDirectory(from)).filter(isKept), (name) =>
      Effect.gen(function*() {
        const [source, target] = [path.join(from, name), path.join(to, name)]
        const link = yield* Effect.option(fileSystem.readLink(source))
        if (Option.isSome(link)) return yield* fileSystem.symlink(link.value, target)
        const { type } = yield* fileSystem.stat(source)
        if (type === "Directory") return yield* copy(source, target, isKept)
        if (type === "File") yield* fileSystem.copyFile(source, target)
      }), { discard: true })
  })

  const find = (session: string) =>
    Effect.map(
      Effect.orDie(fileSystem.exists(snapshotOf(session))),
      (exists) => exists ? Option.some(snapshotOf(session)) : Option.none()
    )

  return {
    /**
     * Takes the snapshot of a session, in place of the one before: of the whole workspace, or as real servers do, without
     * what can be made again. A file that vanishes meanwhile ends it, and fails nothing.
     */
    take: (session: string, workspace: string, whole: boolean) =>
      Effect.andThen(
        fileSystem.remove(snapshotOf(session), { recursive: true, force: true }),
        copy(workspace, snapshotOf(session), (name) => whole || !FileTree.isHidden(name))
      ).pipe(Effect.ignore, lock.withPermit, Effect.uninterruptible),
    /** Lays out a workspace as the snapshot of a session has it, and answers whether there is one. */
    restore: (session: string, workspace: string) =>
      Effect.flatMap(
        find(session),
        Option.match({
          onNone: () => Effect.succeed(false),
          onSome: (snapshot) => Effect.as(copy(snapshot, workspace, () => true), true)
        })
      ),
    /** The folder of a session's snapshot. */
    find
  }
})
