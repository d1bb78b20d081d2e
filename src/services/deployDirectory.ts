/** Deploys an agent from a folder on disk, as the Ash command line does. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as Predicate from "effect/Predicate"
import * as Record from "effect/Record"
import { parseEnv } from "node:util"
import { batches, isTooLarge } from "../internal/batches.ts"
import { readFolder } from "../internal/folder.ts"
import type { Agent } from "../schema/Agent.ts"
import { AshError, InvalidRequest } from "../schema/AshError.ts"
import { Agents } from "./Agents.ts"

/** How a folder is deployed. */
export interface DeployDirectoryOptions {
  /** The agent's name. @default the folder's name, with `-` for what is no letter, digit, `_` or `-` */
  readonly name?: string | undefined
  /** Environment variables, over those of `.env` and `.env.local`. */
  readonly env?: Readonly<Record<string, string>> | undefined
}

/**
 * Deploys the agent in a folder. The folder holds a `CLAUDE.md`. Its `.env` and `.env.local`, the latter over the
 * former, become the agent's environment and are not sent as files. Left out are the folders `node_modules`, `.git`,
 * `__pycache__`, `.cache`, `.npm`, `.pnpm-store`, `.yarn`, `.venv`, `venv`, `.tmp` and `tmp`, files named `.env*` or
 * `.DS_Store`, and those that end in `.sock` or `.pid`.
 *
 * Links are followed, but for those that lead nowhere or back into a folder around them: they are left out with a warning.
 *
 * A server takes 1 MiB a request; more is sent in several, so that a session that starts meanwhile may see only a part.
 * A folder with a file of more than 750,000 bytes is refused before anything is sent.
 */
export const deployDirectory: (
  directory: string,
  options?: DeployDirectoryOptions
) => Effect.Effect<Agent, AshError, Agents> = Effect.fn("deployDirectory")(
  function*(directory, options = {}) {
    const agents = yield* Agents
    const path = yield* Path.Path
    const folder = path.resolve(directory)
    const files = yield* readFolder(folder)
    const instructions = files.find((file) => file.path === "CLAUDE.md")
    if (instructions === undefined) {
      return yield* refuse(`${directory} is no agent: it has no CLAUDE.md`)
    }
    const tooLarge = files.find(isTooLarge)
    if (tooLarge !== undefined) {
      return yield* refuse(
        `${tooLarge.path} has ${tooLarge.content.length} bytes, and a request carries some 750,000; keep it out of the folder`
      )
    }
    const env = { ...yield* readEnv(path.join(folder, ".env")), ...yield* readEnv(path.join(folder, ".env.local")) }
    const [first = [], ...others] = batches([instructions, ...files.filter((file) => file !== instructions)])
    const name = options.name ?? path.basename(folder).replace(/[^a-zA-Z0-9_-]/g, "-")
    const agent = yield* agents.create({ name, files: first, env: { ...env, ...options.env } })
    if (others.length > 0) yield* agents.writeFiles(name, others.flat())
    return agent
  },
  Effect.catchTag("PlatformError", (error) => refuse(`the folder could not be read: ${error.message}`)),
  Effect.provide(Layer.merge(NodeFileSystem.layer, NodePath.layer))
)

const refuse = (message: string) =>
  Effect.fail(
    new AshError({ operation: "deployDirectory", reason: new InvalidRequest({ message, field: "directory" }) })
  )

const readEnv = Effect.fnUntraced(function*(file: string) {
  const fileSystem = yield* FileSystem.FileSystem
  const contents = (yield* fileSystem.exists(file)) ? yield* fileSystem.readFileString(file) : ""
  return Record.filter(parseEnv(contents), Predicate.isNotUndefined)
})
