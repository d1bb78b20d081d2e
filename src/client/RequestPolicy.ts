/**
 * How the services of a layer make their calls: which are repeated, within what bounds. One for all services of a layer,
 * as they share what a server allows.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { constTrue, identity } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { amount, checked, count, duration, oneOf, optionsOf } from "../internal/request/options.ts"
import { applyPolicy, makeRetryBudget, type OnWire, type Policy } from "../internal/request/policy.ts"
import * as RateLimit from "../internal/request/rateLimit.ts"
import { type Answered, type Attempt, type Sending, valueOf } from "../internal/request/sending.ts"
import { hasTracer, withSpan } from "../internal/request/traced.ts"
import type { Recorded } from "../internal/telemetry/observedTurn.ts"
import { areBudgets, type Budgets } from "../internal/turn/ledger.ts"
import { turnLimits } from "../internal/turn/turnLimits.ts"
import type { AshError } from "../schema/AshError.ts"
import type { Operation, Repetition } from "../schema/Operation.ts"
import type { ApiCall } from "./ApiMethods.ts"
import { areOptions } from "./over.ts"
import { merge, RequestOptions, type RequestOptionsInput, type TelemetryOptions } from "./RequestOptions.ts"
import { requestRules } from "./requestRules.ts"

/** What the calls of a layer share. */
export interface SharedLimits {
  /**
   * How many repetitions may be made that no success has made up for. A call that succeeds gives back its own, and a
   * tenth of one more. When none is left, calls fail as if they were not repeated.
   *
   * @default 100
   */
  readonly retryBudget?: number | undefined
  /**
   * What creations of sessions and agents do, of which a server allows 20 each in 15 minutes, where it refuses them, or its
   * headers show that it would: wait for their turn, or fail with `RateLimited`, after the repetitions of `retry`. Those that
   * wait let the first one of each 15 minutes go alone, as its answer shows how many may follow. One that is refused waits three
   * times, and then fails.
   *
   * @default "wait"
   */
  readonly whenRateLimited?: "wait" | "fail" | undefined
  /** The longest time until there is room again that such a creation waits for; beyond it fails at once. @default "15 minutes" */
  readonly maxRateLimitWait?: Duration.Input | undefined
  /** How many sessions of `Sessions.open` and `Sessions.scoped` may be open at once; the next one waits. @default no limit */
  readonly maxSessions?: number | undefined
  /** How many turns may be streamed at once; the next one waits. @default no limit */
  readonly maxStreams?: number | undefined
  /** What the turns of the layer may cost in all: one that begins beyond it fails with `BudgetExhausted`. */
  readonly budget?: Budgets | undefined
}

/** What sets a call apart from others of its operation. */
export interface CallOptions<A, R> {
  /** The time limit, whatever the layer or the call sets. */
  readonly timeLimit?: Duration.Duration | undefined
  /** What a repetition does, where it is not what the operation's does. */
  readonly repetition?: Repetition | undefined
  /** What surrounds each attempt while it is on the wire, within its limit. */
  readonly onWire?: OnWire<A, R> | undefined
  /** Is called while large contents go out. */
  readonly onSent?: Sending["onSent"]
  /** The settings of the call, where they are read. */
  readonly settings?: Settings | undefined
}

/** The options of a call, those of its layer under them, and what is read of them. */
export interface Settings extends ReturnType<typeof settingsOf> {}

const settingsOf = (options: RequestOptionsInput) => {
  const { headers = {}, responseLimits, timeout } = options
  const { delay = "200 millis", maxDelay = "30 seconds", maxRetryAfter = "1 minute", times = 2 } = options.retry ?? {}
  return {
    options,
    sending: { headers: Object.keys(headers).length === 0 ? undefined : headers, responseLimits },
    timeout: timeout === undefined ? undefined : Duration.fromInputUnsafe(timeout),
    retry: {
      times,
      delay: Duration.fromInputUnsafe(delay),
      maxDelay: Duration.fromInputUnsafe(maxDelay),
      maxRetryAfter: Duration.fromInputUnsafe(maxRetryAfter)
    },
    turn: turnLimits(options)
  }
}

/** Changes the options of a call: the same ones each time into the same. */
export type OptionsOver = (own: RequestOptionsInput) => RequestOptionsInput

