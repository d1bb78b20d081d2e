/**
 * What a real Ash server does that a client does not expect. The embedded server does the same, so that a program meets
 * it in a test. Each quirk can be switched off; the server then does what a client expects.
 */
import * as Record from "effect/Record"
import * as Struct from "effect/Struct"
import { flag, oneOf, optionsOf } from "../internal/request/options.ts"

/** The quirks of a server. */
export interface Quirks {
  /**
   * Turns of one session are not kept apart (docs/ash.md 5.4): two that run at once receive each other's frames, the end of
   * the first ends both streams, and an `exec` ends the stream of a running turn with `done {"sessionId":""}`. Off: a
   * second message waits for the first, and `exec` disturbs no turn.
   *
   * @default true
   */
  readonly mixTurns: boolean
  /**
   * The stream of a turn whose sandbox died stays open, silent, for ever (docs/ash.md 5.6). Off: it ends with an
   * `error` and a `done`.
   *
   * @default true
   */
  readonly hangOnDeadSandbox: boolean
  /**
   * The turn of a client that disconnects runs on, but the server stores nothing further of it (docs/ash.md 5.5). Off: it
   * stores all.
   *
   * @default true
   */
  readonly dropAfterDisconnect: boolean
  /**
   * The stream of a turn whose reader takes nothing for 30 seconds, while more waits for it than a socket holds, ends with
   * the error `Client write timeout` and a `done` behind what is on its way (docs/ash.md 4.5). The turn runs on, and nothing further
   * of it is stored. Without a socket 4 MiB may wait. Off: all frames of the turn wait for their reader.
   *
   * @default true
   */
  readonly cutStalledReaders: boolean
  /**
   * A session that was stopped, or whose sandbox died, starts again with the agent's files alone (docs/ash.md 5.2).
   * Off: with the workspace it had.
   *
   * @default true
   */
  readonly coldResumeLosesWorkspace: boolean
  /**
   * A new session gets a sandbox that was made before it (docs/ash.md 5.3), when its agent was deployed or another
   * session got the one before: its `sandboxId` differs from its `id`, the files are those that the agent had then, and
   * `systemPrompt`, `mcpServers`, `extraEnv`, `credentialId` and `permissionMode` are dropped silently. What a
   * session asks for of environment and permissions the next session of an agent of that name has, of whichever tenant.
   * On a real server it is a race whether this happens; here it always does while there is room, or never.
   *
   * @default false
   */
  readonly warmPool: boolean
  /**
   * No case of an eval is asked (docs/ash.md 3.4): the server names the sandbox so that it refuses the name itself.
   * Off: cases are asked and scored.
   *
   * @default false
   */
  readonly evalsFail: boolean
  /**
   * What becomes of the `content` of a message (docs/ash.md 6.1).
   *
   * - `mangled`, as the newest server: a text becomes a list with that text, a list of one block is refused, two to
   *   twenty blocks pass.
   * - `strings`, as release 0.2.0: a text of at most 100,000 characters passes, blocks are refused.
   * - `intact`: texts and blocks pass as they are.
   *
   * @default "mangled"
   */
  readonly content: "mangled" | "strings" | "intact"
}

/** The quirks of the newest server. */
export const defaults: Quirks = {
  mixTurns: true,
  hangOnDeadSandbox: true,
  dropAfterDisconnect: true,
  cutStalledReaders: true,
  coldResumeLosesWorkspace: true,
  warmPool: false,
  evalsFail: false,
  content: "mangled"
}

export const areQuirks = optionsOf<Quirks>({
  ...Record.map(Struct.omit(defaults, ["content"]), () => flag),
  content: oneOf("mangled", "strings", "intact")
})
