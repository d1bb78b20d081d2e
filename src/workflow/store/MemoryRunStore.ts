/** The tables of runs in memory, by the clock of the program: for tests. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type RunRow, RunStore, type SessionRow, type TurnKey, type TurnRow } from "./RunStore.ts"

const keyOf = ({ generation, runId, step }: TurnKey) => JSON.stringify([runId, generation, step])

const at = <A>(change: (now: number) => A) => Effect.map(Clock.currentTimeMillis, change)

const isOpen = ({ endedAt }: RunRow) => endedAt === null

/** Whether a run is not there, or ended a minute ago: its runner has given back by then what it holds. */
const isLeft = (run: RunRow | undefined, now: number) => run === undefined || (run.endedAt ?? now) <= now - 60_000

const newRun = (run: Parameters<RunStore["Service"]["insertRun"]>[0], now: number): RunRow => ({
  ...run,
  state: "queued",
  step: 0,
  generation: 0,
  sessionId: null,
  attempts: 0,
  costUsd: 0,
  token: null,
  waitsFor: null,
  decision: null,
  failure: null,
  cancelledAt: null,
  createdAt: now,
  startedAt: null,
  updatedAt: now,
  endedAt: null
})

type Started = Pick<RunRow, "createdAt" | "id">

const isBefore = (one: Started, other: Started) =>
  one.createdAt === other.createdAt ? one.id < other.id : one.createdAt < other.createdAt

export const layer: Layer.Layer<RunStore> = Layer.sync(RunStore, () => {
  const runs = new Map<string, RunRow>()
  const turns = new Map<string, TurnRow>()
  const sessions = new Map<string, SessionRow>()
  const places = new Map<string, number>()
  let owner: string | undefined

  const waitingFor = (token: string) => [...runs.values()].find((run) => run.token === token && isOpen(run))

  /** Changes a run if it is as it should be, and answers it as it is then. */
  const change = (id: string, is: (run: RunRow) => boolean, patch: (now: number, run: RunRow) => Partial<RunRow>) =>
    at((now) => {
      const run = runs.get(id)
      if (run !== undefined && is(run)) runs.set(id, { ...run, ...patch(now, run), updatedAt: now })
      return runs.get(id)
    })

  return RunStore.of({
    findRun: (id) => Effect.sync(() => runs.get(id)),
    waitingRun: (token) => Effect.sync(() => waitingFor(token)),
    listRuns: ({ agent, before, limit, state }) =>
      Effect.sync(() =>
        [...runs.values()].filter((run) =>
          (agent === undefined || run.agent === agent) && (state === undefined || run.state === state) &&
          (before === undefined || isBefore(run, before))
        ).toSorted((one, other) => isBefore(one, other) ? 1 : -1).slice(0, limit)
      ),
    cancelled: (ids) => Effect.sync(() => ids.filter((id) => (runs.get(id)?.cancelledAt ?? null) !== null)),
    endedRuns: (age, limit) =>
      at((now) => {
        const left = new Set([...sessions.values()].flatMap(({ isEnded, runId }) => isEnded ? [] : [runId]))
        return [...runs.values()]
          .filter(({ endedAt, id }) => endedAt !== null && endedAt <= now - age && !left.has(id))
          .slice(0, limit)
      }),
    insertRun: (run) =>
      at((now) => {
        const inserted = runs.get(run.id) ?? newRun(run, now)
        runs.set(run.id, inserted)
        return inserted
      }),
    beginRun: (id) =>
      change(id, () => true, (now, { attempts, endedAt, startedAt }) => ({
        attempts: endedAt === null ? attempts + 1 : attempts,
        startedAt: startedAt ?? now
      })),
    updateRun: ({ generation, runId, step }, patch) =>
      change(
        runId,
        (run) =>
          isOpen(run) && (run.generation < generation || (run.generation === generation &&
            (step === undefined ? run.sessionId === null : run.step <= step) &&
            !(patch.state === "waiting" && run.state === "waiting" && run.step === step))),
        () => patch
      ),
    resetAttempts: (id) => change(id, isOpen, () => ({ attempts: 0 })),
    endRun: (id, failure, whenCancelled) =>
      change(
        id,
        isOpen,
        (now, { cancelledAt }) => ({
          ...(cancelledAt === null
            ? { state: failure === null ? "succeeded" : "failed", failure }
            : { state: "cancelled", failure: whenCancelled }),
          token: null,
          waitsFor: null,
          endedAt: now
        })
      ),
    cancelRun: (id) => change(id, (run) => isOpen(run) && run.cancelledAt === null, (now) => ({ cancelledAt: now })),
    decide: (token, decision) =>
      Effect.suspend(() => {
        const run = waitingFor(token)
        return run === undefined
          ? Effect.undefined
          : change(run.id, (run) => run.decision === null, () => ({ decision }))
      }),
    deleteRun: ({ createdAt, id }, alongside) =>
      Effect.gen(function*() {
        const run = runs.get(id)
        if (run?.createdAt !== createdAt || isOpen(run)) return false
        yield* alongside
        runs.delete(id)
        for (const [key, { runId }] of turns) if (runId === id) turns.delete(key)
        for (const [key, { runId }] of sessions) if (runId === id) sessions.delete(key)
        return true
      }),
    findTurn: (key) => Effect.sync(() => turns.get(keyOf(key))),
    turnsOf: (runId) => Effect.sync(() => [...turns.values()].filter((turn) => turn.runId === runId)),
    claimTurn: (turn) =>
      Effect.sync(() => {
        const there = turns.get(keyOf(turn))
        if (there !== undefined) return there.owner === turn.owner && there.status === "intent"
        turns.set(keyOf(turn), { ...turn, claim: 1, status: "intent", outcome: null })
        return true
      }),
    takeOverTurn: (key, from, owner) =>
      Effect.sync(() => {
        const turn = turns.get(keyOf(key))
        if (turn?.owner !== from || turn.status !== "intent") return false
        turns.set(keyOf(key), { ...turn, claim: turn.claim + 1, owner })
        return true
      }),
    releaseTurn: (key, owner) =>
      Effect.sync(() => {
        const turn = turns.get(keyOf(key))
        if (turn?.owner === owner && turn.status === "intent") turns.delete(keyOf(key))
      }),
    settleTurn: (key, settlement) =>
      Effect.sync(() => {
        const turn = turns.get(keyOf(key))
        if (turn?.status === "intent") turns.set(keyOf(key), { ...turn, ...settlement })
      }),
    recordSession: (session) =>
      Effect.sync(() => {
        if (!sessions.has(session.sessionId)) sessions.set(session.sessionId, { ...session, isEnded: false })
      }),
    endSession: (id) =>
      Effect.sync(() => {
        const session = sessions.get(id)
        if (session !== undefined) sessions.set(id, { ...session, isEnded: true })
      }),
    sessionsOf: (runId) => Effect.sync(() => [...sessions.values()].filter((session) => session.runId === runId)),
    known: (ids) => Effect.sync(() => ids.filter((id) => sessions.has(id))),
    leftSessions: (limit) =>
      at((now) =>
        [...sessions.values()].filter(({ isEnded, runId }) => !isEnded && isLeft(runs.get(runId), now)).slice(0, limit)
      ),
    takePlace: (runId, count) =>
      at((now) => {
        for (const id of places.keys()) if (isLeft(runs.get(id), now)) places.delete(id)
        if (!places.has(runId) && places.size < count) places.set(runId, places.size)
        return places.has(runId)
      }),
    freePlace: (runId) => Effect.sync(() => places.delete(runId)),
    owner: (cluster) => Effect.sync(() => owner ??= cluster)
  })
})
