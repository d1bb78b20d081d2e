/** The workspaces on the disk: those of sandboxes, and what is kept of them for when their sandboxes are gone. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import type { PlatformError } from "effect/PlatformError"
import * as Semaphore from "effect/Semaphore"
import { dirname, join, relative, resolve } from "node:path"
import type { AgentRow } from "../store/Store.ts"
import { DataFolder } from "./DataFolder.ts"
import * as FileTree from "./FileTree.ts"
import type { SandboxSettings } from "./Sandbox.ts"

/** What a sandbox is made of, and its workspace begins with. */
export interface SandboxOptions {
  /** Its id; a session that is given a prepared one has the id of that. */
  readonly id: string
  /** A sandbox that is prepared has none yet. */
  readonly session?: string | undefined
  readonly agent: AgentRow
  readonly settings: SandboxSettings
  /** The sandbox whose workspace goes on in this one: as a crash left it, else as the snapshot of the session has it. */
  readonly restore?: string | undefined
}

/** Whether a file vanished, has a name that is no UTF-8, or may not be read. */
const isUnreadable = ({ reason }: PlatformError) => reason._tag === "NotFound" || reason._tag === "PermissionDenied"

export const make = Effect.gen(function*() {
  const fileSystem = yield* FileSystem.FileSystem
  const data = yield* DataFolder
  const lock = yield* Semaphore.make(1)
  const workspaceOf = (id: string) => join(data, "sandboxes", id, "workspace")
  const snapshotOf = (session: string) => join(data, "sessions", session, "workspace")

  /**
   * Copies a folder, links as links: one may lead to the whole disk. Those that lead out of it go on to lead where they did.
   * What cannot be read is left out.
   */
  const copy = (
    from: string,
    to: string,
    isKept: (name: string) => boolean,
    root = from
  ): Effect.Effect<void, PlatformError> =>
    Effect.gen(function*() {
      const link = yield* Effect.option(fileSystem.readLink(from))
      if (Option.isSome(link)) {
        const end = resolve(dirname(from), link.value)
        return yield* fileSystem.symlink(FileTree.isInside(root, relative(root, end)) ? link.value : end, to)
      }
      const { type } = yield* fileSystem.stat(from)
      if (type === "File") return yield* fileSystem.copyFile(from, to)
      if (type !== "Directory") return
      yield* fileSystem.makeDirectory(to)
      const names = yield* fileSystem.readDirectory(from)
      yield* Effect.forEach(names.filter(isKept), (name) => copy(join(from, name), join(to, name), isKept, root))
    }).pipe(Effect.catchIf(isUnreadable, () => Effect.void))

  /** Writes a file in place of what is there, which may be a link to a file of the developer's. */
  const put = (file: string, text: string) =>
    Effect.andThen(fileSystem.remove(file, { force: true }), fileSystem.writeFileString(file, text))

  const snapshot = (session: string) =>
    Effect.map(
      Effect.orDie(fileSystem.exists(snapshotOf(session))),
      (exists) => exists ? snapshotOf(session) : undefined
    )

  return {
    /** The workspace of a sandbox, whether or not it is laid out. */
    workspaceOf,
    snapshot,
    layOut: Effect.fnUntraced(function*({ agent, id, restore, session = "", settings }: SandboxOptions) {
      const workspace = workspaceOf(id)
      yield* fileSystem.makeDirectory(dirname(workspace), { recursive: true })
      if (restore !== undefined) {
        const left = workspaceOf(restore)
        if (yield* fileSystem.exists(left)) return yield* fileSystem.rename(left, workspace)
        const kept = yield* snapshot(session)
        if (kept !== undefined) return yield* copy(kept, workspace, () => true)
      }
      // A link in its place would make a workspace of the folder itself.
      yield* copy(yield* fileSystem.realPath(agent.path), workspace, () => true)
      const { mcpServers, systemPrompt } = settings
      if (systemPrompt !== undefined) yield* put(join(workspace, "CLAUDE.md"), systemPrompt)
      if (mcpServers !== undefined) {
        yield* put(join(workspace, ".mcp.json"), `${JSON.stringify({ mcpServers }, null, 2)}\n`)
      }
    }),
    /**
     * Takes the snapshot of a session, in place of the one before: of the whole workspace, or as real servers do, without
     * what can be made again. A workspace that is gone leaves the one before.
     */
    keep: Effect.fnUntraced(
      function*(session: string, workspace: string, whole: boolean) {
        const snapshot = snapshotOf(session)
        yield* fileSystem.access(workspace)
        yield* fileSystem.remove(snapshot, { recursive: true, force: true })
        yield* fileSystem.makeDirectory(dirname(snapshot), { recursive: true })
        yield* copy(workspace, snapshot, (name) => whole || !FileTree.isHidden(name))
      },
      (keeping) => keeping.pipe(Effect.ignore, lock.withPermit, Effect.uninterruptible)
    ),
    /** Removes all that a sandbox has on the disk, as far as the system lets it. */
    remove: (id: string) => Effect.ignore(fileSystem.remove(dirname(workspaceOf(id)), { recursive: true, force: true }))
  }
})
