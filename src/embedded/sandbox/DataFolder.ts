/** Where the embedded server keeps its files: one temporary folder of this user, which the server's scope removes. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { chmodSync, readdirSync, rmSync } from "node:fs"
import { hostname } from "node:os"
import { dirname, join } from "node:path"
import nodeProcess from "node:process"
import * as AtExit from "./AtExit.ts"
import * as Processes from "./Processes.ts"

/** Part of the folder's name, as another machine or container may share the temporary folder, and has other processes. */
const machine = hostname().replace(/[^\w.-]/g, "_")

/** The process that made a folder, by its name; absent where another machine did. */
const makerOf = (name: string): number | undefined => {
  const [, host, pid] = /^effect-ash-(.*)-(\d+)-[^-]*$/.exec(name) ?? []
  return host === machine ? Number(pid) : undefined
}

const removeTree = (folder: string): boolean =>
  Result.isSuccess(Result.try(() => rmSync(folder, { recursive: true, force: true })))

/** Makes the folders in a folder writable: some tools make those of their caches read-only. */
const makeWritable = (folder: string): void => {
  Result.try(() => chmodSync(folder, 0o700))
  const entries = Result.getOrElse(Result.try(() => readdirSync(folder, { withFileTypes: true })), () => [])
  for (const entry of entries) if (entry.isDirectory()) makeWritable(join(folder, entry.name))
}

/** Ends what runs in a folder, removes it, and answers whether it is gone. */
const remove = (folder: string): boolean => {
  Processes.endIn(folder)
  if (removeTree(folder)) return true
  makeWritable(folder)
  return removeTree(folder)
}

const removeOrWarn = (folder: string) =>
  Effect.suspend(() =>
    remove(folder)
      ? Effect.void
      : Effect.logWarning(`The folder ${folder} is not removed: the system refuses it. Remove it by hand`)
  )

/** Removes the folders of processes that were killed. */
const sweep = Effect.fnUntraced(function*(parent: string) {
  const fileSystem = yield* FileSystem.FileSystem
  for (const name of yield* fileSystem.readDirectory(parent)) {
    const pid = makerOf(name)
    if (pid === undefined || Processes.isAlive(pid)) continue
    const folder = join(parent, name)
    const { type, uid } = yield* fileSystem.lstat(folder)
    // A link may lead anywhere, and so may the folder of another user.
    if (type === "Directory" && Option.contains(uid, nodeProcess.geteuid?.())) yield* removeOrWarn(folder)
  }
})

export class DataFolder extends Context.Service<DataFolder, string>()("effect-ash/embedded/sandbox/DataFolder") {
  static readonly layer = Layer.effect(
    DataFolder,
    Effect.gen(function*() {
      const fileSystem = yield* FileSystem.FileSystem
      const folder = yield* Effect.acquireRelease(
        fileSystem.makeTempDirectory({ prefix: `effect-ash-${machine}-${nodeProcess.pid}-` }),
        removeOrWarn
      )
      yield* AtExit.add(() => remove(folder))
      yield* Effect.ignore(sweep(dirname(folder)))
      // On macOS the path has a link in it, and a shell shows the resolved one.
      return yield* fileSystem.realPath(folder)
    })
  )
}
