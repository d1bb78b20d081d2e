/** Settings that a session asked for and its sandbox does not have. */
import * as Effect from "effect/Effect"
import { failure } from "../../internal/request/operations.ts"
import { SettingsIgnored } from "../../schema/Reasons.ts"
import type { CreateSessionRequest, Session } from "../../schema/Session.ts"

/** What a sandbox that was made before its session does not know (docs/ash.md 5.3). */
const sandboxSettings = ["systemPrompt", "extraEnv", "credentialId", "mcpServers", "permissionMode"] as const

/**
 * The settings of a session that its sandbox ignores: one made for it has its id, one that was made before has not. What is
 * empty asks for nothing.
 */
export const ignoredSettings = (request: CreateSessionRequest, { id, sandboxId }: Session): ReadonlyArray<string> =>
  sandboxId === id ? [] : sandboxSettings.filter((setting) => Object.keys(request[setting] ?? "").length > 0)

const describeIgnored = (id: string, settings: ReadonlyArray<string>) =>
  `the session ${id} got a sandbox that was made before it, which ignores ${settings.join(", ")}, and may have the ` +
  "environment of another session"

export const warnOfIgnored = ({ id }: Session, settings: ReadonlyArray<string>): Effect.Effect<void> =>
  settings.length === 0 ? Effect.void : Effect.logWarning(describeIgnored(id, settings))

export const settingsIgnored = ({ id }: Session, settings: ReadonlyArray<string>) =>
  failure("Sessions.open", SettingsIgnored, {
    message: `${describeIgnored(id, settings)}; it is ended, as are those before it`,
    sessionId: id,
    settings
  })
