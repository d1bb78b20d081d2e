/** Sessions: an agent at work in a sandbox of its own. */
import * as Schema from "effect/Schema"
import {
  anyFields,
  atMost,
  harmless,
  JsonObjectInput,
  nullish,
  objectInput,
  omittable,
  open,
  rowFields,
  StringMap,
  Time,
  WellFormed
} from "./Wire.ts"

/** The state of a session. Open: a newer server may send others. */
export type SessionStatus = typeof SessionStatus.Type
export const SessionStatus = open(["starting", "active", "paused", "stopped", "ended", "error"])

/** A session, as every session route answers it. Its model and its other settings are never shown. */
export interface Session extends Schema.Schema.Type<typeof Session> {}
export const Session = Schema.Struct({
  ...rowFields,
  agentName: Schema.String,
  /** Equal to `id` when the sandbox was made for this session, another UUID when it was pre-warmed. */
  sandboxId: Schema.String,
  status: SessionStatus,
  runnerId: nullish(Schema.String),
  /** The session that this one was forked from. */
  parentSessionId: nullish(Schema.String),
  /** Stale in the answer of a call that changes the session. */
  lastActiveAt: Time
}).annotate({ identifier: "Session" })

/** An MCP server that a session may use: by `url`, or as a `command` that the sandbox starts. */
export interface McpServer extends Schema.Schema.Type<typeof McpServer> {}
export const McpServer = objectInput(Schema.StructWithRest(
  Schema.Struct({
    url: Schema.optional(Schema.String),
    command: Schema.optional(Schema.String),
    args: Schema.optional(Schema.Array(Schema.String)),
    env: Schema.optional(StringMap)
  }),
  [anyFields]
)).annotate({ identifier: "McpServer" })

/** Settings that go with every message of a session; they hold whatever sandbox the session runs in. */
const querySettings = {
  /** The model; at most 100 characters. */
  model: omittable(WellFormed.check(atMost(100)).annotate(harmless)),
  allowedTools: omittable(Schema.Array(Schema.String)),
  disallowedTools: omittable(Schema.Array(Schema.String)),
  betas: omittable(Schema.Array(Schema.String)),
  /** Subagents by name, as the Claude Agent SDK defines them. */
  subagents: omittable(JsonObjectInput),
  initialAgent: omittable(WellFormed.annotate(harmless))
}

/**
 * The body of `POST /api/sessions`.
 *
 * A server that keeps pre-warmed sandboxes drops `credentialId`, `extraEnv`, `mcpServers`, `systemPrompt` and
 * `permissionMode` without a word when the session gets one of them: then `sandboxId` differs from `id`.
 */
export interface CreateSessionRequest extends Schema.Schema.Type<typeof CreateSessionRequest> {}
export const CreateSessionRequest = Schema.Struct({
  /** The agent's name; 1 to 255 characters. */
  agent: WellFormed.check(Schema.isBetweenLength(1, 255, { expected: "1 to 255 characters" })).annotate(harmless),
  credentialId: omittable(WellFormed.check(atMost(255)).annotate(harmless)),
  /** Environment variables, over the agent's and the credential's. */
  extraEnv: omittable(StringMap),
  mcpServers: omittable(Schema.Record(WellFormed, McpServer)),
  /** At most 1,000,000 characters; empty counts as absent. */
  systemPrompt: omittable(Schema.String.check(atMost(1_000_000))),
  permissionMode: omittable(Schema.Literals(["bypassPermissions", "permissionsByAgent", "default"])),
  ...querySettings
}).annotate({ identifier: "CreateSessionRequest" })

/** The body of `PATCH /api/sessions/:id/config`: merged key by key, in force from the next message on. */
export interface UpdateSessionConfigRequest extends Schema.Schema.Type<typeof UpdateSessionConfigRequest> {}
export const UpdateSessionConfigRequest = Schema.Struct(querySettings)
  .annotate({ identifier: "UpdateSessionConfigRequest" })

/** The body of `POST /api/sessions/:id/exec`. */
export interface ExecRequest extends Schema.Schema.Type<typeof ExecRequest> {}
export const ExecRequest = Schema.Struct({
  /** Run by `/bin/sh -c` in the workspace. */
  command: Schema.NonEmptyString,
  /** Milliseconds, 1 to 300,000; the server's default is 30,000. */
  timeout: omittable(
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 300_000 }, { expected: "1 to 300,000 milliseconds" }))
  )
}).annotate({ identifier: "ExecRequest" })

/** What a command answered. A time-out and a death by signal both show as exit code 1 without a mark. */
export interface ExecResult extends Schema.Schema.Type<typeof ExecResult> {}
export const ExecResult = Schema.Struct({
  exitCode: Schema.Finite,
  stdout: Schema.String,
  stderr: Schema.String
}).annotate({ identifier: "ExecResult" })

/** A line, or several, that a sandbox logged. */
export interface SandboxLogEntry extends Schema.Schema.Type<typeof SandboxLogEntry> {}
export const SandboxLogEntry = Schema.Struct({
  /** Counts from 0, anew with each sandbox. */
  index: Schema.Finite,
  level: open(["stdout", "stderr", "system"]),
  text: Schema.String,
  ts: Time
}).annotate({ identifier: "SandboxLogEntry" })

/** The logs of a session's sandbox: the last 10,000 entries at most, none once the sandbox is gone. */
export interface SandboxLogs extends Schema.Schema.Type<typeof SandboxLogs> {}
export const SandboxLogs = Schema.Struct({ logs: Schema.Array(SandboxLogEntry), source: Schema.String })
  .annotate({ identifier: "SandboxLogs" })
