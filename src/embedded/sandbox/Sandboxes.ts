/** The sandboxes of the embedded server, put together from their parts: pool, folders, ends and starts. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Settings } from "../EmbeddedOptions.ts"
import * as SandboxEnds from "./SandboxEnds.ts"
import * as SandboxPool from "./SandboxPool.ts"
import * as SandboxStarts from "./SandboxStarts.ts"
import * as WorkspaceFolders from "./WorkspaceFolders.ts"

export class Sandboxes extends Context.Service<Sandboxes>()("effect-ash/embedded/sandbox/Sandboxes", {
  make: Effect.gen(function*() {
    const { maxSandboxes } = yield* Settings
    const pool = SandboxPool.make(maxSandboxes)
    const folders = yield* WorkspaceFolders.make
    const ends = yield* SandboxEnds.make(pool, folders)
    return {
      /** That of the server, which what outlives its request belongs to. */
      scope: yield* Effect.scope,
      ...yield* SandboxStarts.make(pool, folders, ends),
      ...ends,
      find: (id: string) => Effect.sync(() => pool.find(id)),
      resumed: (path: "warm" | "cold") => Effect.sync(() => pool.resumed(path)),
      /** What a sandbox has logged, alive or crashed. */
      logs: (id: string) => Effect.suspend(() => pool.find(id)?.logs ?? pool.keptLog(id) ?? Effect.succeed([])),
      snapshot: folders.snapshot,
      stats: Effect.sync(pool.stats)
    }
  })
}) {
  static readonly layer = Layer.effect(Sandboxes, Sandboxes.make)
}
