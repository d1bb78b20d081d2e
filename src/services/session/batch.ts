/** Many prompts over a few sessions, each prompt once. */
import * as Arr from "effect/Array"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { within } from "../../internal/request/operations.ts"
import { refuseOption, rule } from "../../internal/request/options.ts"
import {
  type Budget,
  type Budgets,
  type Ledger,
  ledgersOf,
  makeBudget,
  type Spent
} from "../../internal/turn/ledger.ts"
import { AshError, type AshErrorReason } from "../../schema/AshError.ts"
import { type Prompts, streamOf } from "./handleTurns.ts"
import { SessionPool } from "./SessionPool.ts"

/** How far a batch is. */
export interface BatchProgress {
  /** Prompts that were answered. */
  readonly done: number
  /** Prompts that were not. */
  readonly failed: number
  /** Prompts that are being answered, or wait for a session or for what running turns hold of a budget. */
  readonly running: number
  /** What turns have cost so far, in US dollars, by the vendor's estimates. */
  readonly costUsd: number
  /** How many turns add nothing to `costUsd`, as it is not known what they have cost. */
  readonly unknown: number
}

/** What became of a prompt. */
export interface BatchResult<Prompt, A, E = AshError> {
  /** Its place among the prompts, from 0 on. */
  readonly index: number
  readonly prompt: Prompt
  /** The answer, or why there is none. */
  readonly result: Result.Result<A, E>
}

export interface BatchSession {
  readonly spent: Effect.Effect<Spent>
}

export interface BatchPlan<Session, Prompt, A, E, R> {
  readonly concurrency: number | undefined
  /** How many sessions are used again and again; undefined is one for each prompt. */
  readonly sessions: number | undefined
  readonly budget: Budgets | undefined
  /** Budgets that are looked at before a session is opened, with those of the batch. */
  readonly ofLayer: Budgets | undefined
  readonly progress: SubscriptionRef.SubscriptionRef<BatchProgress> | undefined
  /** Opens a session whose turns count in the budgets. */
  readonly open: (budgets: ReadonlyArray<Budget>) => Effect.Effect<Session, AshError, Scope.Scope>
  readonly ask: (session: Session, prompt: Prompt, index: number) => Effect.Effect<A, AshError | E, R>
}

const operation = "Agents.batch"

const defaultConcurrency = 5

/** The progress of a batch that has not begun. */
export const noProgress: BatchProgress = { done: 0, failed: 0, running: 0, costUsd: 0, unknown: 0 }

export const isProgress = rule("a SubscriptionRef", SubscriptionRef.isSubscriptionRef)

/** How often a prompt is tried again of which nothing was sent, and after what time, which doubles. */
const mostTries = 6
const firstDelay = Duration.millis(500)

/** What no other session changes. */
const isFinal: ReadonlySet<AshErrorReason["_tag"]> = new Set([
  "InvalidRequest",
  "NotSupported",
  "SettingsIgnored",
  "Unauthorized"
])

/** Whether another try may do better than one of which nothing was sent. */
const mayBeBetter = ({ reason }: AshError): boolean =>
  reason._tag === "BudgetExhausted" ? reason.isRetryable : !isFinal.has(reason._tag)

interface Try<A, E> {
  readonly result: Result.Result<A, AshError | E>
  /** Whether another try may do better, as nothing was sent. */
  readonly isAgain: boolean
  /** Whether the session can still be used. */
  readonly isKept: boolean
}

/** Runs one batch. A class, so that its counts have no other writer. */
class Batch<Session extends BatchSession, Prompt, A, E, R> {
  readonly #plan: BatchPlan<Session, Prompt, A, E, R>
  readonly concurrency: number
  readonly #pool: SessionPool<Session>
  readonly #spending: Budget
  readonly #budgets: ReadonlyArray<Ledger>
  #hasAll = false
  #progress = noProgress

  constructor(plan: BatchPlan<Session, Prompt, A, E, R>, scope: Scope.Scope) {
    const { budget, concurrency = plan.sessions ?? defaultConcurrency, ofLayer, open, sessions = Infinity } = plan
    this.#plan = plan
    this.concurrency = Math.min(concurrency, sessions)
    this.#spending = makeBudget({})
    this.#budgets = ledgersOf(ofLayer, budget)
    this.#pool = new SessionPool({
      open: open([this.#spending, ...Arr.ensure(budget ?? [])]),
      size: this.concurrency,
      isReused: plan.sessions !== undefined,
      scope
    })
  }

