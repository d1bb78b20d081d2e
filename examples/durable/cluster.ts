/** What the example and the fault tests share: an embedded Ash server that counts its turns, and runners to be killed. */
import { Deferred, Effect, type Scope, Stream } from "effect"
import { AgentScript } from "effect-ash/embedded"
import { type ChildProcess, spawn } from "node:child_process"
import { join } from "node:path"

/** The turns that the server has seen, by session and prompt. */
export const makeTurnCounter = (delay: () => number) => {
  const seen = new Map<string, number>()
  /** The agent works for a time, and leaves a file. */
  const script: AgentScript.AgentScript = ({ prompt, session, workspace }) => {
    const key = `${session.id} ${prompt}`
    seen.set(key, (seen.get(key) ?? 0) + 1)
    const work = workspace.writeFile("answer.txt", `done: ${prompt}`).pipe(Effect.delay(delay()))
    return Stream.fromEffect(Effect.as(work, AgentScript.say(`done: ${prompt}`)))
  }
  return {
    script,
    turns: () => [...seen.values()].reduce((sum, times) => sum + times, 0),
    twice: () => [...seen.values()].filter((times) => times > 1).length
  }
}

/** A runner, as a process of its own. */
export interface Runner {
  readonly process: ChildProcess
  readonly ready: Effect.Effect<void>
  readonly ended: Effect.Effect<void>
  /** What it printed last. */
  readonly log: () => string
}

/** Starts a runner, which is killed when the scope closes. */
export const startRunner = (
  environment: Record<string, string>,
  program: string = join(import.meta.dirname, "runner.ts")
): Effect.Effect<Runner, never, Scope.Scope> =>
  Effect.gen(function*() {
    const ready = yield* Deferred.make<void>()
    const ended = yield* Deferred.make<void>()
    let log = ""
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(process.execPath, ["--conditions=effect-ash-source", program], {
          env: { ...process.env, ...environment },
          stdio: ["ignore", "pipe", "pipe"]
        })
      ),
      (child) =>
        Effect.suspend(() => {
          child.kill("SIGCONT")
          child.kill("SIGKILL")
          return Deferred.await(ended)
        })
    )
    child.once("exit", () => Deferred.doneUnsafe(ended, Effect.void))
    const listen = (text: string) => {
      log = `${log}${text}`.slice(-100_000)
      if (text.includes("ready")) Deferred.doneUnsafe(ready, Effect.void)
    }
    child.stdout.setEncoding("utf8").on("data", listen)
    child.stderr.setEncoding("utf8").on("data", listen)
    return { process: child, ready: Deferred.await(ready), ended: Deferred.await(ended), log: () => log }
  })
