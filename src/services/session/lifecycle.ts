/** What changes the state of a session: its pause, stop, resumption, end, settings, and copies of it. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { identity } from "effect/Function"
import * as Creations from "../../internal/request/creations.ts"
import { within } from "../../internal/request/operations.ts"
import { whenSent } from "../../internal/request/sending.ts"
import type { AshError } from "../../schema/AshError.ts"
import type { Session, UpdateSessionConfigRequest } from "../../schema/Session.ts"
import { halting, onAnswer, type OnSessionWire, type SessionsParts, unwrap } from "./sessionsParts.ts"

/**
 * Changes a session. What is on the wire is awaited for a time when its caller is interrupted: a server does it all the same,
 * and behind what is sent next it would undo that, be it the end of the session.
 */
const change = (
  { api, policy }: SessionsParts,
  how: "pause" | "resume" | "stop",
  id: string,
  onWire: OnSessionWire = identity
): Effect.Effect<Session, AshError> =>
  Effect.uninterruptibleMask((restore) => {
    let isOut = false
    const call = policy.call(api[how], { params: { id } }, {
      onWire: (attempt) => (sending) =>
        Effect.ensuring(
          whenSent(() => {
            isOut = true
          })(onWire(attempt))(sending),
          Effect.sync(() => {
            isOut = false
          })
        )
    })
    return Effect.flatMap(Effect.forkChild(call, { startImmediately: true }), (fiber) =>
      Effect.onInterrupt(
        restore(Effect.map(Fiber.join(fiber), unwrap)),
        () =>
          Effect.andThen(
            isOut ? Effect.timeoutOption(Fiber.await(fiber), "10 seconds") : Effect.void,
            Fiber.interrupt(fiber)
          )
      ))
  })

/** Resumes a session, without a change of its gate. */
export const resume = (parts: SessionsParts, id: string, onWire?: OnSessionWire) => change(parts, "resume", id, onWire)

/** Stops a session, without a change of its gate. */
export const stop = (parts: SessionsParts, id: string, onWire?: OnSessionWire) => change(parts, "stop", id, onWire)

/** Makes a session active again; one that a handle has stopped as that handle would, with its workspace. */
const resumeAsStopped = (parts: SessionsParts, id: string): Effect.Effect<Session, AshError> =>
  Effect.scoped(Effect.flatMap(parts.gates.use(id), (gate) =>
    gate.restarting(Effect.suspend(() => {
      const { fence } = gate
      if (fence?._tag === "Stopped") return Effect.map(fence.restart(gate), ({ session }) => session)
      return resume(parts, id, onAnswer(Effect.sync(() => gate.resumed())))
    })))).pipe(Effect.mapError(within("Sessions.resume")))

export const lifecycleOf = (parts: SessionsParts) => {
  const { api, creations, end, gates, policy } = parts
  return {
    end,
    stop: (id: string) => halting(gates, id, { how: "stopped", call: (onWire) => stop(parts, id, onWire) }),
    pause: (id: string) =>
      Effect.scoped(Effect.flatMap(gates.use(id), (gate) =>
        gate.changing(
          change(parts, "pause", id, onAnswer(Effect.sync(() => gate.remember({ halted: "paused" }))))
        ))),
    resume: (id: string) => resumeAsStopped(parts, id),
    fork: (id: string) =>
      Creations.inOwnScope((scope) =>
        Effect.map(
          policy.call(api.fork, { params: { id } }, { onWire: (attempt) => creations.attempt(attempt, scope) }),
          unwrap
        )
      ),
    updateConfig: (id: string, payload: UpdateSessionConfigRequest) =>
      Effect.map(policy.call(api.updateConfig, { params: { id }, payload }), unwrap)
  }
}
