/** The pool of sandboxes: how many there are, what runs in each, and which one is evicted for another. */
import type * as Effect from "effect/Effect"
import type { SandboxLogEntry } from "../../schema/Session.ts"
import type { Activity, Sandbox } from "./Sandbox.ts"

type Logs = Effect.Effect<ReadonlyArray<SandboxLogEntry>>

/** A pool of sandboxes. All of it is synchronous: between a question and its consequence nothing else happens. */
export const make = (maxSandboxes: number) => {
  /** In the order of their last use. */
  const alive = new Map<string, Sandbox>()
  const cold = new Map<string, Logs>()
  const hits = { preWarmHits: 0, resumeWarmHits: 0, resumeColdHits: 0 }
  let reserved = 0

  const remove = (id: string) => {
    const sandbox = alive.get(id)
    alive.delete(id)
    return sandbox
  }
  const count = (id: string, activity: Activity, change: 1 | -1) => {
    const sandbox = remove(id)
    if (sandbox === undefined) return
    alive.set(id, sandbox)
    if (activity === "turns") sandbox.turns += change
    else sandbox.others += change
    sandbox.hasRun ||= activity === "turns"
  }

  return {
    hasRoom: () => alive.size + reserved < maxSandboxes,
    reserve: () => void (reserved += 1),
    /** Ends a reservation: the sandbox has its place, or did not start. */
    release: () => void (reserved -= 1),
    add: (sandbox: Sandbox) => void alive.set(sandbox.id, sandbox),
    find: (id: string) => alive.get(id),
    remove,
    /** Counts what begins or ends in a sandbox, and makes it the one used last. */
    count,
    /** Which one to evict: idle, a prepared one if there is any, else the one that was used longest ago. */
    evictable: () => {
      const idle = Array.from(alive.values()).filter(({ others, turns }) => turns + others === 0)
      return idle.find(({ session }) => session === undefined) ?? idle[0]
    },
    /** Gives a prepared sandbox of an agent of this name, of any tenant, to a session. */
    assign: (agentName: string, session: string) => {
      const prepared = Array.from(alive.values()).find((sandbox) =>
        sandbox.session === undefined && sandbox.agentName === agentName && sandbox.others === 0
      )
      if (prepared === undefined) return undefined
      prepared.session = session
      count(prepared.id, "others", 1)
      hits.preWarmHits += 1
      return prepared
    },
    /** Counts a resume: into the sandbox that the session has, or into another one. */
    resumed: (path: "warm" | "cold") => void (path === "warm" ? hits.resumeWarmHits += 1 : hits.resumeColdHits += 1),
    /** Keeps the log of a sandbox that is no longer alive, and whose session may be resumed. */
    keepLog: (id: string, logs: Logs) => void cold.set(id, logs),
    dropLog: (id: string) => void cold.delete(id),
    keptLog: (id: string) => cold.get(id),
    stats: () => {
      const of = (isOf: (sandbox: Sandbox) => boolean) => Array.from(alive.values()).filter(isOf).length
      return {
        total: alive.size + cold.size,
        cold: cold.size,
        warming: 0,
        warm: of(({ hasRun }) => !hasRun),
        waiting: of(({ hasRun, turns }) => hasRun && turns === 0),
        running: of(({ turns }) => turns > 0),
        maxCapacity: maxSandboxes,
        ...hits
      }
    }
  }
}
