/** Makes a session usable again, by a stop where something may still run in it, and a resume. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as FileDownload from "../../client/FileDownload.ts"
import { maxSize as maxBundleSize } from "../../internal/files/bundle.ts"
import { failure } from "../../internal/request/operations.ts"
import type { Fence, Gate, Losable, SessionRestarted } from "../../internal/turn/gate.ts"
import * as Gated from "../../internal/turn/gated.ts"
import type { AshError } from "../../schema/AshError.ts"
import { TimedOut, WrongState } from "../../schema/Reasons.ts"
import type { HandleState } from "./handleState.ts"
import { change } from "./lifecycle.ts"
import { closed } from "./sessionsParts.ts"

const saveAtMost = "5 minutes"

const readWorkspace = ({ id, services }: HandleState) =>
  Effect.scoped(
    Effect.flatMap(services.workspaces.download(id), FileDownload.bytes("Workspaces.download", maxBundleSize))
  ).pipe(Effect.timeoutOrElse({
    duration: saveAtMost,
    orElse: () =>
      failure("Workspaces.download", TimedOut, {
        message:
          `the workspace was not saved within ${saveAtMost}; nothing was restarted. Try again, or without keepWorkspace`,
        timer: "attempt",
        duration: Duration.fromInputUnsafe(saveAtMost)
      })
  }))

/** Saves the workspace, if `keepWorkspace` is set; answers why it could not be, where there may be nothing left to save. */
const save = Effect.fnUntraced(function*(handle: HandleState, fence: Fence) {
  if (handle.options.keepWorkspace !== true || handle.saved?.fence === fence) return undefined
  handle.saved = undefined
  const result = yield* Effect.result(readWorkspace(handle))
  if (Result.isSuccess(result)) {
    handle.saved = { fence, workspace: result.success }
    return undefined
  }
  const { failure } = result
  // A sandbox that lives must not be thrown away with what is in it.
  if (fence._tag === "Broken" && failure.reason._tag !== "NotFound") return yield* failure
  yield* Effect.logWarning(`the workspace of the session ${handle.id} could not be saved: ${failure.message}`)
  return failure.message
})

/** Stops the session. A paused one cannot be stopped, though its turn goes on; one in another state has no sandbox that it could run in. */
export const stop = (handle: HandleState): Effect.Effect<unknown, AshError> =>
  Effect.catchIf(
    change(handle.services, "stop", handle.id),
    ({ reason }) => reason._tag === "WrongState" || reason._tag === "InvalidRequest",
    (error) => afterRefusedStop(handle, error)
  )

/** What a stop that was refused comes to, whatever the server's words for it. */
const afterRefusedStop = ({ id, services }: HandleState, error: AshError): Effect.Effect<unknown, AshError> =>
  Effect.flatMap(services.sessions.get(id), ({ status }) =>
    status === "active"
      ? Effect.fail(error)
      : status === "paused"
      ? Effect.andThen(change(services, "resume", id), change(services, "stop", id))
      : Effect.void)

const describeLoss = (verb: string, what: ReadonlyArray<Losable>) =>
  what.length === 0 ? [] : [`its ${what.join(" and ")} ${verb} lost`]

/**
 * Makes the session usable again, for the reason that the fence has: by a stop where something may still run in it, and a
 * resume. What was saved of the workspace is kept until it is back.
 */
export const restart = Effect.fnUntraced(function*(handle: HandleState, gate: Gate, fence: Fence) {
  const { id, services } = handle
  // Its scope may have closed while it waited, and the end not have been answered.
  const refused = handle.refusal("Sessions.resume")
  if (refused !== undefined) return yield* refused
  const before = fence._tag === "Inactive" ? yield* services.sessions.get(id) : undefined
  const notSaved = yield* save(handle, fence)
  if (fence._tag === "Broken" || fence._tag === "Gone") yield* stop(handle)
  const session = yield* change(services, "resume", id)
  if (session.status === "ended") return yield* closed("Sessions.resume", id)
  const isSame = session.sandboxId === before?.sandboxId
  const kept = handle.saved?.fence === fence ? handle.saved.workspace : undefined
  if (kept !== undefined && !isSame) yield* services.workspaces.upload(id, kept)
  handle.saved = undefined
  const lost = isSame ? [] : ["memory"] as const
  // Servers resume into the workspace as it was, or into that of a new sandbox, and do not report which.
  const mayBeLost = isSame || kept !== undefined ? [] : ["workspace"] as const
  const restarted: SessionRestarted = {
    _tag: "SessionRestarted",
    reason: fence.why,
    session,
    lost,
    mayBeLost,
    ...(notSaved === undefined ? {} : { notSaved })
  }
  gate.restarted(restarted)
  const losses = [...describeLoss("is", lost), ...describeLoss("may be", mayBeLost)]
  yield* Effect.logWarning(
    `the session ${id} was resumed${losses.length === 0 ? "" : `, and ${losses.join(", ")}`}: ${fence.why}`
  )
  return restarted
})

/** Makes the session usable again; one that a handle has stopped as that handle would, with its workspace. */
export const makeUsable = (handle: HandleState, gate: Gate, fence: Fence) =>
  fence._tag === "Stopped" ? fence.restart(gate) : restart(handle, gate, fence)

/** Restarts the session if it has to be, and if no other call did so in the meantime. A restart that runs is waited for. */
export const ensureUsable = (handle: HandleState, operation: string, gate: Gate) =>
  Gated.ensureUsable(gate, operation, handle.id, (fence) => {
    const { halted } = gate.memory
    if (halted === "ended") return Effect.fail(closed(operation, handle.id))
    return handle.options.recovery === "restart" && halted === undefined ? restart(handle, gate, fence) : undefined
  })

/** Fails where the agent of a session may not remember the turn before, as the session was restarted since or has to be. */
export const ensureRemembered = ({ id }: HandleState, operation: string, gate: Gate, restarts: number) =>
  gate.restarting(Effect.suspend(() => {
    const { fence, memory } = gate
    const why = memory.restarts !== restarts ? memory.lastRestart?.reason : fence?.why
    return why === undefined
      ? Effect.void
      : failure(operation, WrongState, { message: `the agent of the session ${id} may have lost its memory: ${why}` })
  }))

/** How a session is restarted in which nothing could begin, for another try, if that is allowed; for each reason once. */
export const restartsOf = (
  handle: HandleState,
  { gate, holder, operation }: Gated.HolderOptions,
  allowed: Effect.Effect<void, AshError> = Effect.void
) => {
  const tried = new Set<Fence["_tag"]>()
  return (error: AshError): Effect.Effect<Option.Option<SessionRestarted>, AshError> => {
    const { fence } = gate
    const isHopeless = fence === undefined || gate.isShut || tried.has(fence._tag)
    if (handle.options.recovery !== "restart" || gate.memory.halted !== undefined || isHopeless) {
      return Effect.fail(error)
    }
    tried.add(fence._tag)
    gate.refused(holder)
    return Effect.andThen(allowed, ensureUsable(handle, operation, gate))
  }
}
