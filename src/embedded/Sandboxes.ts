/** The sandboxes of the embedded server: a folder, what runs in it, and what its agent says. */
import * as Context from "effect/Context"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Data from "effect/Data"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import type { PlatformError } from "effect/PlatformError"
import { ChildProcessSpawner } from "effect/process/ChildProcessSpawner"
import * as PubSub from "effect/PubSub"
import type * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { ErrorResponse } from "../schema/ErrorResponse.ts"
import type { ExecResult, SandboxLogEntry } from "../schema/Session.ts"
import { DataFolder } from "./DataFolder.ts"
import { Settings } from "./EmbeddedOptions.ts"
import * as Errors from "./Errors.ts"
import * as Processes from "./Processes.ts"
import * as Shell from "./Shell.ts"

/** What the agent of a sandbox says. All that read hear all of it: there is no telling whose turn it belongs to. */
export type Utterance =
  & { readonly number: number; readonly turn: number }
  & (
    | { readonly _tag: "Message"; readonly message: Schema.JsonObject }
    | { readonly _tag: "Failed"; readonly error: string }
    | { readonly _tag: "Done"; readonly sessionId: string }
    | { readonly _tag: "Died" }
  )

/** An utterance before it is numbered. */
type Speech = Utterance extends infer U ? U extends Utterance ? Omit<U, "number" | "turn"> : never : never

export interface Sandbox {
  readonly id: string
  /** The workspace. */
  readonly directory: string
  readonly settings: SandboxSettings
  /** The id of the agent's conversation, which ends with the process. */
  readonly conversation: string
  readonly speak: (turn: number, speech: Speech) => Effect.Effect<void>
  readonly listen: Effect.Effect<PubSub.Subscription<Utterance>, never, Scope.Scope>
  /** Whether an utterance is new: true once for each, so that what two listeners hear is stored once. */
  readonly claim: (utterance: Utterance) => Effect.Effect<boolean>
  readonly nextTurn: Effect.Effect<number>
  /** Runs a turn in the background, until it ends or the sandbox does. */
  readonly start: (turn: Effect.Effect<void>) => Effect.Effect<void>
  /** Held by a turn where turns are kept apart. */
  readonly turnLock: Semaphore.Semaphore
  readonly isRunning: Effect.Effect<boolean>
  /** Runs a command, until it ends or the sandbox does. */
  readonly exec: (
    command: string,
    timeout?: number
  ) => Effect.Effect<ExecResult, Shell.OutputTooLarge | PlatformError | SandboxDied>
  readonly log: (level: "stdout" | "stderr" | "system", text: string) => Effect.Effect<void>
  readonly logs: Effect.Effect<ReadonlyArray<SandboxLogEntry>>
}

/** The sandbox died while a command ran in it. */
class SandboxDied extends Data.TaggedError("SandboxDied") {
  override readonly message = "No exec result received"
}

/** What is given to a sandbox when it is made. None of it can be changed later. */
export interface SandboxSettings {
  readonly env: Readonly<Record<string, string>>
  readonly permissionMode: string
  /** In place of the agent's `CLAUDE.md`. */
  readonly systemPrompt?: string | undefined
  readonly mcpServers?: Readonly<Record<string, Schema.Json>> | undefined
}

const logLimit = 10_000

