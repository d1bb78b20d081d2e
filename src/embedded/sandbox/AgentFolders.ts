/** The folders of agents on the disk (docs/ash.md 3.2). */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import { Buffer } from "node:buffer"
import type { ErrorResponse } from "../../schema/ErrorResponse.ts"
import type { FileEntry } from "../../schema/File.ts"
import { Settings } from "../EmbeddedOptions.ts"
import * as Errors from "../wire/Errors.ts"
import { DataFolder } from "./DataFolder.ts"
import * as FileTree from "./FileTree.ts"

/** A file as a request carries it: its content in base64, which is decoded leniently. */
export interface IncomingFile {
  readonly path: string
  readonly content: string
}

const isHidden = (name: string) => FileTree.alwaysHidden.has(name) || FileTree.caches.has(name)
const claudeFile = "CLAUDE.md"
const pathsRefused = "This embedded server takes no `path`: send `files`, or start it with `agentPaths: true`"

export class AgentFolders extends Context.Service<AgentFolders, {
  /** Lays out the folder of an agent, over the files that are there, and tells its path. */
  readonly deploy: (name: string, options: {
    readonly path?: string | undefined
    readonly systemPrompt?: string | undefined
    readonly files?: ReadonlyArray<IncomingFile> | undefined
  }) => Effect.Effect<string, ErrorResponse>
  readonly exists: (folder: string) => Effect.Effect<boolean>
  readonly list: (folder: string) => Effect.Effect<ReadonlyArray<FileEntry>, ErrorResponse>
  /** Reads a file of at most so many bytes. */
  readonly read: (folder: string, file: string, limit: number) => Effect.Effect<Uint8Array, ErrorResponse>
  /** Writes files one by one, until one would land outside the folder. */
  readonly write: (folder: string, files: ReadonlyArray<IncomingFile>) => Effect.Effect<number, ErrorResponse>
  readonly remove: (folder: string, file: string) => Effect.Effect<void, ErrorResponse>
}>()("effect-ash/embedded/sandbox/AgentFolders") {
  static readonly layer = Layer.effect(
    AgentFolders,
    Effect.gen(function*() {
      const disk = yield* Effect.context<FileSystem.FileSystem | Path.Path>()
      const fileSystem = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const data = yield* DataFolder
      const { agentPaths } = yield* Settings

      const exists = (file: string) => Effect.orElseSucceed(fileSystem.exists(file), () => false)
      const stat = (file: string) => Effect.option(fileSystem.stat(file))

      const within = (folder: string, file: string) => Effect.provide(FileTree.within(folder, file), disk)

      const writeFile = (file: string, content: Uint8Array) =>
        Effect.mapError(
          Effect.provide(FileTree.write(file, content), disk),
          (error) => Errors.framework(500, FileTree.textOf(error))
        )

      const deploy: AgentFolders["Service"]["deploy"] = Effect.fnUntraced(function*(name, options) {
        if (options.path !== undefined) {
          if (!agentPaths) return yield* Errors.badRequest(pathsRefused)
          const folder = path.resolve(data, options.path)
          if (yield* exists(path.join(folder, claudeFile))) return folder
          return yield* Errors.badRequest("Agent directory must contain CLAUDE.md")
        }
        const folder = path.join(data, "agents", name)
        const files = (options.files ?? []).filter(({ path }) => !path.includes("..") && !path.startsWith("/"))
        for (const file of files) {
          const target = yield* within(folder, file.path)
          if (Option.isSome(target)) yield* writeFile(target.value, decode(file))
        }
        if (!files.some((file) => file.path === claudeFile)) {
          // A redeployment without a prompt loses the prompt it had, on a real server as well.
          const text = options.systemPrompt ?? `# ${name}\n`
          yield* writeFile(path.join(folder, claudeFile), new TextEncoder().encode(text))
        }
        return folder
      })

      const list: AgentFolders["Service"]["list"] = Effect.fnUntraced(function*(folder) {
        if (!(yield* exists(folder))) return yield* Errors.notFound("Agent directory not found on disk")
        return yield* Effect.provide(FileTree.list(folder, isHidden), disk)
      })

      const read: AgentFolders["Service"]["read"] = Effect.fnUntraced(function*(folder, file, limit) {
        const target = yield* within(folder, file)
        const info = Option.isSome(target) ? yield* stat(target.value) : Option.none()
        if (Option.isNone(target) || Option.isNone(info)) return yield* Errors.notFound("File not found")
        if (info.value.type !== "File") return yield* Errors.badRequest("Path is not a file")
        if (info.value.size > limit) {
          return yield* Errors.badRequest(`File too large (${info.value.size} bytes, max ${limit})`)
        }
        return yield* Effect.orDie(fileSystem.readFile(target.value))
      })

      // Where a path leads decides, however it is spelt: what begins with a slash begins at the folder.
      const write: AgentFolders["Service"]["write"] = Effect.fnUntraced(function*(folder, files) {
        for (const file of files) {
          const target = yield* within(folder, file.path)
          if (Option.isNone(target)) {
            return yield* Errors.badRequest(`Path "${file.path}" escapes agent directory`)
          }
          yield* writeFile(target.value, decode(file))
        }
        return files.length
      })

      const remove: AgentFolders["Service"]["remove"] = Effect.fnUntraced(function*(folder, file) {
        if (!FileTree.isInside(path, folder, file)) return yield* Errors.badRequest("Path escapes agent directory")
        const target = yield* within(folder, file)
        const info = Option.isSome(target) ? yield* stat(target.value) : Option.none()
        if (Option.isNone(target) || Option.isNone(info)) return yield* Errors.notFound("File not found")
        if (info.value.type === "Directory") {
          const message = `EISDIR: illegal operation on a directory, unlink '${target.value}'`
          return yield* Errors.framework(500, message, "EISDIR")
        }
        yield* Effect.orDie(Effect.provide(FileTree.remove(folder, file), disk))
      })

      return AgentFolders.of({ deploy, exists, list, read, write, remove })
    })
  )
}

// Node's decoder drops what is no base64, as the real server does.
const decode = ({ content }: IncomingFile): Uint8Array => Buffer.from(content, "base64")
