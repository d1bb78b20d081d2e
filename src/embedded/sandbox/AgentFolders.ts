/** The folders of agents on the disk (docs/ash.md 3.2). */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import type { ErrorResponse } from "../../schema/ErrorResponse.ts"
import type { FileEntry } from "../../schema/File.ts"
import { Settings } from "../EmbeddedOptions.ts"
import * as Errors from "../wire/Errors.ts"
import { DataFolder } from "./DataFolder.ts"
import * as FileTree from "./FileTree.ts"
import * as RequestedFiles from "./RequestedFiles.ts"

type IncomingFiles = ReadonlyArray<RequestedFiles.IncomingFile>

export class AgentFolders extends Context.Service<AgentFolders, {
  /** Writes the folder of an agent, over the files that are there, and answers its path. */
  readonly deploy: (name: string, options: {
    readonly path?: string | undefined
    readonly systemPrompt?: string | undefined
    readonly files?: IncomingFiles | undefined
  }) => Effect.Effect<string, ErrorResponse>
  /** Whether a folder is there. */
  readonly exists: (folder: string) => Effect.Effect<boolean>
  /** The files of a folder, without hidden ones. */
  readonly list: (folder: string) => Effect.Effect<ReadonlyArray<FileEntry>, ErrorResponse>
  /** Reads a file of at most so many bytes. */
  readonly read: (folder: string, file: string, limit: number) => Effect.Effect<Uint8Array, ErrorResponse>
  /** Writes files in order, up to the first whose path leads out of the folder, and answers how many. */
  readonly write: (folder: string, files: IncomingFiles) => Effect.Effect<number, ErrorResponse>
  /** Removes a file. */
  readonly remove: (folder: string, file: string) => Effect.Effect<void, ErrorResponse>
}>()("effect-ash/embedded/sandbox/AgentFolders") {
  static readonly layer: Layer.Layer<AgentFolders, never, Settings | DataFolder | FileSystem.FileSystem | Path.Path> =
    Layer.effect(
      AgentFolders,
      Effect.gen(function*() {
        const disk = yield* Effect.context<FileSystem.FileSystem | Path.Path>()
        const path = yield* Path.Path
        const data = yield* DataFolder
        const { agentPaths } = yield* Settings
        return AgentFolders.of({
          deploy: (name, options) =>
            Effect.provide(
              options.path === undefined
                ? deployFiles(path.join(data, "agents", name), name, options)
                : agentPaths
                ? deployPath(path.resolve(data, options.path))
                : Effect.fail(Errors.badRequest(pathsRefused)),
              disk
            ),
          exists: (folder) => Effect.provide(exists(folder), disk),
          list: (folder) => Effect.provide(list(folder), disk),
          read: (folder, file, limit) => Effect.provide(RequestedFiles.read(folder, file, limit), disk),
          write: (folder, files) => Effect.provide(write(folder, files), disk),
          remove: (folder, file) => Effect.provide(remove(folder, file), disk)
        })
      })
    )
}

const claudeFile = "CLAUDE.md"
const pathsRefused =
  "The agent is not deployed: this embedded server takes no `path`. Send `files`, or start it with `agentPaths: true`"

const exists = (file: string) =>
  Effect.flatMap(
    FileSystem.FileSystem,
    (fileSystem) => Effect.orElseSucceed(fileSystem.exists(file), () => false)
  )

const writeFile = (file: string, content: Uint8Array) =>
  Effect.mapError(FileTree.write(file, content), (error) => {
    const text = FileTree.textOf(error)
    return Errors.framework(500, text, /^[A-Z]+(?=: )/.exec(text)?.at(0))
  })

/** Takes a folder of this machine as it is. */
const deployPath = Effect.fnUntraced(function*(folder: string) {
  const path = yield* Path.Path
  if (yield* exists(path.join(folder, claudeFile))) return folder
  return yield* Errors.badRequest("Agent directory must contain CLAUDE.md")
})

const deployFiles = Effect.fnUntraced(function*(
  folder: string,
  name: string,
  options: { readonly systemPrompt?: string | undefined; readonly files?: IncomingFiles | undefined }
) {
  const path = yield* Path.Path
  const files = (options.files ?? []).filter(({ path }) => !path.includes("..") && !path.startsWith("/"))
  for (const file of files) {
    const target = yield* FileTree.within(folder, file.path)
    if (Option.isSome(target)) yield* writeFile(target.value, RequestedFiles.contentOf(file))
  }
  if (!files.some((file) => file.path === claudeFile)) {
    // A redeployment without a prompt loses the earlier prompt, as on a real server.
    const text = options.systemPrompt ?? `# ${name}\n`
    yield* writeFile(path.join(folder, claudeFile), new TextEncoder().encode(text))
  }
  return folder
})

const isHidden = (name: string) => FileTree.alwaysHidden.has(name) || FileTree.caches.has(name)

const list = Effect.fnUntraced(function*(folder: string) {
  if (!(yield* exists(folder))) return yield* Errors.notFound("Agent directory not found on disk")
  return yield* FileTree.list(folder, isHidden)
})

// Only the place counts to which a path leads: `..` may be in it, and a slash in front begins at the folder.
const write = Effect.fnUntraced(function*(folder: string, files: IncomingFiles) {
  for (const file of files) {
    const target = yield* FileTree.within(folder, file.path)
    if (Option.isNone(target)) return yield* Errors.badRequest(`Path "${file.path}" escapes agent directory`)
    yield* writeFile(target.value, RequestedFiles.contentOf(file))
  }
  return files.length
})

const remove = Effect.fnUntraced(function*(folder: string, file: string) {
  if (!FileTree.isInside(yield* Path.Path, folder, file)) {
    return yield* Errors.badRequest("Path escapes agent directory")
  }
  const { target, type } = yield* RequestedFiles.find(folder, file)
  if (type === "Directory") {
    return yield* Errors.framework(500, `EISDIR: illegal operation on a directory, unlink '${target}'`, "EISDIR")
  }
  yield* Effect.orDie(FileTree.remove(folder, file))
})