export class Sandboxes extends Context.Service<Sandboxes, {
  readonly create: (options: {
    readonly id: string
    /** The session that it is for, where that has another id. */
    readonly sessionId?: string
    /** The folder whose files the workspace begins with. */
    readonly agentFolder: string
    /** The sandbox whose workspace goes on in this one, if it is still there. */
    readonly restore?: string | undefined
    readonly settings: SandboxSettings
  }) => Effect.Effect<Sandbox, ErrorResponse>
  readonly find: (id: string) => Effect.Effect<Option.Option<Sandbox>>
  /** The workspace of a sandbox that lived: what is kept of it until the server ends. */
  readonly snapshot: (id: string) => Effect.Effect<Option.Option<string>>
  /** Ends what runs in a sandbox. */
  readonly destroy: (id: string) => Effect.Effect<void>
  readonly all: Effect.Effect<ReadonlyArray<Sandbox>>
}>()("effect-ash/embedded/Sandboxes") {
  static readonly layer = Layer.effect(
    Sandboxes,
    Effect.gen(function*() {
      const { maxSandboxes } = yield* Settings
      const fileSystem = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const random = yield* SecureRandom.SecureRandom
      const spawner = yield* ChildProcessSpawner
      const folder = path.join(yield* DataFolder, "sandboxes")
      const serverScope = yield* Effect.scope
      const platformEnvironment = yield* Shell.platformEnvironment
      const alive = new Map<string, { readonly sandbox: Sandbox; readonly scope: Scope.Closeable }>()
      let reserved = 0

      const homeOf = (id: string) => path.join(folder, id)
      const workspaceOf = (id: string) => path.join(folder, id, "workspace")

      /** Lays out the workspace. */
      const furnish = Effect.fnUntraced(function*(
        id: string,
        { agentFolder, restore, settings }: Parameters<Sandboxes["Service"]["create"]>[0]
      ) {
        const workspace = workspaceOf(id)
        yield* fileSystem.makeDirectory(homeOf(id), { recursive: true })
        if (restore !== undefined && (yield* fileSystem.exists(workspaceOf(restore)))) {
          return yield* fileSystem.rename(workspaceOf(restore), workspace)
        }
        yield* fileSystem.copy(agentFolder, workspace)
        if (settings.systemPrompt !== undefined) {
          yield* fileSystem.writeFileString(path.join(workspace, "CLAUDE.md"), settings.systemPrompt)
        }
        if (settings.mcpServers !== undefined) {
          const config = JSON.stringify({ mcpServers: settings.mcpServers }, null, 2)
          yield* fileSystem.writeFileString(path.join(workspace, ".mcp.json"), `${config}\n`)
        }
      })

      /** What a command finds in its environment. */
      const environmentOf = (
        { agentFolder, id, sessionId = id, settings }: Parameters<Sandboxes["Service"]["create"]>[0]
      ) => ({
        ...platformEnvironment,
        HOME: workspaceOf(id),
        ASH_AGENT_DIR: agentFolder,
        ASH_SANDBOX_ID: id,
        ASH_SESSION_ID: sessionId,
        ASH_WORKSPACE_DIR: workspaceOf(id),
        ...settings.env
      })

      const make = Effect.fnUntraced(function*(
        options: Parameters<Sandboxes["Service"]["create"]>[0],
        scope: Scope.Closeable
      ) {
        const { id, settings } = options
        const env = environmentOf(options)
        const hub = yield* PubSub.unbounded<Utterance>()
        const conversation = yield* random.uuidV4()
        const logs: Array<SandboxLogEntry> = []
        let utterances = 0
        let claimed = 0
        let turns = 0
        let running = 0
        let lines = 0
        let hasRun = false
        yield* Scope.addFinalizer(scope, Effect.sync(() => hasRun && Processes.endIn(workspaceOf(id))))
        const sandbox: Sandbox = {
          id,
          directory: workspaceOf(id),
          settings,
          conversation,
          speak: (turn, speech) =>
            Effect.suspend(() => Effect.asVoid(PubSub.publish(hub, { ...speech, turn, number: ++utterances }))),
          listen: PubSub.subscribe(hub),
          claim: ({ number }) =>
            Effect.sync(() => {
              const isNew = number > claimed
              claimed = Math.max(claimed, number)
              return isNew
            }),
          nextTurn: Effect.sync(() => ++turns),
          start: (turn) =>
            Effect.sync(() => {
              running += 1
            }).pipe(
              Effect.andThen(turn),
              Effect.ensuring(Effect.sync(() => {
                running -= 1
              })),
              Effect.forkIn(scope),
              Effect.asVoid
            ),
          turnLock: yield* Semaphore.make(1),
          isRunning: Effect.sync(() => running > 0),
          exec: Effect.fnUntraced(function*(command, timeout) {
            hasRun = true
            const fiber = yield* Effect.forkIn(
              Shell.run(spawner, command, {
                directory: workspaceOf(id),
                env,
                ...(timeout === undefined ? {} : { timeout })
              }).pipe(Scope.provide(scope)),
              scope
            )
            const exit = yield* Effect.onInterrupt(Fiber.await(fiber), () => Fiber.interrupt(fiber))
            return yield* Exit.hasInterrupts(exit) ? Effect.fail(new SandboxDied()) : exit
          }),
          log: (level, text) =>
            Effect.map(DateTime.now, (ts) => {
              logs.push({ index: lines++, level, text, ts })
              if (logs.length > logLimit) logs.shift()
            }),
          logs: Effect.sync(() => [...logs])
        }
        yield* sandbox.log("system", "Sandbox created")
        return sandbox
      })

      const destroy = Effect.fnUntraced(function*(id: string) {
        const entry = alive.get(id)
        if (entry === undefined) return
        alive.delete(id)
        yield* Scope.close(entry.scope, Exit.void)
        yield* entry.sandbox.speak(0, { _tag: "Died" })
      }, Effect.uninterruptible)

      const create: Sandboxes["Service"]["create"] = Effect.fnUntraced(function*(options) {
        if (alive.size + reserved >= maxSandboxes) {
          return yield* Errors.failure(503, `Sandbox capacity reached (${maxSandboxes})`)
        }
        reserved += 1
        return yield* Effect.gen(function*() {
          yield* Effect.orDie(furnish(options.id, options))
          const scope = yield* Scope.fork(serverScope)
          const sandbox = yield* make(options, scope)
          alive.set(options.id, { sandbox, scope })
          return sandbox
        }).pipe(Effect.ensuring(Effect.sync(() => {
          reserved -= 1
        })))
      }, Effect.uninterruptible)

      return Sandboxes.of({
        create,
        find: (id) => Effect.sync(() => Option.map(Option.fromNullishOr(alive.get(id)), ({ sandbox }) => sandbox)),
        snapshot: (id) =>
          Effect.map(
            Effect.orDie(fileSystem.exists(workspaceOf(id))),
            (exists) => exists ? Option.some(workspaceOf(id)) : Option.none()
          ),
        destroy,
        all: Effect.sync(() => Array.from(alive.values(), ({ sandbox }) => sandbox))
      })
    })
  )
}
