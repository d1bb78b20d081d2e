/** The folders of agents on the disk (docs/ash.md 3.2). */
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import { join, resolve } from "node:path"
import { Settings } from "../EmbeddedOptions.ts"
import * as Errors from "../wire/Errors.ts"
import { DataFolder } from "./DataFolder.ts"
import * as FileTree from "./FileTree.ts"
import * as RequestedFiles from "./RequestedFiles.ts"

const claudeFile = "CLAUDE.md"
const pathsRefused =
  "The agent is not deployed: this server takes no `path`. Send `files`, or start it with `agentPaths: true`"

export const exists = (file: string) => FileTree.finds(({ exists }) => exists(file), identity)

/** Writes a file of a folder, and answers whether its path leads to a place there. */
const put = (folder: string, file: string, content: Uint8Array) =>
  Effect.mapError(FileTree.writeWithin(folder, file, content), (error) => {
    const text = FileTree.textOf(error)
    return Errors.framework(500, text, /^[A-Z]+(?=: )/.exec(text)?.at(0))
  })

const deployPath = Effect.fnUntraced(function*(folder: string) {
  if (yield* exists(join(folder, claudeFile))) return folder
  return yield* Errors.badRequest("Agent directory must contain CLAUDE.md")
})

interface DeployOptions {
  readonly path?: string | undefined
  readonly systemPrompt?: string | undefined
  readonly files?: RequestedFiles.IncomingFiles | undefined
}

const deployFiles = Effect.fnUntraced(function*(folder: string, name: string, options: DeployOptions) {
  const files = (options.files ?? []).filter(({ path }) => !path.includes("..") && !path.startsWith("/"))
  for (const file of files) yield* put(folder, file.path, RequestedFiles.contentOf(file))
  if (!files.some((file) => file.path === claudeFile)) {
    // A redeployment without a prompt loses the earlier prompt, as on a real server.
    yield* put(folder, claudeFile, new TextEncoder().encode(options.systemPrompt ?? `# ${name}\n`))
  }
  return folder
})

/** Writes the folder of an agent, over the files that are there, and answers its path. */
export const deploy = Effect.fnUntraced(function*(name: string, options: DeployOptions) {
  const data = yield* DataFolder
  const { agentPaths } = yield* Settings
  if (options.path === undefined) return yield* deployFiles(join(data, "agents", name), name, options)
  return yield* agentPaths ? deployPath(resolve(data, options.path)) : Errors.badRequest(pathsRefused)
})

export const list = Effect.fnUntraced(function*(folder: string) {
  if (!(yield* exists(folder))) return yield* Errors.notFound("Agent directory not found on disk")
  return yield* FileTree.list(folder, FileTree.isHidden)
})

/**
 * Writes files in order, up to the first whose path leads out of the folder, and answers how many. Only the place counts to
 * which a path leads: `..` may be in it, and a slash in front begins at the folder.
 */
export const write = Effect.fnUntraced(function*(folder: string, files: RequestedFiles.IncomingFiles) {
  for (const file of files) {
    const isWritten = yield* put(folder, file.path, RequestedFiles.contentOf(file))
    if (!isWritten) return yield* Errors.badRequest(`Path "${file.path}" escapes agent directory`)
  }
  return files.length
})

export const remove = Effect.fnUntraced(function*(folder: string, file: string) {
  if (!FileTree.isInside(folder, file)) {
    return yield* Errors.badRequest("Path escapes agent directory")
  }
  const { target, type } = yield* RequestedFiles.find(folder, file)
  if (type === "Directory") {
    return yield* Errors.framework(500, `EISDIR: illegal operation on a directory, unlink '${target}'`, "EISDIR")
  }
  yield* Effect.orDie(FileTree.remove(folder, file))
})
