/** Runs commands in sessions. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import { failure } from "../../internal/request/operations.ts"
import { checked, duration, optionsOf } from "../../internal/request/options.ts"
import type { Surround } from "../../internal/request/sending.ts"
import * as Gated from "../../internal/turn/gated.ts"
import type { AshError } from "../../schema/AshError.ts"
import { ServerFailure } from "../../schema/Reasons.ts"
import type { ExecOptions } from "./handleState.ts"
import type { SessionsParts } from "./sessionsParts.ts"

/**
 * A server gives one error to a command that writes too much and to any that it could not run (docs/ash.md 2.2, shape C).
 */
const explainExec = (reason: ServerFailure, error: AshError) =>
  !reason.message.startsWith("Internal Server Error") ? error : failure("Sessions.exec", ServerFailure, {
    ...reason,
    message: `${reason.message}; so ends a command that writes more than 10 MiB, which can go to a file`
  })

const rules = optionsOf<ExecOptions>({ timeout: duration() })

/** Runs a command, as soon as what surrounds it lets it begin. */
export const exec = Effect.fnUntraced(function*(
  { api, policy }: SessionsParts,
  onWire: Surround,
  id: string,
  command: string,
  options: ExecOptions | undefined
) {
  const { timeout } = yield* checked("Sessions.exec", rules, options)
  const limit = timeout === undefined ? undefined : Duration.fromInputUnsafe(timeout)
  return yield* policy.call(
    api.exec,
    { params: { id }, payload: { command, timeout: limit === undefined ? undefined : Duration.toMillis(limit) } },
    { timeLimit: Duration.sum(limit ?? Duration.seconds(30), Duration.seconds(10)), onWire }
  )
}, Effect.catchReason("AshError", "ServerFailure", explainExec))

/** Runs a command alone in the session, unless the request option `exclusive` is false. */
export const execAlone = (parts: SessionsParts, id: string, command: string, options: ExecOptions | undefined) =>
  Effect.flatMap(parts.policy.settings("Sessions.exec"), ({ options: { exclusive = true } }) => {
    const run = (onWire: Surround) => exec(parts, onWire, id, command, options)
    return !exclusive ? run(identity) : Effect.scoped(Effect.flatMap(
      Gated.enterUnfenced(parts.gates, "Sessions.exec", id, "command"),
      (holder) => Gated.gatedCommand({ ...holder, operation: "Sessions.exec", sessionId: id }, run)
    ))
  })
