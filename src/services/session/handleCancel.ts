/** Ends what runs in a session, and makes it usable again, when the program asks for it. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { cancelHolder, type Fence, type Gate, type Holder, type SessionRestarted } from "../../internal/turn/gate.ts"
import * as Gated from "../../internal/turn/gated.ts"
import type { AshError } from "../../schema/AshError.ts"
import type { HandleState } from "./handleState.ts"
import { makeUsable, restart } from "./restart.ts"

const cancelOperation = "SessionHandle.cancel"
const recoverOperation = "SessionHandle.recover"

/** What the cancelling of something comes to that was not sent. */
const nothingSent = ({ id, services }: HandleState): Effect.Effect<SessionRestarted, AshError> =>
  Effect.map(services.sessions.get(id), (session) => ({
    _tag: "SessionRestarted",
    reason: "what was cancelled had not been sent",
    session,
    lost: [],
    mayBeLost: []
  }))

/** Stops and resumes the session, and with it ends its holder. */
const cancelByRestart = (handle: HandleState, gate: Gate, holder: Holder | undefined) => {
  const { restarts } = gate.memory
  return gate.restarting(Effect.gen(function*() {
    const refused = handle.refusal(cancelOperation)
    if (refused !== undefined) return yield* refused
    // What was to be cancelled is over since: another call has restarted the session.
    const { lastRestart } = gate.memory
    if (gate.memory.restarts !== restarts && lastRestart !== undefined) return lastRestart
    const fence: Fence = { _tag: "Broken", why: "what ran in it was cancelled, and it is not yet there again" }
    const how = `it was cancelled, by stopping the session ${handle.id}`
    gate.cancel(holder, fence, Gated.cancelled(cancelOperation, handle.id, how, true))
    const restarted = yield* restart(handle, gate, fence)
    if (holder !== undefined) gate.over(holder)
    return restarted
  }))
}

export const cancel = (handle: HandleState): Effect.Effect<SessionRestarted, AshError> =>
  Effect.scoped(Effect.flatMap(handle.services.gates.use(handle.id), (gate) => {
    const { holder } = gate
    const refused = handle.refusal(cancelOperation)
    if (refused !== undefined) return Effect.fail(refused)
    if (holder !== undefined && gate.isWaiting) {
      const how = "it was cancelled before it was sent"
      cancelHolder(holder, Gated.cancelled(cancelOperation, handle.id, how, false))
      if (!gate.isShut) return nothingSent(handle)
    }
    return cancelByRestart(handle, gate, holder)
  }))

/** What to do about a session that is not fenced: nothing, unless it is not active. */
const ifInactive = ({ id, services }: HandleState) =>
  Effect.map(services.sessions.get(id), ({ status }) => status === "active" ? undefined : Gated.inactive(status))

/** Makes the session usable again, unless it is. */
export const recover = (handle: HandleState): Effect.Effect<Option.Option<SessionRestarted>, AshError> =>
  Effect.scoped(Effect.gen(function*() {
    const { id, options, refusal, services } = handle
    const refused = refusal(recoverOperation)
    if (refused !== undefined) return yield* refused
    const gate = yield* services.gates.enter(recoverOperation, id, options)
    return yield* gate.restarting(Effect.gen(function*() {
      const fence = gate.fence ?? (yield* ifInactive(handle))
      return fence === undefined ? Option.none() : Option.some(yield* makeUsable(handle, gate, fence))
    }))
  }))
