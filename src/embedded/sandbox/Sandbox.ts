/** One sandbox of the embedded server: its workspace, what runs in it, and what its agent emits. */
import * as Data from "effect/Data"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { ChildProcessSpawner } from "effect/process/ChildProcessSpawner"
import * as PubSub from "effect/PubSub"
import type * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { SandboxLogEntry } from "../../schema/Session.ts"
import * as Tables from "../store/Tables.ts"
import * as Processes from "./Processes.ts"
import * as Shell from "./Shell.ts"

type AgentEvent =
  | { readonly _tag: "Message"; readonly message: Schema.JsonObject }
  | { readonly _tag: "Failed"; readonly error: string }
  | { readonly _tag: "Done"; readonly sessionId: string }
  | { readonly _tag: "Died" }

/** What the agent of a sandbox emits. Every subscription receives all of it, that of other turns as well. */
export interface AgentOutput {
  readonly number: number
  readonly turn: number
  readonly event: AgentEvent
}

/** What a sandbox is given when it starts. None of it can be changed later. */
export interface SandboxSettings {
  readonly env: Readonly<Record<string, string>>
  readonly permissionMode: string
  /** In place of the agent's `CLAUDE.md`. */
  readonly systemPrompt?: string | undefined
  readonly mcpServers?: Readonly<Record<string, Schema.Json>> | undefined
}

/** A sandbox that is alive, and what runs in it. */
export interface Sandbox extends Effect.Success<ReturnType<typeof make>> {}

class SandboxDied extends Data.TaggedError("SandboxDied") {
  override readonly message = "No exec result received"
}

/** What runs in a sandbox: turns, and other things such as commands. */
export type Activity = "turns" | "others"

const logLimit = 10_000

/** Starts a sandbox in a workspace that is laid out. It ends with the scope. One with a session counts as used. */
export const make = Effect.fnUntraced(function*({ count, env, ...fixed }: {
  readonly id: string
  readonly agentName: string
  /** Its session. A prepared sandbox has none yet. */
  session: string | undefined
  /** The workspace. */
  readonly directory: string
  /** The environment of its commands. */
  readonly env: Readonly<Record<string, string>>
  readonly settings: SandboxSettings
  readonly scope: Scope.Closeable
  readonly count: (activity: Activity, change: 1 | -1) => void
}) {
  const { directory, scope, session } = fixed
  const spawner = yield* ChildProcessSpawner
  const hub = yield* PubSub.unbounded<AgentOutput>()
  const logs: Array<SandboxLogEntry> = []
  let published = 0
  let claimed = 0
  let begun = 0
  let logged = 0
  let hasCommands = false
  yield* Scope.addFinalizer(scope, Effect.sync(() => hasCommands && Processes.endIn(directory)))

  const during = (activity: Activity) => <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.suspend(() => {
      count(activity, 1)
      return Effect.ensuring(effect, Effect.sync(() => count(activity, -1)))
    })

  const sandbox = {
    ...fixed,
    turns: 0,
    others: session === undefined ? 0 : 1,
    hasRun: false,
    /** The id of the agent's conversation, which ends with the process. */
    conversation: yield* Tables.newId,
    /** Publishes what the agent emits in a turn; 0 is no turn. */
    emit: (turn: number, event: AgentEvent) =>
      Effect.suspend(() => Effect.asVoid(PubSub.publish(hub, { event, turn, number: ++published }))),
    subscribe: PubSub.subscribe(hub),
    /** Whether an output is new: true once for each, so that one that two subscriptions receive is stored once. */
    claim: ({ number }: AgentOutput) =>
      Effect.sync(() => {
        const isNew = number > claimed
        claimed = Math.max(claimed, number)
        return isNew
      }),
    nextTurn: Effect.sync(() => ++begun),
    /** A turn holds it where turns are kept apart. */
    turnLock: yield* Semaphore.make(1),
    /** Runs a turn in the background, until it ends or the sandbox does. */
    start: <R>(turn: Effect.Effect<void, never, R>) =>
      Effect.forkIn(during("turns")(turn), scope, { startImmediately: true }),
    /** Runs a turn in the fiber of the caller. */
    run: during("turns"),
    /** Runs a command, until it ends or the sandbox does. */
    exec: Effect.fnUntraced(function*(command: string, timeout?: number) {
      hasCommands = true
      const options = { directory, env, ...(timeout === undefined ? {} : { timeout }) }
      const fiber = yield* Effect.forkIn(Scope.provide(Shell.run(spawner, command, options), scope), scope)
      const exit = yield* Effect.onInterrupt(Fiber.await(fiber), () => Fiber.interrupt(fiber))
      return yield* Exit.hasInterrupts(exit) ? Effect.fail(new SandboxDied()) : exit
    }, during("others")),
    log: (level: "stdout" | "stderr" | "system", text: string) =>
      Effect.map(DateTime.now, (ts) => {
        logs.push({ index: logged++, level, text, ts })
        if (logs.length > logLimit) logs.shift()
      }),
    logs: Effect.sync((): ReadonlyArray<SandboxLogEntry> => [...logs])
  }
  yield* sandbox.log("system", "Sandbox created")
  return sandbox
})
