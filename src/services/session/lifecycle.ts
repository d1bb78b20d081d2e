/** What changes the state of a session: its pause, stop, resumption, end, settings, and copies of it. */
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Creations from "../../internal/request/creations.ts"
import { within } from "../../internal/request/operations.ts"
import type { Surround } from "../../internal/request/sending.ts"
import type { AshError } from "../../schema/AshError.ts"
import type { Session, UpdateSessionConfigRequest } from "../../schema/Session.ts"
import { closed, halting, type SessionsParts } from "./sessionsParts.ts"

/**
 * Changes a session, without a change of its gate. What is on the wire is awaited for a time when its caller is interrupted: a
 * server does it all the same, and behind what is sent next it would undo that. It goes on beyond that, and an end is repeated
 * behind it. A session whose scope has closed is not changed any more, though its end was not answered.
 */
export const change = (
  { api, creations, gates, policy }: SessionsParts,
  how: "pause" | "resume" | "stop",
  id: string,
  onAnswer: Effect.Effect<void> = Effect.void,
  onWire: Surround = identity
): Effect.Effect<Session, AshError> =>
  Effect.scoped(
    Effect.flatMap(gates.use(id), (gate) =>
      gate.memory.halted === "ended" ?
        closed(`Sessions.${how}`, id) :
        Effect.scopedWith((scope) =>
          policy.field(api[how], { params: { id } }, "session", {
            onWire: (attempt) =>
              onWire(creations.attempt(
                (sending) => Effect.scoped(Effect.andThen(gates.use(id), gate.pending(attempt(sending)))),
                scope,
                onAnswer
              ))
          })
        ))
  )

export const lifecycleOf = (parts: SessionsParts) => {
  const { api, creations, end, gates, policy } = parts
  return {
    end,
    stop: (id: string) =>
      halting(gates, id, { how: "stopped", call: (halt, onWire) => change(parts, "stop", id, halt, onWire) }),
    pause: (id: string) =>
      Effect.scoped(Effect.flatMap(gates.use(id), (gate) =>
        gate.changing(
          change(parts, "pause", id, Effect.sync(() => gate.remember({ halted: "paused" })))
        ))),
    /** One that a handle has stopped is made active again as that handle would, with its workspace. */
    resume: (id: string) =>
      Effect.scoped(Effect.flatMap(gates.use(id), (gate) =>
        gate.restarting(Effect.suspend(() => {
          const { fence } = gate
          if (fence?._tag === "Stopped") return Effect.map(fence.restart(gate), ({ session }) => session)
          return change(parts, "resume", id, Effect.sync(() => gate.resumed()))
        })))).pipe(Effect.mapError(within("Sessions.resume"))),
    fork: (id: string) =>
      Creations.inOwnScope((scope) =>
        policy.field(api.fork, { params: { id } }, "session", {
          onWire: (attempt) => creations.attempt(attempt, scope)
        })
      ),
    updateConfig: (id: string, payload: UpdateSessionConfigRequest) =>
      policy.field(api.updateConfig, { params: { id }, payload }, "session")
  }
}