/** The settings of calls. Options are the same from call to call, and so checked and read once. */
const makeSettings = (layerOptions: RequestOptionsInput) => {
  const known = new WeakMap<RequestOptionsInput, Settings>()
  return (operation: string, over: OptionsOver = identity): Effect.Effect<Settings, AshError> =>
    Effect.contextWith((context: Context.Context<never>) => {
      const given = Context.get(context, RequestOptions)
      const own = areOptions(given) ? over(given) : given
      const settings = known.get(own)
      return settings !== undefined ?
        Effect.succeed(settings) :
        Effect.map(checked(operation, requestRules, own), (own) => {
          const settings = settingsOf(merge(own)(layerOptions))
          known.set(own, settings)
          return settings
        })
    })
}

const nothingHappened = (error: AshError) => error.nothingHappened

/** What bounds an attempt of an operation, and whether it may be sent again, as far as what it does is concerned. */
const boundsOf = (
  { startsTurn, timeLimit }: Operation,
  repetition: Repetition,
  { timeout, turn }: Settings,
  fixed: Duration.Duration | undefined
): Pick<Policy, "isHarmless" | "timeout" | "timer"> =>
  repetition === "repeats" && startsTurn
    ? { isHarmless: nothingHappened, timeout: turn.headers, timer: "headers" }
    : {
      isHarmless: repetition === "repeats" ? nothingHappened : constTrue,
      timeout: fixed ?? timeout ?? timeLimit,
      timer: "attempt"
    }

/** An attempt that has succeeded when nothing is there, provided that one before it may have deleted it. */
const doneIfGone = <A, R>(attempt: Attempt<A, R>): Attempt<A | undefined, R> => {
  let mayBeDone = false
  return (sending) => {
    const before = mayBeDone
    mayBeDone = true
    return attempt(sending).pipe(
      Effect.tapError((error) =>
        Effect.sync(() => {
          mayBeDone = before || !error.nothingHappened
        })
      ),
      Effect.catchReason("AshError", "NotFound", (_, error) => before ? Effect.undefined : Effect.fail(error))
    )
  }
}

const operation = "Ash.layer"

/** What is recorded of a turn by the options of its layer and its own. */
const recordedBy = (layer: TelemetryOptions | undefined, context: Context.Context<never>) => {
  // What is none is refused where the turn is sent.
  const own = Context.get(context, RequestOptions)?.telemetry
  const spans = hasTracer(context)
  const metrics = own?.metrics ?? layer?.metrics ?? spans
  return spans || metrics ? { spans, metrics, content: own?.content ?? layer?.content ?? false } : undefined
}

const rules = optionsOf<SharedLimits>({
  retryBudget: amount(0),
  whenRateLimited: oneOf("wait", "fail"),
  maxRateLimitWait: duration(),
  maxSessions: count(1),
  maxStreams: count(1),
  budget: areBudgets
})

/** Holds one of so many permits until the scope closes: behind what the scope has got since the call, though it had to wait. */
const permits = (count: number | undefined): (scope: Scope.Scope) => Effect.Effect<void> => {
  if (count === undefined) return () => Effect.void
  const permit = Semaphore.makeUnsafe(count).takeScoped(1)
  return (scope) => Scope.provide(permit, Scope.forkUnsafe(scope))
}

/**
 * What is run while a session waits for its place, by the scope of the layer. What keeps sessions that are not in use may end
 * one, for whatever waits: places are given in the order of the waits.
 */
export const whileFull = new WeakMap<Scope.Scope, Effect.Effect<never>>()

