/** Agents for programs of promises: prompts come from any iterable, and functions answer promises. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { aFunction, checked, optionsOf } from "../internal/request/options.ts"
import type { Turn } from "../schema/Turn.ts"
import {
  type Agents,
  type BatchOptions,
  type BatchProgress,
  type BatchResult,
  type BatchWithOptions,
  noProgress
} from "../services/Agents.ts"
import type { Prompt } from "../services/SessionHandle.ts"
import { Sessions } from "../services/Sessions.ts"
import { type Promised, promised } from "./Promised.ts"
import type { Runner } from "./Runner.ts"
import * as Session from "./Session.ts"
import { callback, promptsOf, type PromptSource } from "./uploads.ts"

/** What is called while a batch runs. */
export interface BatchCallbacks {
  /** Is called, and awaited, before each result. */
  readonly onProgress?: ((progress: BatchProgress) => unknown) | undefined
}

/** How the prompts of a batch are asked. */
export interface PromiseBatchOptions extends Omit<BatchOptions, "progress">, BatchCallbacks {}

/** How prompts are asked by a function. */
export interface PromiseBatchWithOptions extends Omit<BatchWithOptions, "progress">, BatchCallbacks {}

/** Deploys and manages agents. */
export interface PromiseAgents extends Promised<Omit<Agents["Service"], "batch" | "batchWith">> {
  /**
   * Asks an agent many prompts, over sessions that end with the loop, however it ends. The results come in the order in which
   * they are there, each beside its prompt: `result._tag` is `Success` or `Failure`, and a failure fails nothing else.
   */
  readonly batch: <P extends Prompt>(
    agent: string,
    prompts: PromptSource<P>,
    options?: PromiseBatchOptions
  ) => AsyncIterable<BatchResult<P, Turn>>
  /**
   * As `batch`, over anything that a function asks a session about: with content of its own, a typed answer, or several
   * turns. What it throws is the failure of its prompt.
   */
  readonly batchWith: <P, A>(
    agent: string,
    prompts: PromptSource<P>,
    ask: (session: Session.PromiseSession, prompt: P, index: number) => PromiseLike<A> | A,
    options?: PromiseBatchWithOptions
  ) => AsyncIterable<BatchResult<P, A, unknown>>
}

/** What a function answers; what it throws is a failure, and no defect of the batch. */
const answerOf = <A>(ask: () => PromiseLike<A> | A): Effect.Effect<A, unknown> =>
  Effect.flatten(
    Effect.promise(() => Promise.resolve().then(ask).then(Exit.succeed, (error: unknown) => Exit.fail(error)))
  )

const rules = optionsOf<BatchCallbacks>({ onProgress: aFunction })

export const make = (
  runner: Runner,
  { batch, batchWith, ...agents }: Agents["Service"],
  sessions: Sessions["Service"]
): PromiseAgents => {
  const results = <A, E>(
    options: BatchCallbacks | undefined,
    run: (progress: SubscriptionRef.SubscriptionRef<BatchProgress>) => Stream.Stream<A, E, Sessions>
  ): AsyncIterable<A> =>
    runner.iterable(
      Stream.unwrap(Effect.gen(function*() {
        const { onProgress } = yield* checked("Agents.batch", rules, options ?? undefined)
        const progress = yield* SubscriptionRef.make(noProgress)
        const found = run(progress)
        return onProgress === undefined
          ? found
          : Stream.tap(found, () => Effect.flatMap(SubscriptionRef.get(progress), callback(onProgress)))
      })).pipe(Stream.provideService(Sessions, sessions))
    )
  return {
    ...promised(runner)(agents),
    batch: (agent, prompts, options) =>
      results(options, (progress) => batch(agent, promptsOf(prompts), { ...options, progress })),
    batchWith: (agent, prompts, ask, options) =>
      results(options, (progress) =>
        batchWith(
          agent,
          promptsOf(prompts),
          Predicate.isFunction(ask)
            ? (handle, prompt, index) => answerOf(() => ask(Session.make(runner, handle, Effect.void), prompt, index))
            : ask,
          { ...options, progress }
        ))
  }
}
