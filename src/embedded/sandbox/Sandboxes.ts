/** The sandboxes of the embedded server, put together from their parts: pool, folders, snapshots, ends and starts. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import { Settings } from "../EmbeddedOptions.ts"
import { DataFolder } from "./DataFolder.ts"
import * as SandboxEnds from "./SandboxEnds.ts"
import * as SandboxFolders from "./SandboxFolders.ts"
import * as SandboxPool from "./SandboxPool.ts"
import * as SandboxStarts from "./SandboxStarts.ts"
import * as Snapshots from "./Snapshots.ts"

export class Sandboxes extends Context.Service<Sandboxes>()("effect-ash/embedded/sandbox/Sandboxes", {
  make: Effect.gen(function*() {
    const { maxSandboxes } = yield* Settings
    const path = yield* Path.Path
    const data = yield* DataFolder
    const pool = SandboxPool.make(maxSandboxes)
    const snapshots = yield* Snapshots.make(path.join(data, "sessions"))
    const folders = yield* SandboxFolders.make(path.join(data, "sandboxes"), snapshots)
    const ends = yield* SandboxEnds.make(pool, folders, snapshots)
    return {
      ...yield* SandboxStarts.make(pool, folders, ends),
      ...ends,
      /** A sandbox that is alive. */
      find: (id: string) => Effect.sync(() => Option.fromUndefinedOr(pool.find(id)?.sandbox)),
      /** Counts a resume: into the sandbox that the session has, or into another one. */
      resumed: (path: "warm" | "cold") => Effect.sync(() => pool.resumed(path)),
      /** What a sandbox has logged, alive or crashed. */
      logs: (id: string) => Effect.suspend(() => pool.find(id)?.sandbox.logs ?? pool.keptLog(id) ?? Effect.succeed([])),
      /** The kept workspace of a session. */
      snapshot: snapshots.find,
      stats: Effect.sync(pool.stats)
    }
  })
}) {
  static readonly layer = Layer.effect(Sandboxes, Sandboxes.make)
}
