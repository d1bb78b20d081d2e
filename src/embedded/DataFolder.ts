/** Where the embedded server keeps its files: one temporary folder of this user's, which goes with the server's scope. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import type { PlatformError } from "effect/PlatformError"
import { rmSync } from "node:fs"
import { hostname, userInfo } from "node:os"
import nodeProcess from "node:process"
import * as AtExit from "./AtExit.ts"
import * as Processes from "./Processes.ts"

/** The processes of another machine or container, which may share the folder, are not known here. */
const machine = hostname().replace(/[^\w.-]/g, "_")

/** Who made a folder, by its name. */
const makerOf = (name: string): number | undefined => {
  const [, host, pid] = /^effect-ash-(.*)-(\d+)-[^-]*$/.exec(name) ?? []
  return host === machine ? Number(pid) : undefined
}

/** Removes a folder, and ends what runs in it. */
const remove = (folder: string): void => {
  Processes.endIn(folder)
  rmSync(folder, { recursive: true, force: true })
}

/** Removes what processes left behind that were killed. */
const sweep = Effect.fnUntraced(function*(parent: string) {
  const fileSystem = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  for (const name of yield* fileSystem.readDirectory(parent)) {
    const pid = makerOf(name)
    if (pid === undefined || Processes.isAlive(pid)) continue
    const folder = path.join(parent, name)
    const { uid } = yield* fileSystem.stat(folder)
    if (Option.contains(uid, userInfo().uid)) yield* Effect.sync(() => remove(folder))
  }
})

export class DataFolder extends Context.Service<DataFolder, string>()("effect-ash/embedded/DataFolder") {
  static readonly layer: Layer.Layer<DataFolder, PlatformError, FileSystem.FileSystem | Path.Path> = Layer.effect(
    DataFolder,
    Effect.gen(function*() {
      const fileSystem = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const folder = yield* Effect.acquireRelease(
        fileSystem.makeTempDirectory({ prefix: `effect-ash-${machine}-${nodeProcess.pid}-` }),
        (folder) => Effect.sync(() => remove(folder))
      )
      yield* AtExit.add(() => remove(folder))
      yield* Effect.ignore(sweep(path.dirname(folder)))
      // macOS hands out a link; a shell shows the path behind it.
      return yield* fileSystem.realPath(folder)
    })
  )
}
