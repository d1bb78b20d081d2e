/** What changes the state of a session: its pause, stop, resumption, end, settings, and copies of it. */
import * as Effect from "effect/Effect"
import * as Creations from "../../internal/request/creations.ts"
import { within } from "../../internal/request/operations.ts"
import type { AshError } from "../../schema/AshError.ts"
import type { Session, UpdateSessionConfigRequest } from "../../schema/Session.ts"
import { halting, type OnSessionWire, type SessionsParts, unwrap } from "./sessionsParts.ts"

/** Resumes a session, without a change of its gate. */
export const resume = ({ api, policy }: SessionsParts, id: string): Effect.Effect<Session, AshError> =>
  Effect.map(policy.call(api.resume, { params: { id } }), unwrap)

/** Stops a session, without a change of its gate. */
export const stop = (
  { api, policy }: SessionsParts,
  id: string,
  onWire?: OnSessionWire
): Effect.Effect<Session, AshError> => Effect.map(policy.call(api.stop, { params: { id } }, { onWire }), unwrap)

/** Makes a session active again; one that a handle has stopped as that handle would, with its workspace. */
const resumeAsStopped = (parts: SessionsParts, id: string): Effect.Effect<Session, AshError> =>
  Effect.scoped(Effect.flatMap(parts.gates.use(id), (gate) =>
    gate.restarting(Effect.suspend(() => {
      const { fence } = gate
      if (fence?._tag === "Stopped") return Effect.map(fence.restart(gate), ({ session }) => session)
      return Effect.tap(resume(parts, id), () => Effect.sync(() => gate.resumed()))
    })))).pipe(Effect.mapError(within("Sessions.resume")))

/** The methods that change the state of a session. */
export const lifecycleOf = (parts: SessionsParts) => {
  const { api, creations, end, gates, policy: { call } } = parts
  return {
    end,
    stop: (id: string) => halting(gates, id, { how: "stopped", call: (onWire) => stop(parts, id, onWire) }),
    pause: (id: string) =>
      Effect.scoped(Effect.flatMap(gates.use(id), (gate) =>
        gate.changing(
          Effect.tap(
            Effect.map(call(api.pause, { params: { id } }), unwrap),
            () => Effect.sync(() => gate.remember({ halted: "paused" }))
          )
        ))),
    resume: (id: string) => resumeAsStopped(parts, id),
    fork: (id: string) =>
      Creations.inOwnScope((scope) =>
        Effect.map(
          call(api.fork, { params: { id } }, { onWire: (attempt) => creations.attempt(attempt, scope) }),
          unwrap
        )
      ),
    updateConfig: (id: string, payload: UpdateSessionConfigRequest) =>
      Effect.map(call(api.updateConfig, { params: { id }, payload }), unwrap)
  }
}
