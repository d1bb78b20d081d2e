/** What a handle sends: turns and commands, each alone in its session, and again where it could not begin. */
import * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { merge, RequestOptions } from "../../client/RequestOptions.ts"
import { messageOf } from "../../internal/request/operations.ts"
import { successful } from "../../internal/turn/brokenTurn.ts"
import type { Fence, Gate, Holder, SessionRestarted } from "../../internal/turn/gate.ts"
import * as Gated from "../../internal/turn/gated.ts"
import { contentKeyOf } from "../../internal/turn/reconcile.ts"
import * as TurnFold from "../../internal/turn/turnFold.ts"
import type { AshError } from "../../schema/AshError.ts"
import type { MessageContent, SendMessageOptions } from "../../schema/Message.ts"
import type { ExecResult } from "../../schema/Session.ts"
import type { StreamEvent } from "../../schema/StreamEvent.ts"
import type { Turn } from "../../schema/Turn.ts"
import { closed, type ExecOptions, type HandleState } from "./handleState.ts"
import { ensureUsable, restart, restartForRetry, stop } from "./restart.ts"

/** Enters the session alone, in a state in which a turn or a command may begin. */
const enter = Effect.fnUntraced(function*(
  handle: HandleState,
  operation: string,
  what: Holder["what"],
  onBroken?: (gate: Gate, hasFailed: boolean) => Effect.Effect<void>
) {
  const { id, isClosed, options, services } = handle
  if (isClosed()) return yield* closed(operation, id)
  const gate = yield* services.gates.enter(operation, id, options)
  const holder = yield* Gated.holdGate(gate, what, (hasFailed) => onBroken?.(gate, hasFailed) ?? Effect.void)
  const restarted = yield* Effect.raceFirst(ensureUsable(handle, operation, gate), Deferred.await(holder.cancelled))
  const refusal = () => isClosed() ? closed(operation, id) : undefined
  return { restarted, holder: { gate, holder, operation, refusal, sessionId: id } }
})

/** Stops the turn, and with it the session, which the next that uses it resumes. */
const stopTurn = (handle: HandleState, gate: Gate) =>
  gate.restarting.withPermits(1)(
    Effect.andThen(
      stop(handle),
      Effect.sync(() => {
        const fence: Fence = {
          _tag: "Stopped",
          why: "its turn was interrupted",
          restart: (gate) => restart(handle, gate, fence)
        }
        gate.stopped(fence)
      })
    )
  ).pipe(
    Effect.timeout("30 seconds"),
    Effect.catchCause((cause) =>
      Effect.logWarning(
        `the turn of the session ${handle.id} could not be stopped, and may still run: ${messageOf(cause)}`
      )
    )
  )

/** Runs a turn again where it could not begin, behind a restart, which is an event of the stream. */
const withRestarts = (
  handle: HandleState,
  holder: Gated.HolderOptions,
  turn: Stream.Stream<StreamEvent, AshError>,
  restarted: Option.Option<SessionRestarted>,
  tried: ReadonlyArray<Fence["_tag"]>
): Stream.Stream<StreamEvent | SessionRestarted, AshError> => {
  const events = handle.options.recovery !== "restart" ? turn : Stream.catch(turn, (error) =>
    Stream.unwrap(
      Effect.map(
        restartForRetry(handle, holder, error, tried),
        ([restarted, tried]) => withRestarts(handle, holder, turn, restarted, tried)
      )
    ))
  return Option.isNone(restarted) ? events : Stream.concat(Stream.succeed(restarted.value), events)
}

/** Begins a turn. */
const begin = Effect.fnUntraced(function*(
  handle: HandleState,
  operation: string,
  content: MessageContent,
  sendOptions: SendMessageOptions,
  makeFold: TurnFold.Make
) {
  const { after, id, options: { buffer, onInterrupt, timeouts }, services } = handle
  // What stops the turn belongs to it, whatever closes its scope.
  const context = yield* Effect.context<never>()
  const clock = yield* Clock.Clock
  const { holder, restarted } = yield* enter(handle, operation, "turn", (gate, hasFailed) =>
    Effect.suspend(() => {
      handle.broken = handle.latest
      if (hasFailed || onInterrupt !== "stop") return Effect.void
      return Effect.provideContext(stopTurn(handle, gate), context)
    }))
  if (handle.latest === undefined) holder.gate.remember({ lastSequence: holder.gate.memory.lastSequence ?? after })
  const onSend = () => {
    handle.latest = { contentKey: contentKeyOf(content), sentAt: clock.currentTimeMillisUnsafe() }
  }
  const budgets = [handle.spending, ...Arr.ensure(handle.options.budget ?? [])]
  const request = { operation, sessionId: id, content, options: sendOptions, onTurnError: "fail", budgets } as const
  const turn = services.turns.stream(
    request,
    () => Effect.sync(() => Gated.gatedTurn({ ...holder, onSend }, makeFold))
  ).pipe(Stream.updateService(RequestOptions, (own) => merge(own)({ timeouts, buffer })))
  return withRestarts(handle, holder, turn, restarted, [])
})

/** Streams a turn. */
export const stream = (
  handle: HandleState,
  operation: string,
  content: MessageContent,
  options: SendMessageOptions = {},
  makeFold: TurnFold.Make = TurnFold.foldForFailure
): Stream.Stream<StreamEvent | SessionRestarted, AshError> => {
  const { agentName, id, services } = handle
  return services.turns.observed(
    { operation, sessionId: id, agentName, content, options },
    (folding) => Stream.unwrap(begin(handle, operation, content, options, folding(makeFold)))
  )
}

/** Runs a turn until it ends, which is a failure unless it is a success. */
export const ask = (
  handle: HandleState,
  content: MessageContent,
  sendOptions: SendMessageOptions | undefined
): Effect.Effect<Turn, AshError> =>
  Effect.suspend(() => {
    const operation = "SessionHandle.ask"
    let state = TurnFold.initial()
    // What is kept for a failure's sake is the turn itself: it is folded once.
    const makeFold: TurnFold.Make = (options) => {
      state = TurnFold.initial(options)
      return state
    }
    return stream(handle, operation, content, sendOptions, makeFold).pipe(
      Stream.runDrain,
      Effect.andThen(Effect.suspend(() => successful(operation, handle.id, TurnFold.toTurn(state), state.redact)))
    )
  })

/** Runs a command. */
export const exec = (
  handle: HandleState,
  command: string,
  execOptions: ExecOptions | undefined
): Effect.Effect<ExecResult, AshError> =>
  Effect.scoped(Effect.gen(function*() {
    const { holder } = yield* enter(handle, "SessionHandle.exec", "command")
    const attempt = (tried: ReadonlyArray<Fence["_tag"]>): Effect.Effect<ExecResult, AshError> =>
      Effect.catch(
        Gated.gatedCommand(holder, (control) => handle.services.exec(control, handle.id, command, execOptions)),
        (error) => Effect.flatMap(restartForRetry(handle, holder, error, tried), ([, tried]) => attempt(tried))
      )
    return yield* attempt([])
  }))
