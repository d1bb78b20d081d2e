/** The sandboxes of the embedded server, put together from their parts: pool, folders, snapshots, ends and starts. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import type { SandboxLogEntry } from "../../schema/Session.ts"
import { Settings } from "../EmbeddedOptions.ts"
import { DataFolder } from "./DataFolder.ts"
import type { Sandbox } from "./Sandbox.ts"
import * as SandboxEnds from "./SandboxEnds.ts"
import * as SandboxFolders from "./SandboxFolders.ts"
import * as SandboxPool from "./SandboxPool.ts"
import * as SandboxStarts from "./SandboxStarts.ts"
import * as Snapshots from "./Snapshots.ts"

type Starts = SandboxStarts.SandboxStarts
type Ends = Omit<SandboxEnds.SandboxEnds, "evict">

export class Sandboxes extends Context.Service<
  Sandboxes,
  Starts & Ends & {
    /** A sandbox that is alive. */
    readonly find: (id: string) => Effect.Effect<Option.Option<Sandbox>>
    /** What a sandbox has logged, alive or crashed. */
    readonly logs: (id: string) => Effect.Effect<ReadonlyArray<SandboxLogEntry>>
    /** The kept workspace of a session. */
    readonly snapshot: (session: string) => Effect.Effect<Option.Option<string>>
    /** How many sandboxes there are, by state. */
    readonly stats: Effect.Effect<SandboxPool.SandboxStats>
  }
>()("effect-ash/embedded/sandbox/Sandboxes") {
  static readonly layer = Layer.effect(
    Sandboxes,
    Effect.gen(function*() {
      const { maxSandboxes } = yield* Settings
      const path = yield* Path.Path
      const data = yield* DataFolder
      const pool = SandboxPool.make(maxSandboxes)
      const snapshots = yield* Snapshots.make(path.join(data, "sessions"))
      const folders = yield* SandboxFolders.make(path.join(data, "sandboxes"), snapshots)
      const ends = yield* SandboxEnds.make(pool, folders, snapshots)
      const starts = yield* SandboxStarts.make(pool, folders, ends)
      return Sandboxes.of({
        ...starts,
        ...ends,
        find: (id) => Effect.sync(() => Option.map(Option.fromUndefinedOr(pool.find(id)), ({ sandbox }) => sandbox)),
        logs: (id) => Effect.suspend(() => pool.find(id)?.sandbox.logs ?? pool.keptLog(id) ?? Effect.succeed([])),
        snapshot: snapshots.find,
        stats: Effect.sync(pool.stats)
      })
    })
  )
}
