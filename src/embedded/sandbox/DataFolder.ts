/** Where the embedded server keeps its files: one temporary folder of this user's, which goes with the server's scope. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import type { PlatformError } from "effect/PlatformError"
import * as Result from "effect/Result"
import { chmodSync, readdirSync, rmSync } from "node:fs"
import { hostname, userInfo } from "node:os"
import { join } from "node:path"
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

/** Removes a folder, and tells whether it is gone. */
const removeTree = (folder: string): boolean =>
  Result.isSuccess(Result.try(() => rmSync(folder, { recursive: true, force: true })))

/** Lets the folders in a folder be written, as some tools take that from what they keep. */
const makeWritable = (folder: string): void => {
  Result.try(() => chmodSync(folder, 0o700))
  const entries = Result.getOrElse(Result.try(() => readdirSync(folder, { withFileTypes: true })), () => [])
  for (const entry of entries) if (entry.isDirectory()) makeWritable(join(folder, entry.name))
}

/** Removes a folder, ends what runs in it, and tells whether it is gone. */
const remove = (folder: string): boolean => {
  Processes.endIn(folder)
  if (removeTree(folder)) return true
  makeWritable(folder)
  return removeTree(folder)
}

const removeOrWarn = (folder: string) =>
  Effect.flatMap(
    Effect.sync(() => remove(folder)),
    (isGone) => isGone ? Effect.void : Effect.logWarning(`${folder} could not be removed`)
  )

/** Removes what processes left behind that were killed. */
const sweep = Effect.fnUntraced(function*(parent: string) {
  const fileSystem = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  for (const name of yield* fileSystem.readDirectory(parent)) {
    const pid = makerOf(name)
    if (pid === undefined || Processes.isAlive(pid)) continue
    const folder = path.join(parent, name)
    const { type, uid } = yield* fileSystem.lstat(folder)
    // A link, or what is another user's, may lead anywhere.
    if (type === "Directory" && Option.contains(uid, userInfo().uid)) yield* removeOrWarn(folder)
  }
})

export class DataFolder extends Context.Service<DataFolder, string>()("effect-ash/embedded/sandbox/DataFolder") {
  static readonly layer: Layer.Layer<DataFolder, PlatformError, FileSystem.FileSystem | Path.Path> = Layer.effect(
    DataFolder,
    Effect.gen(function*() {
      const fileSystem = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const folder = yield* Effect.acquireRelease(
        fileSystem.makeTempDirectory({ prefix: `effect-ash-${machine}-${nodeProcess.pid}-` }),
        removeOrWarn
      )
      yield* AtExit.add(() => remove(folder))
      yield* Effect.ignore(sweep(path.dirname(folder)))
      // macOS hands out a link; a shell shows the path behind it.
      return yield* fileSystem.realPath(folder)
    })
  )
}