  /** Divides budgets among the prompts that run at once, while there are sessions still to be opened. */
  get expect(): Effect.Effect<unknown, never, Scope.Scope> {
    const expected = () => this.#hasAll ? this.#progress.running : this.concurrency
    return Effect.acquireRelease(
      Effect.sync(() => this.#budgets.map((ledger) => ledger.expect(expected))),
      (leaves) => Effect.sync(() => leaves.forEach((leave) => leave()))
    )
  }

  /** All prompts are taken. */
  get drain(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#hasAll = true
      return this.#pool.drain
    })
  }

  run(prompt: Prompt, index: number): Effect.Effect<BatchResult<Prompt, A, AshError | E>, never, R> {
    const { ask } = this.#plan
    const once = this.#once((session) => ask(session, prompt, index))
    const attempt = (tries: number): Effect.Effect<Result.Result<A, AshError | E>, never, R> =>
      Effect.flatMap(once, ({ isAgain, result }) =>
        isAgain && tries < mostTries
          ? Effect.andThen(Effect.sleep(Duration.times(firstDelay, 2 ** (tries - 1))), attempt(tries + 1))
          : Effect.succeed(result))
    return this.#report(({ running }) => ({ running: running + 1 })).pipe(
      Effect.andThen(attempt(1)),
      Effect.tap((result) =>
        this.#report(({ done, failed, running }) => ({
          running: running - 1,
          ...(Result.isSuccess(result) ? { done: done + 1 } : { failed: failed + 1 })
        }))
      ),
      Effect.map((result) => ({ index, prompt, result }))
    )
  }

  /** Asks a session, when a budget allows it. */
  #once(ask: (session: Session) => Effect.Effect<A, AshError | E, R>): Effect.Effect<Try<A, E>, never, R> {
    const asked = this.#pool.use((session) => tryOnce(session, ask(session)), ({ isKept }) => isKept)
    return this.#allowed().pipe(
      Effect.andThen(asked),
      Effect.catch((error) =>
        Effect.succeed({
          result: Result.fail(within(operation)(error)),
          isAgain: mayBeBetter(error) && error.isRetryable,
          isKept: false
        })
      )
    )
  }

  /** Waits while what is left of a budget is held by turns that run; fails where nothing is, so that no session is opened. */
  #allowed(): Effect.Effect<void, AshError> {
    return Effect.suspend(() => {
      const ledger = this.#budgets.find(({ refusal }) => refusal !== undefined)
      const refusal = ledger?.refusal
      if (ledger === undefined || refusal === undefined) return Effect.void
      return refusal.isRetryable
        ? Effect.andThen(ledger.given(), this.#allowed())
        : Effect.fail(new AshError({ operation, reason: refusal }))
    })
  }

  #report(change: (before: BatchProgress) => Partial<BatchProgress>): Effect.Effect<void> {
    return Effect.flatMap(this.#spending.spent, ({ unknown, usd }) => {
      this.#progress = { ...this.#progress, ...change(this.#progress), costUsd: usd, unknown }
      const { progress } = this.#plan
      return progress === undefined ? Effect.void : SubscriptionRef.set(progress, this.#progress)
    })
  }
}

/** Asks a session. Where it sent nothing, another session may do better, unless the failure is about the prompt. */
const tryOnce = <A, E, R>(session: BatchSession, ask: Effect.Effect<A, AshError | E, R>) =>
  Effect.gen(function*() {
    const before = yield* session.spent
    // What is no effect, as the promise of an `async` function, would end the fiber without its finalizers.
    const result = yield* Effect.result(
      Effect.isEffect(ask) ? ask : refuseOption(operation, "ask", "a function that answers an effect")
    )
    const { turns } = yield* session.spent
    // Where something was sent, the next use makes the session usable again.
    if (Result.isSuccess(result) || turns !== before.turns || !(result.failure instanceof AshError)) {
      return { result, isAgain: false, isKept: true }
    }
    const { isRetryable, nothingHappened } = result.failure
    const isAgain = mayBeBetter(result.failure)
    return { result, isAgain, isKept: !isAgain || (isRetryable && nothingHappened) }
  })

/** Runs a batch: the results in the order in which they come. */
export const runBatch = <Session extends BatchSession, Prompt, A, E, R, E2, R2>(
  plan: BatchPlan<Session, Prompt, A, E, R>,
  prompts: Prompts<Prompt, E2, R2>
): Stream.Stream<BatchResult<Prompt, A, AshError | E>, AshError | E2, R | R2> =>
  Stream.unwrap(Effect.gen(function*() {
    const outer = yield* Effect.scope
    const batch = new Batch(plan, yield* Scope.fork(outer, "parallel"))
    yield* batch.expect
    // A stream that ends interrupts its fibers one behind the other: what runs would go on while a session ends.
    const running = yield* Scope.fork(outer, "parallel")
    const run = (prompt: Prompt, index: number) =>
      Effect.flatMap(Effect.forkIn(batch.run(prompt, index), running), Fiber.join)
    return streamOf(operation, prompts).pipe(
      Stream.concat(Stream.fromEffectDrain(batch.drain)),
      Stream.mapEffect(run, { concurrency: batch.concurrency, unordered: true })
    )
  }))
