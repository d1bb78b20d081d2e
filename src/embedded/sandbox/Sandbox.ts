/** One sandbox of the embedded server: its workspace, what runs in it, and what its agent emits. */
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Data from "effect/Data"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type { PlatformError } from "effect/PlatformError"
import { ChildProcessSpawner } from "effect/process/ChildProcessSpawner"
import * as PubSub from "effect/PubSub"
import type * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { ExecResult, SandboxLogEntry } from "../../schema/Session.ts"
import * as Processes from "./Processes.ts"
import * as Shell from "./Shell.ts"

/** What the agent of a sandbox emits. Every subscription receives all of it, that of other turns as well. */
export type AgentOutput =
  & { readonly number: number; readonly turn: number }
  & (
    | { readonly _tag: "Message"; readonly message: Schema.JsonObject }
    | { readonly _tag: "Failed"; readonly error: string }
    | { readonly _tag: "Done"; readonly sessionId: string }
    | { readonly _tag: "Died" }
  )

/** An output before it is numbered. */
type Unnumbered = AgentOutput extends infer U ? U extends AgentOutput ? Omit<U, "number" | "turn"> : never : never

/** What a sandbox is given when it starts. None of it can be changed later. */
export interface SandboxSettings {
  readonly env: Readonly<Record<string, string>>
  readonly permissionMode: string
  /** In place of the agent's `CLAUDE.md`. */
  readonly systemPrompt?: string | undefined
  readonly mcpServers?: Readonly<Record<string, Schema.Json>> | undefined
}

/** A sandbox that is alive. */
export interface Sandbox {
  readonly id: string
  /** The workspace. */
  readonly directory: string
  readonly settings: SandboxSettings
  /** The id of the agent's conversation, which ends with the process. */
  readonly conversation: string
  /** Publishes what the agent emits in a turn; 0 is no turn. */
  readonly emit: (turn: number, output: Unnumbered) => Effect.Effect<void>
  /** Subscribes to what the agent emits from now on. */
  readonly subscribe: Effect.Effect<PubSub.Subscription<AgentOutput>, never, Scope.Scope>
  /** Whether an output is new: true once for each, so that one that two subscriptions receive is stored once. */
  readonly claim: (output: AgentOutput) => Effect.Effect<boolean>
  /** The number of a new turn. */
  readonly nextTurn: Effect.Effect<number>
  /** Runs a turn in the background, until it ends or the sandbox does. */
  readonly start: <R>(turn: Effect.Effect<void, never, R>) => Effect.Effect<void, never, R>
  /** Runs a turn in the fiber of the caller. */
  readonly run: <A, E, R>(turn: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** A turn holds it where turns are kept apart. */
  readonly turnLock: Semaphore.Semaphore
  /** Runs a command, until it ends or the sandbox does. */
  readonly exec: (
    command: string,
    timeout?: number
  ) => Effect.Effect<ExecResult, Shell.OutputTooLarge | PlatformError | SandboxDied>
  /** Adds a line to the log. */
  readonly log: (level: "stdout" | "stderr" | "system", text: string) => Effect.Effect<void>
  /** The newest lines of the log, oldest first. */
  readonly logs: Effect.Effect<ReadonlyArray<SandboxLogEntry>>
}

/** The sandbox died while a command ran in it. */
class SandboxDied extends Data.TaggedError("SandboxDied") {
  override readonly message = "No exec result received"
}

/** What runs in a sandbox: turns, and other things such as commands. */
export type Activity = "turns" | "others"

/** Counts an activity that begins or ends. */
export type Count = (activity: Activity, change: 1 | -1) => void

/** Starts a sandbox in a workspace that is laid out. It ends with the scope. */
export const make = Effect.fnUntraced(function*({ count, directory, env, id, scope, settings }: {
  readonly id: string
  readonly directory: string
  /** The environment of its commands. */
  readonly env: Readonly<Record<string, string>>
  readonly settings: SandboxSettings
  readonly scope: Scope.Closeable
  readonly count: Count
}) {
  const random = yield* SecureRandom.SecureRandom
  const sandbox: Sandbox = {
    id,
    directory,
    settings,
    conversation: yield* random.uuidV4(),
    ...(yield* makeOutputs),
    ...(yield* makeTurns(scope, count)),
    exec: yield* makeExec(directory, env, scope, count),
    ...makeLog()
  }
  yield* sandbox.log("system", "Sandbox created")
  return sandbox
})

const makeOutputs = Effect.map(
  PubSub.unbounded<AgentOutput>(),
  (hub): Pick<Sandbox, "emit" | "subscribe" | "claim"> => {
    let published = 0
    let claimed = 0
    return {
      emit: (turn, output) =>
        Effect.suspend(() => Effect.asVoid(PubSub.publish(hub, { ...output, turn, number: ++published }))),
      subscribe: PubSub.subscribe(hub),
      claim: ({ number }) =>
        Effect.sync(() => {
          const isNew = number > claimed
          claimed = Math.max(claimed, number)
          return isNew
        })
    }
  }
)

const makeTurns = (scope: Scope.Scope, count: Count) =>
  Effect.map(Semaphore.make(1), (turnLock): Pick<Sandbox, "nextTurn" | "start" | "run" | "turnLock"> => {
    let turns = 0
    return {
      nextTurn: Effect.sync(() => ++turns),
      start: (turn) =>
        Effect.suspend(() => {
          count("turns", 1)
          const counted = Effect.ensuring(turn, Effect.sync(() => count("turns", -1)))
          return Effect.asVoid(Effect.forkIn(counted, scope))
        }),
      run: during("turns", count),
      turnLock
    }
  })

const makeExec = Effect.fnUntraced(function*(
  directory: string,
  env: Readonly<Record<string, string>>,
  scope: Scope.Closeable,
  count: Count
) {
  const spawner = yield* ChildProcessSpawner
  let hasCommands = false
  yield* Scope.addFinalizer(scope, Effect.sync(() => hasCommands && Processes.endIn(directory)))
  const exec: Sandbox["exec"] = Effect.fnUntraced(function*(command, timeout) {
    hasCommands = true
    const options = { directory, env, ...(timeout === undefined ? {} : { timeout }) }
    const fiber = yield* Effect.forkIn(Scope.provide(Shell.run(spawner, command, options), scope), scope)
    const exit = yield* Effect.onInterrupt(Fiber.await(fiber), () => Fiber.interrupt(fiber))
    return yield* Exit.hasInterrupts(exit) ? Effect.fail(new SandboxDied()) : exit
  }, during("others", count))
  return exec
})

/** Counts an effect while it runs. */
const during = (activity: Activity, count: Count) => <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    count(activity, 1)
    return Effect.ensuring(effect, Effect.sync(() => count(activity, -1)))
  })

/** How many lines of a log are kept. */
const logLimit = 10_000

const makeLog = (): Pick<Sandbox, "log" | "logs"> => {
  const kept: Array<SandboxLogEntry> = []
  let lines = 0
  return {
    log: (level, text) =>
      Effect.map(DateTime.now, (ts) => {
        kept.push({ index: lines++, level, text, ts })
        if (kept.length > logLimit) kept.shift()
      }),
    logs: Effect.sync(() => [...kept])
  }
}
