/** The pool of sandboxes: how many there are, what runs in each, and which one is evicted for another. */
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { SandboxLogEntry } from "../../schema/Session.ts"
import type { Activity, Sandbox } from "./Sandbox.ts"

/** A sandbox that is alive, and what runs in it. */
export interface PooledSandbox {
  readonly sandbox: Sandbox
  readonly scope: Scope.Closeable
  readonly agentName: string
  /** Its session. A prepared sandbox has none yet. */
  session: string | undefined
  turns: number
  others: number
  /** Whether a turn has ever run. */
  hasRun: boolean
}

/** How many sandboxes there are, by state, and how many sessions got a prepared one. */
export type SandboxStats = Readonly<
  Record<"total" | "cold" | "warming" | "warm" | "waiting" | "running" | "preWarmHits", number>
>

type Logs = Effect.Effect<ReadonlyArray<SandboxLogEntry>>

/** All of it is synchronous: between a question and its consequence nothing else happens. */
export interface SandboxPool {
  /** Whether there is a place for another sandbox. */
  readonly hasRoom: () => boolean
  /** Reserves a place for a sandbox that is about to start. */
  readonly reserve: () => void
  /** Ends a reservation: the sandbox has its place, or did not start. */
  readonly release: () => void
  /** Puts a sandbox among those alive. */
  readonly add: (id: string, pooled: PooledSandbox) => void
  /** A sandbox that is alive. */
  readonly find: (id: string) => PooledSandbox | undefined
  /** Takes a sandbox out of those alive. */
  readonly remove: (id: string) => PooledSandbox | undefined
  /** Counts what begins or ends in a sandbox, and makes it the one used last. */
  readonly count: (id: string, activity: Activity, change: 1 | -1) => void
  /** Which one to evict: idle, a prepared one if there is any, else the one that was used longest ago. */
  readonly evictable: () => PooledSandbox | undefined
  /** Gives a prepared sandbox of an agent of this name, of any tenant, to a session. */
  readonly assign: (agentName: string, session: string) => PooledSandbox | undefined
  /** Keeps the log of a sandbox that is no longer alive, and whose session may be resumed. */
  readonly keepLog: (id: string, logs: Logs) => void
  /** Forgets a kept log. */
  readonly dropLog: (id: string) => void
  /** The kept log of a sandbox. */
  readonly keptLog: (id: string) => Logs | undefined
  readonly stats: () => SandboxStats
}

/** Makes a pool of at most so many sandboxes. */
export const make = (maxSandboxes: number): SandboxPool => {
  /** In the order of their last use. */
  const alive = new Map<string, PooledSandbox>()
  const cold = new Map<string, Logs>()
  let reserved = 0
  let preWarmHits = 0

  const find = (id: string) => alive.get(id)
  const remove = (id: string) => {
    const pooled = alive.get(id)
    alive.delete(id)
    return pooled
  }
  const count: SandboxPool["count"] = (id, activity, change) => {
    const pooled = remove(id)
    if (pooled === undefined) return
    alive.set(id, pooled)
    if (activity === "turns") pooled.turns += change
    else pooled.others += change
    pooled.hasRun ||= activity === "turns"
  }

  return {
    hasRoom: () => alive.size + reserved < maxSandboxes,
    reserve: () => void (reserved += 1),
    release: () => void (reserved -= 1),
    add: (id, pooled) => void alive.set(id, pooled),
    find,
    remove,
    count,
    evictable: () => {
      const idle = Array.from(alive.values()).filter(({ others, turns }) => turns + others === 0)
      return idle.find(({ session }) => session === undefined) ?? idle[0]
    },
    assign: (agentName, session) => {
      const prepared = Array.from(alive.values()).find((pooled) =>
        pooled.session === undefined && pooled.agentName === agentName && pooled.others === 0
      )
      if (prepared === undefined) return undefined
      prepared.session = session
      count(prepared.sandbox.id, "others", 1)
      preWarmHits += 1
      return prepared
    },
    keepLog: (id, logs) => void cold.set(id, logs),
    dropLog: (id) => void cold.delete(id),
    keptLog: (id) => cold.get(id),
    stats: () => ({ ...statesOf(alive), total: alive.size + cold.size, cold: cold.size, preWarmHits })
  }
}

const statesOf = (alive: ReadonlyMap<string, PooledSandbox>) => {
  const of = (isOf: (pooled: PooledSandbox) => boolean) => Array.from(alive.values()).filter(isOf).length
  return {
    warming: 0,
    warm: of(({ hasRun }) => !hasRun),
    waiting: of(({ hasRun, turns }) => hasRun && turns === 0),
    running: of(({ turns }) => turns > 0)
  }
}
