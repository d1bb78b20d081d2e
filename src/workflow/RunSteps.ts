/** What the activities of runs do. Each is done at least once, and what must not be done twice is done by the ledger. */
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import { failure } from "../internal/request/operations.ts"
import { printableLines } from "../internal/request/printable.ts"
import type { AshError } from "../schema/AshError.ts"
import { NotFound } from "../schema/Reasons.ts"
import type { CreateSessionRequest } from "../schema/Session.ts"
import type { SessionFiles } from "../services/SessionFiles.ts"
import type { AgentRunPayload, Ask, BroughtFile, CollectedFile } from "./AgentRun.ts"
import type { OrCancelled } from "./Cancellations.ts"
import * as Patience from "./patience.ts"
import { longestFailure } from "./payloadHash.ts"
import { RunCancelled, TooManyAttempts } from "./RunErrors.ts"
import type { RunPatch, TurnKey } from "./store/RunStore.ts"
import { turnOnce, type TurnServices } from "./turnOnce.ts"

/** What a session is given that must not lie in a database, such as keys. */
export type Secrets<R = never> = (
  payload: AgentRunPayload
) => Effect.Effect<Pick<CreateSessionRequest, "extraEnv" | "mcpServers">, AshError, R>

export interface StepServices extends TurnServices {
  readonly files: SessionFiles["Service"]
  readonly orCancelled: OrCancelled
  readonly random: SecureRandom.SecureRandom["Service"]
  readonly secrets: Secrets
}

export type RunSteps = ReturnType<typeof make>

/** Ends sessions, and remembers which have ended; those that cannot be ended are left to the sweep. */
export const endSessions = Effect.fnUntraced(function*(
  { sessions, store }: Pick<TurnServices, "sessions" | "store">,
  left: ReadonlyArray<{ readonly sessionId: string; readonly isEnded: boolean }>
) {
  yield* Effect.forEach(left.filter(({ isEnded }) => !isEnded), ({ sessionId }) =>
    sessions.end(sessionId).pipe(
      Effect.catchReason("AshError", "NotFound", () => Effect.void),
      Effect.timeout("30 seconds"),
      Effect.andThen(Patience.persistent(store.endSession(sessionId))),
      Effect.catchCause((cause) =>
        Effect.logWarning(`the session ${sessionId} did not end; the sweep of the runners tries again`, cause)
      )
    ), { concurrency: 4, discard: true })
})

