/** What a handle sends: turns and commands, each alone in its session, and again where it could not begin. */
import * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { constVoid, memoize } from "effect/Function"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { merge, type RequestOptionsInput } from "../../client/RequestOptions.ts"
import { messageOf } from "../../internal/request/operations.ts"
import { successful } from "../../internal/turn/brokenTurn.ts"
import { awaitCancelled, type Fence, type Gate, type Holder, type SessionRestarted } from "../../internal/turn/gate.ts"
import * as Gated from "../../internal/turn/gated.ts"
import { ifAllowed, ledgersOf } from "../../internal/turn/ledger.ts"
import { contentKeyOf } from "../../internal/turn/reconcile.ts"
import * as TurnFold from "../../internal/turn/turnFold.ts"
import type { AshError } from "../../schema/AshError.ts"
import type { MessageContent, SendMessageOptions } from "../../schema/Message.ts"
import type { ExecResult } from "../../schema/Session.ts"
import type { StreamEvent } from "../../schema/StreamEvent.ts"
import * as Command from "./command.ts"
import type { ExecOptions, HandleState, SentTurn } from "./handleState.ts"
import { ensureRemembered, ensureUsable, restart, restartsOf, stop } from "./restart.ts"

/** A stay in a session over several turns, between which nothing else runs. */
export interface Stay {
  /** Waits for the session once, for all of the turns. */
  readonly gate: Effect.Effect<Gate, AshError>
  /**
   * How often the session had been restarted, where the turn is for an agent that remembers the one before: then nothing is
   * restarted for it, and nothing sent behind a restart.
   */
  readonly restarts?: number | undefined
}

/** A stay that lasts until the scope closes. */
export const stayIn = (scope: Scope.Scope, { id, options, services }: HandleState, operation: string) =>
  Effect.map(
    Effect.cached(Scope.provide(services.gates.enter(operation, id, options), scope)),
    (gate) => ({ gate })
  )

interface Entrance {
  readonly operation: string
  readonly what: Holder["what"]
  readonly stay?: Stay | undefined
  /** What has to be so before a session is restarted. */
  readonly allowed?: Effect.Effect<void, AshError> | undefined
  readonly onBroken?: Holder["onBroken"]
}

/** Enters the session alone, in a state in which a turn or a command may begin. */
const enter = Effect.fnUntraced(function*(
  handle: HandleState,
  { allowed = Effect.void, onBroken, operation, stay, what }: Entrance
) {
  const { id, options, refusal, services } = handle
  const refused = refusal(operation)
  if (refused !== undefined) return yield* refused
  const gate = yield* stay?.gate ?? services.gates.enter(operation, id, options)
  const holder = stay === undefined ? gate.enter(what, onBroken) : yield* Gated.holdGate(gate, what, onBroken)
  const usable = stay?.restarts === undefined
    ? Effect.andThen(allowed, ensureUsable(handle, operation, gate))
    : Effect.as(ensureRemembered(handle, operation, gate, stay.restarts), Option.none<SessionRestarted>())
  const restarted = gate.isUsable && stay?.restarts === undefined
    ? Option.none<SessionRestarted>()
    : yield* Effect.raceFirst(usable, awaitCancelled(holder))
  return { restarted, holder: { gate, holder, operation, refusal: () => refusal(operation), sessionId: id } }
})

/** Stops the turn, and with it the session, which the next that uses it resumes; unless another call has ended it meanwhile. */
const stopTurn = (handle: HandleState, gate: Gate) => {
  const why = "its turn was interrupted"
  const fence: Fence = { _tag: "Stopped", why, restart: (gate) => restart(handle, gate, fence) }
  const stopped = Effect.map(stop(handle), () => gate.stopped(fence))
  return gate.restarting(Effect.when(stopped, Effect.sync(() => gate.isShut))).pipe(
    // A stop that is on its way is awaited for 10 seconds more.
    Effect.timeout("20 seconds"),
    Effect.catchCause((cause) =>
      Effect.logWarning(
        `the turn of the session ${handle.id} could not be stopped, and may still run: ${messageOf(cause)}`
      )
    )
  )
}

const withEvent = (
  restarted: Option.Option<SessionRestarted>,
  events: Stream.Stream<StreamEvent | SessionRestarted, AshError>
) => Option.isNone(restarted) ? events : Stream.concat(Stream.succeed(restarted.value), events)

/** Runs a turn again where it could not begin, behind a restart, which is an event of the stream. */
const withRestarts = (
  turn: Stream.Stream<StreamEvent, AshError>,
  restart: ReturnType<typeof restartsOf>,
  restarted: Option.Option<SessionRestarted>
): Stream.Stream<StreamEvent | SessionRestarted, AshError> => {
  const events = Stream.catch(
    turn,
    (error) => Stream.unwrap(Effect.map(restart(error), (restarted) => withRestarts(turn, restart, restarted)))
  )
  return withEvent(restarted, events)
}

