/** Deploys an agent from a folder on disk, as the Ash command line does. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as Predicate from "effect/Predicate"
import * as Record from "effect/Record"
import * as Stream from "effect/Stream"
import { parseEnv } from "node:util"
import { batches, isTooLarge } from "../internal/files/batches.ts"
import {
  contentOf,
  type FolderFile,
  type FolderOptions,
  folderRules,
  readFolder,
  refuse,
  refuseAs,
  textOf
} from "../internal/files/folder.ts"
import { leftOut } from "../internal/files/leftOut.ts"
import { within } from "../internal/request/operations.ts"
import { anObject, checked, optionsOf, text } from "../internal/request/options.ts"
import type { Agent } from "../schema/Agent.ts"
import type { AshError } from "../schema/AshError.ts"
import { Agents } from "../services/Agents.ts"

const operation = "deployDirectory"

/** How a folder is deployed. */
export interface DeployDirectoryOptions extends FolderOptions {
  /** The agent's name. @default the folder's name, with `-` for what is no letter, digit, `_` or `-` */
  readonly name?: string | undefined
  /** Environment variables, over those of `.env` and `.env.local`. */
  readonly env?: Readonly<Record<string, string>> | undefined
}

const rules = optionsOf<DeployDirectoryOptions>({ ...folderRules, name: text, env: anObject })

/**
 * Deploys the agent in a folder. The folder holds a `CLAUDE.md`. Its `.env` and `.env.local`, the latter over the former,
 * become the agent's environment and are not sent as files.
 *
 * Left out is, in folders within it as well,
 * - what may hold credentials, with a warning: `.env*`, `*.env`, `.npmrc`, `.netrc`, `.git-credentials`, `.aws`, `.ssh`,
 *   `.kube`, `.docker/config.json`, `*.pem`, `*.key`, `terraform.tfstate`, `*.tfvars` and the like, as files or as folders,
 *   whatever their letters, and links to them. No pattern takes them back: `SessionFiles.write` and `Agents.writeFiles` send
 *   what has to go.
 * - what is of no use: `node_modules`, `__pycache__`, `.cache`, `.npm`, `.pnpm-store`, `.yarn`, `.venv`, `venv`, `.tmp` and
 *   `tmp`, `.DS_Store`, and what ends in `.sock` or `.pid`.
 * - what `.ashignore` names, a file with the syntax of `.gitignore`, in folders within it as well, and what `exclude` names
 *   after it. Their `!pattern` takes back what is of no use, but never `.git` and `.ashignore`.
 * - with a warning, links that lead out of the folder, unless `followLinks` is true; links that lead nowhere or into a folder
 *   around them, and, of links to folders that are reached through a link, all after 1,000; what is neither file nor folder;
 *   files whose names are not UTF-8, or whose size the system does not tell; and folders of which nothing is sent.
 *
 * A server takes 1 MiB a request; more is sent in several, so that a session that starts meanwhile may see only a part.
 * A folder with a file of more than some 750,000 bytes is refused before anything is read or sent, and so is one with more than
 * 100,000 files.
 */
export const deployDirectory: (
  directory: string,
  options?: DeployDirectoryOptions
) => Effect.Effect<Agent, AshError, Agents> = Effect.fn("deployDirectory")(
  function*(directory, options) {
    const agents = yield* Agents
    const path = yield* Path.Path
    const { env: ownEnv, name: ownName, ...what } = yield* checked(operation, rules, options)
    const entries = yield* readFolder(operation, directory, what, environmentFiles)
    const found = entries.filter((entry) => entry.kind === "file")
    const files = found.filter((file) => !environmentFiles.includes(file.path)).map(toSend)
    const instructions = files.find((file) => file.path === "CLAUDE.md")
    if (instructions === undefined) return yield* refuse(operation, `${directory} is no agent: it has no CLAUDE.md`)
    const tooLarge = files.find(isTooLarge)
    if (tooLarge !== undefined) {
      return yield* refuse(
        operation,
        `${tooLarge.path} has ${tooLarge.size} bytes, and a request carries some 750,000; keep it out of the folder`
      )
    }
    for (const entry of entries) {
      if (entry.kind === "folder") yield* leftOut(entry.path, "nothing in it is sent, and agents have no empty folders")
    }
    let env: Record<string, string> = {}
    for (const file of found) {
      if (!environmentFiles.includes(file.path)) continue
      env = { ...env, ...Record.filter(parseEnv(yield* textOf(operation, file)), Predicate.isNotUndefined) }
    }
    const [first = [], ...others] = [
      ...batches([instructions, ...files.filter((file) => file !== instructions && !isSkipped(file))]),
      ...batches(files.filter(isSkipped))
    ]
    const name = ownName ?? path.basename(path.resolve(directory)).replace(/[^a-zA-Z0-9_-]/g, "-")
    const agent = yield* agents.create({ name, files: yield* load(first), env: { ...env, ...ownEnv } })
    for (const batch of others) yield* agents.writeFiles(name, yield* load(batch))
    return agent
  },
  Effect.catchTag("PlatformError", refuseAs(operation, "the folder could not be read")),
  Effect.mapError(within(operation)),
  Effect.provide(Layer.merge(NodeFileSystem.layer, NodePath.layer))
)

/** The later one over the earlier, as they are found by name. */
const environmentFiles = [".env", ".env.local"]

/** Whether servers skip a file where an agent is created. They take it afterwards. */
const isSkipped = ({ path }: FolderFile) => path.includes("..")

/** A file whose content is not read yet. */
const toSend = (file: FolderFile) => ({ ...file, content: { length: file.size } })

const load = (files: ReadonlyArray<FolderFile>) =>
  Effect.forEach(
    files,
    (file) => Effect.map(Stream.mkUint8Array(contentOf(file)), (content) => ({ path: file.path, content }))
  )