/** How the services of a layer make their calls. */
export class RequestPolicy extends Context.Service<RequestPolicy, {
  /**
   * Calls a method of the low-level client, as its operation may be called: within its time limit, in the window of its
   * rate limit, and again after a failure where a repetition is harmless, or where it is certain that nothing happened.
   */
  readonly call: <Request, A, R>(
    method: ApiCall<Request, A, R>,
    request: Request,
    options?: CallOptions<Answered<A>, R>
  ) => Effect.Effect<A, AshError, R>
  /** As `call`, and answers one field of the answer: most have no other. */
  readonly field: <Request, A, R, Name extends keyof A>(
    method: ApiCall<Request, A, R>,
    request: Request,
    name: Name,
    options?: CallOptions<Answered<A>, R>
  ) => Effect.Effect<A[Name], AshError, R>
  /** As `call`, and answers what is known of the response, too. */
  readonly exchange: <Request, A, R>(
    method: ApiCall<Request, A, R>,
    request: Request,
    options?: CallOptions<Answered<A>, R>
  ) => Effect.Effect<Answered<A>, AshError, R>
  /** Calls a method that deletes something. Repeated after an attempt that may have done it, it is done if nothing is there. */
  readonly remove: <Request, A>(method: ApiCall<Request, A>, request: Request) => Effect.Effect<void, AshError>
  /** Makes an attempt of an operation, as `call` does, but without a span of its own. */
  readonly attempt: <A, R>(
    operation: Operation,
    attempt: Attempt<A, R>,
    options?: CallOptions<A, R>
  ) => Effect.Effect<A, AshError, R>
  /** The options of the layer with those of the fiber over them, and a change of these. */
  readonly settings: (operation: string, over?: OptionsOver) => Effect.Effect<Settings, AshError>
  readonly recorded: (context: Context.Context<never>) => Recorded | undefined
  /** Waits until another session may be open, and counts it until the scope closes. */
  readonly session: (scope: Scope.Scope) => Effect.Effect<void>
  /** Waits until another turn may be streamed, and counts it until the scope closes. */
  readonly stream: (scope: Scope.Scope) => Effect.Effect<void>
  readonly budgets: Budgets | undefined
}>()("effect-ash/client/RequestPolicy") {
  /** The options in force where the layer is built are those of the layer. */
  static readonly layer = (limits: SharedLimits): Layer.Layer<RequestPolicy, AshError> =>
    Layer.effect(
      RequestPolicy,
      Effect.gen(function*() {
        const layerOptions = yield* checked(operation, requestRules, yield* RequestOptions)
        const {
          budget: budgets,
          maxRateLimitWait = "15 minutes",
          maxSessions,
          maxStreams,
          retryBudget = 100,
          whenRateLimited
        } = yield* checked(operation, rules, limits)
        const longestWait = Duration.fromInputUnsafe(maxRateLimitWait)
        const rateLimits = whenRateLimited === "fail" ? {} : {
          agents: RateLimit.make("new agents", longestWait),
          sessions: RateLimit.make("new sessions", longestWait)
        }
        const budget = makeRetryBudget(retryBudget)
        const settings = makeSettings(layerOptions)
        const repeat = <A, R>(
          operation: Operation,
          attempt: Attempt<A, R>,
          { onSent, onWire, repetition = operation.repetition, settings: known, timeLimit }: CallOptions<A, R> = {}
        ) => {
          const apply = (settings: Settings) => {
            const policy: Policy = {
              ...boundsOf(operation, repetition, settings, timeLimit),
              retry: settings.retry,
              sending: onSent === undefined ? settings.sending : { ...settings.sending, onSent },
              budget,
              rateLimit: operation.rateLimit && rateLimits[operation.rateLimit]
            }
            return applyPolicy(operation.name, policy, attempt, onWire)
          }
          return known === undefined ? Effect.flatMap(settings(operation.name), apply) : apply(known)
        }
        const exchange: RequestPolicy["Service"]["exchange"] = ({ operation, prepare }, request, options) =>
          withSpan(operation.name)(Effect.flatMap(prepare(request), (send) => repeat(operation, send, options)))
        return RequestPolicy.of({
          attempt: repeat,
          exchange,
          call: (method, request, options) => Effect.map(exchange(method, request, options), valueOf),
          field: (method, request, name, options) =>
            Effect.map(exchange(method, request, options), ({ value }) => value[name]),
          remove: ({ operation, prepare }, request) =>
            withSpan(operation.name)(
              Effect.flatMap(prepare(request), (send) => Effect.asVoid(repeat(operation, doneIfGone(send))))
            ),
          settings,
          recorded: (context) => recordedBy(layerOptions.telemetry, context),
          session: permits(maxSessions),
          stream: permits(maxStreams),
          budgets
        })
      })
    )
}