/** What a handle sets of its turns. The options of turn after turn are the same, and so read once. */
const withOptions = memoize(({ options: { buffer, timeouts } }: HandleState) =>
  memoize((own: RequestOptionsInput): RequestOptionsInput => merge(own)({ timeouts, buffer }))
)

export const settingsOf = (handle: HandleState, operation: string) =>
  handle.services.policy.settings(operation, withOptions(handle))

interface HandleRequest {
  readonly operation: string
  readonly content: MessageContent
  readonly options?: SendMessageOptions | undefined
  readonly stay?: Stay | undefined
}

/** The time by a clock that may be set back later: what a server has stored by then must not be older than it. */
const timeOf = (clock: Clock.Clock): SentTurn["sentAt"] => {
  const wall = clock.currentTimeMillisUnsafe()
  const start = clock.monotonicTimeNanosUnsafe()
  return () => Math.min(wall, clock.currentTimeMillisUnsafe() - Number(clock.monotonicTimeNanosUnsafe() - start) / 1e6)
}

const begin = Effect.fnUntraced(function*(
  handle: HandleState,
  { content, operation, options = {}, stay }: HandleRequest,
  makeFold: TurnFold.Make
) {
  const { after, id, options: { budget, onInterrupt, recovery }, services } = handle
  // What stops the turn belongs to it, whatever closes its scope.
  const context = yield* Effect.context<never>()
  const clock = yield* Clock.Clock
  const budgets = [handle.spending, ...Arr.ensure(budget ?? [])]
  const allowed = Effect.suspend(() => ifAllowed(operation, ledgersOf(services.policy.budgets, budgets), constVoid))
  let sent: HandleState["latest"]
  const onBroken = (gate: Gate, hasFailed: boolean) =>
    Effect.suspend(() => {
      handle.broken = sent ?? handle.broken
      if (hasFailed || onInterrupt !== "stop") return Effect.void
      return Effect.provideContext(stopTurn(handle, gate), context)
    })
  const { holder, restarted } = yield* enter(handle, { operation, what: "turn", stay, allowed, onBroken })
  if (handle.latest === undefined) holder.gate.remember({ lastSequence: holder.gate.memory.lastSequence ?? after })
  const onSend = () => {
    const { lastSequence } = holder.gate.memory
    handle.latest = sent = { contentKey: contentKeyOf(content), sentAt: timeOf(clock), lastSequence }
  }
  const turn = services.turns.stream(
    { operation, sessionId: id, content, options, onTurnError: "fail", budgets, over: withOptions(handle) },
    () => Effect.sync(() => Gated.gatedTurn({ ...holder, onSend }, makeFold))
  )
  if (recovery !== "restart" || stay?.restarts !== undefined) return withEvent(restarted, turn)
  return withRestarts(turn, restartsOf(handle, holder, allowed), restarted)
})

export const stream = (
  handle: HandleState,
  request: HandleRequest,
  makeFold: TurnFold.Make = TurnFold.foldForFailure
): Stream.Stream<StreamEvent | SessionRestarted, AshError> => {
  const { agentName, id, services } = handle
  const { content, operation, options = {} } = request
  return services.turns.observed(
    { operation, sessionId: id, agentName, content, options },
    (folding) => Stream.unwrap(begin(handle, request, folding(makeFold)))
  )
}

/** Runs a turn until it ends, which is a failure unless it is a success. */
export const ask = (handle: HandleState, request: HandleRequest) =>
  Effect.suspend(() => {
    const { operation } = request
    let state = TurnFold.initial()
    // What is kept for a failure's sake is the turn itself: it is folded once.
    return stream(handle, request, (options) => state = TurnFold.initial(options)).pipe(
      Stream.runDrain,
      Effect.andThen(Effect.suspend(() => successful(operation, handle.id, TurnFold.toTurn(state), state.redact)))
    )
  })

export const exec = (handle: HandleState, command: string, execOptions: ExecOptions | undefined) =>
  Effect.scoped(Effect.gen(function*() {
    const { holder } = yield* enter(handle, { operation: "SessionHandle.exec", what: "command" })
    const restart = restartsOf(handle, holder)
    const attempt = (): Effect.Effect<ExecResult, AshError> =>
      Effect.catch(
        Gated.gatedCommand(
          holder,
          (onWire) => Command.exec(handle.services, onWire, handle.id, command, execOptions)
        ),
        (error) => Effect.flatMap(restart(error), attempt)
      )
    return yield* attempt()
  }))
