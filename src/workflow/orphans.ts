/** Ends sessions that no run needs, from one runner of the cluster at a time. */
import * as Array from "effect/Array"
import * as Singleton from "effect/cluster/Singleton"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import { listOf, optionsOf, required } from "../internal/request/options.ts"
import { Sessions } from "../services/Sessions.ts"
import * as Patience from "./patience.ts"
import { interval } from "./RunnerSettings.ts"
import { endSessions } from "./RunSteps.ts"
import { RunStore } from "./store/RunStore.ts"

/** Which sessions are orphans: those of a runner that died between the creation of a session and its writing down. */
export interface OrphanOptions {
  /** Agents that runs of this cluster alone use: any other session of theirs is ended. */
  readonly agents: ReadonlyArray<string>
  /** How old a session is that would be known by now. @default "15 minutes" */
  readonly olderThan?: Duration.Input | undefined
  /** The time between two looks: a session ends at the second that finds it. @default "1 minute" */
  readonly every?: Duration.Input | undefined
}

const most = 1000

/**
 * Ends sessions of an agent that no run knows, and did not at the look before: while the database does not answer, a runner
 * waits to write one down.
 */
const endOrphans = Effect.fnUntraced(function*(
  agent: string,
  olderThan: Duration.Duration,
  unknown: Map<string, ReadonlyArray<string>>
) {
  const sessions = yield* Sessions
  const store = yield* RunStore
  const latest = DateTime.subtractDuration(yield* DateTime.now, olderThan)
  // A server that is asked for the sessions of an empty name answers those of all agents.
  const old = (yield* sessions.list({ agent })).filter(({ agentName, createdAt, status }) =>
    agentName === agent && status !== "ended" && DateTime.isLessThan(createdAt, latest)
  )
  const before = new Set(unknown.get(agent))
  const now: Array<string> = []
  for (const ids of Array.chunksOf(old.map(({ id }) => id), most)) {
    const known = new Set(yield* Patience.persistent(store.known(ids)))
    const left = ids.filter((id) => !known.has(id))
    now.push(...left)
    const orphans = left.filter((id) => before.has(id))
    if (orphans.length > 0) yield* Effect.logWarning(`ends ${orphans.length} sessions of ${agent} that no run knows`)
    yield* Effect.forEach(orphans, (id) => Effect.ignore(sessions.end(id)), { concurrency: 4, discard: true })
  }
  unknown.set(agent, now)
})

/** What orphans are. */
export const areOrphans = optionsOf<OrphanOptions>({
  agents: required(listOf("names", Predicate.isString)),
  olderThan: interval,
  every: interval
})

/** Looks for sessions that no run needs: orphans, and those of ended runs that could not be ended. */
export const layer = (options: OrphanOptions = { agents: [] }) =>
  Layer.unwrap(Effect.gen(function*() {
    const { agents, every = "1 minute" } = options
    const olderThan = Duration.fromInputUnsafe(options.olderThan ?? "15 minutes")
    const sessions = yield* Sessions
    const store = yield* RunStore
    const left = Effect.flatMap(
      Patience.persistent(store.leftSessions(most)),
      (rows) => endSessions({ sessions, store }, rows)
    )
    const unknown = new Map<string, ReadonlyArray<string>>()
    const look = Effect.forEach(
      [left, ...agents.map((agent) => endOrphans(agent, olderThan, unknown))],
      Effect.catchCause((cause) => Effect.logWarning("the sweep of sessions failed", cause)),
      { discard: true }
    )
    return Singleton.make("effect-ash/workflow/orphans", Effect.forever(Effect.andThen(look, Effect.sleep(every))))
  }))
