/** What an agent knows when a turn begins. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type * as Schema from "effect/Schema"
import { dirname, join } from "node:path"
import type { StoredMessage } from "../../schema/Message.ts"
import { textsOf } from "../../schema/promptText.ts"
import type { Session } from "../../schema/Session.ts"
import type { TurnOptions, Workspace } from "../AgentScript.ts"
import type { Sandbox } from "../sandbox/Sandbox.ts"

export interface AgentRequest {
  readonly content: Schema.Json
  readonly history: ReadonlyArray<StoredMessage>
  readonly options: TurnOptions
  readonly sandbox: Sandbox
  readonly session: Session
}

/** Describes a turn in a sandbox, whose files are read now. */
export const describe = Effect.fnUntraced(function*({ content, history, options, sandbox, session }: AgentRequest) {
  const workspace = yield* workspaceOf(sandbox)
  const systemPrompt = yield* Effect.orElseSucceed(workspace.readFile("CLAUDE.md"), () => "")
  const agent = { name: session.agentName, systemPrompt }
  return { prompt: textsOf(content).join(""), content, options, history, workspace, session, agent }
})

const workspaceOf = Effect.fnUntraced(function*({ directory, exec }: Sandbox) {
  const fileSystem = yield* FileSystem.FileSystem
  const workspace: Workspace = {
    directory,
    exec: (command) => exec(command),
    readFile: (file) => fileSystem.readFileString(join(directory, file)),
    writeFile: (file, text) =>
      Effect.andThen(
        fileSystem.makeDirectory(dirname(join(directory, file)), { recursive: true }),
        fileSystem.writeFileString(join(directory, file), text)
      )
  }
  return workspace
})
