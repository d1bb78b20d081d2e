/** The folders of sandboxes on the disk, and what the workspace in them begins with. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import type { SandboxSettings } from "./Sandbox.ts"
import type { Snapshots } from "./Snapshots.ts"

export interface WorkspaceOrigin {
  readonly agentFolder: string
  readonly settings: SandboxSettings
  /** The session whose snapshot is taken, where something is restored. */
  readonly session: string | undefined
  /** The sandbox whose workspace goes on in this one: as a crash left it, else as the snapshot has it. */
  readonly restore: string | undefined
}

export type SandboxFolders = Effect.Success<ReturnType<typeof make>>

export const make = Effect.fnUntraced(function*(folder: string, snapshots: Snapshots) {
  const fileSystem = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const homeOf = (id: string) => path.join(folder, id)
  const workspaceOf = (id: string) => path.join(folder, id, "workspace")

  /** Brings back what there was, and answers whether there was something. */
  const restored = Effect.fnUntraced(function*(workspace: string, { restore, session = "" }: WorkspaceOrigin) {
    if (restore === undefined) return false
    if (!(yield* fileSystem.exists(workspaceOf(restore)))) return yield* snapshots.restore(session, workspace)
    yield* fileSystem.rename(workspaceOf(restore), workspace)
    return true
  })

  return {
    /** The workspace of a sandbox, whether or not it is laid out. */
    workspaceOf,
    layOut: Effect.fnUntraced(function*(id: string, origin: WorkspaceOrigin) {
      const workspace = workspaceOf(id)
      yield* fileSystem.makeDirectory(homeOf(id), { recursive: true })
      if (yield* restored(workspace, origin)) return
      yield* fileSystem.copy(origin.agentFolder, workspace)
      const { mcpServers, systemPrompt } = origin.settings
      if (systemPrompt !== undefined) {
        yield* fileSystem.writeFileString(path.join(workspace, "CLAUDE.md"), systemPrompt)
      }
      if (mcpServers !== undefined) {
        const config = JSON.stringify({ mcpServers }, null, 2)
        yield* fileSystem.writeFileString(path.join(workspace, ".mcp.json"), `${config}\n`)
      }
    }),
    /** Removes all that a sandbox has on the disk, as far as the system lets it. */
    remove: (id: string) => Effect.ignore(fileSystem.remove(homeOf(id), { recursive: true, force: true }))
  }
})
