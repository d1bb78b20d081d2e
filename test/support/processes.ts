/** Processes that a test looks at. */
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import { setImmediate } from "node:timers/promises"

/** Whether a process runs. A zombie does not. */
export const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, "utf8"))
  } catch (error) {
    return error instanceof Error && "path" in error && process.platform !== "linux"
  }
}

/** Waits until a process is gone: one that was killed ends when the system comes to it. */
export const isGone = (pid: number): Effect.Effect<void> =>
  Effect.suspend(() => isAlive(pid) ? Effect.andThen(Effect.promise(() => setImmediate()), isGone(pid)) : Effect.void)