export const make = (services: StepServices) => {
  const { files, orCancelled, random, secrets, sessions, settings: { maxAttempts, maxRunning, patience }, store } =
    services
  /** Those that wait here for room: one at a time asks the database. */
  const queue = Semaphore.makeUnsafe(1)
  const update = (key: TurnKey, patch: RunPatch) =>
    Patience.persistent(store.updateRun(key, { generation: key.generation, step: key.step, ...patch }))
  return {
    /** Counts that a run is begun, before anything of it is done, and answers when it was created. */
    begin: Effect.fnUntraced(function*(id: string) {
      // A run that has ended is begun again where its process died before the engine knew: it must come to the same end.
      const run = yield* Patience.persistent(store.beginRun(id))
      // Nor is one begun anew that has been purged meanwhile, by a runner that was out of touch.
      if (run?.cancelledAt !== null) return yield* new RunCancelled({ id })
      if (run.attempts > maxAttempts) return yield* new TooManyAttempts({ id, attempts: maxAttempts })
      return run.createdAt
    }),
    /** Waits until there is room for a run. */
    takePlace: (id: string) => {
      if (maxRunning === undefined) return Effect.void
      const take: Effect.Effect<void> = Effect.flatMap(
        Patience.persistent(store.takePlace(id, maxRunning)),
        (isTaken) => isTaken ? Effect.void : Effect.andThen(Effect.sleep("1 second"), take)
      )
      // A run whose runner died when it had taken a place has it: those in the queue may wait for that one.
      const has = Patience.persistent(store.takePlace(id, 0))
      return orCancelled(id)(
        Effect.flatMap(has, (has) => has ? Effect.void : Patience.waiting(queue.withPermits(1)(take)))
      )
    },
    /** Asks a plan, as long as the run is not cancelled. */
    decide: <A, E>(id: string, plan: Effect.Effect<A, E>) => orCancelled(id)(plan),
    /** Opens the session of a generation, behind the end of those before it; one that another runner has opened is that. */
    open: Effect.fnUntraced(function*(payload: AgentRunPayload, generation: number) {
      const { agent, id, session } = payload
      const before = yield* Patience.persistent(store.sessionsOf(id))
      yield* endSessions(services, before.filter((session) => session.generation < generation))
      const there = before.find((session) => session.generation === generation && !session.isEnded)
      const create = Effect.flatMap(secrets(payload), (secret) => sessions.create({ ...session, ...secret, agent }))
      const sessionId = there?.sessionId ??
        (yield* Effect.uninterruptibleMask((restore) =>
          restore(Patience.patiently(patience, create)).pipe(
            Effect.map((created) => created.id),
            Effect.tap((sessionId) => Patience.persistent(store.recordSession({ sessionId, runId: id, generation })))
          )
        ))
      yield* Patience.persistent(
        store.updateRun({ runId: id, generation }, { state: "running", step: 0, sessionId, generation, attempts: 0 })
      )
      return sessionId
    }, (opening, { id }) => orCancelled(id)(opening)),
    bring: (id: string, sessionId: string, brought: ReadonlyArray<BroughtFile>) => {
      const written = brought.map((file) => ({ path: file.path, content: file.bytes ?? file.content ?? "" }))
      return orCancelled(id)(Effect.asVoid(Patience.patiently(patience, files.write(sessionId, written))))
    },
    turn: Effect.fnUntraced(
      function*(key: TurnKey, sessionId: string, known: number | undefined, ask: Ask, costBefore: number) {
        yield* update(key, { state: "running" })
        const turn = yield* turnOnce(services, { ...key, sessionId, known, ask })
        yield* update(key, { attempts: 0, costUsd: costBefore + (turn.costUsd ?? 0) })
        return turn
      },
      (turn, { runId }) => orCancelled(runId)(turn)
    ),
    /** Remembers what a run waits for; false where it was cancelled and is not to wait. */
    wait: Effect.fnUntraced(function*(key: TurnKey, waitsFor: string, hasToken: boolean) {
      yield* update(key, {
        state: "waiting",
        token: hasToken ? yield* random.uuidV4() : null,
        // A database takes no NUL in a text.
        waitsFor: printableLines(waitsFor),
        decision: null,
        attempts: 0
      })
      return (yield* Patience.persistent(store.cancelled([key.runId]))).length === 0
    }),
    /** Goes on behind a wait, for which no runner that was out of touch has it wait again, unless the run was cancelled. */
    goOn: Effect.fnUntraced(function*(key: TurnKey) {
      yield* update(key, { state: "running", step: key.step + 1, token: null, waitsFor: null, attempts: 0 })
      const cancelled = yield* Patience.persistent(store.cancelled([key.runId]))
      if (cancelled.length > 0) return yield* new RunCancelled({ id: key.runId })
    }),
    collect: (id: string, sessionId: string, paths: ReadonlyArray<string>) =>
      Effect.gen(function*(): Effect.fn.Return<ReadonlyArray<CollectedFile>, AshError> {
        const listed = yield* Patience.patiently(patience, files.list(sessionId))
        const sizes = new Map(listed.files.map(({ path, size }) => [path, size]))
        const missing = paths.filter((path) => !sizes.has(path))
        if (missing.length > 0) {
          return yield* failure("AgentRun.collect", NotFound, {
            message: `the session ${sessionId} has no file ${
              missing.join(", ")
            }; have the agent write it, or collect others`
          })
        }
        return paths.map((path) => ({ sessionId, path, size: sizes.get(path) }))
      }).pipe(orCancelled(id)),
    /** Remembers that a run has been left in good order, which is no attempt that failed. */
    pause: (id: string) => store.resetAttempts(id).pipe(Effect.timeout("5 seconds"), Effect.ignore),
    /** Ends a run in its row, and fails where it was cancelled before, however it ended. */
    end: Effect.fnUntraced(function*(id: string, failure: string | null) {
      const why = failure && printableLines(failure.slice(0, longestFailure))
      const cancelled = new RunCancelled({ id })
      const run = yield* Patience.persistent(store.endRun(id, why, cancelled.message))
      if (run?.state === "cancelled") return yield* cancelled
    }),
    /**
     * Gives back what a run holds that has ended by its row. The engine also asks for it where a run is cut off that goes on,
     * as when shards move, and again where a run ends twice.
     */
    release: Effect.fnUntraced(function*(id: string) {
      if ((yield* Patience.persistent(store.findRun(id)))?.endedAt === null) return
      yield* endSessions(services, yield* Patience.persistent(store.sessionsOf(id)))
      yield* Patience.persistent(store.freePlace(id))
    })
  }
}
