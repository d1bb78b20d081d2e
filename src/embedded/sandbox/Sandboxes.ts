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
import type { ErrorResponse } from "../../schema/ErrorResponse.ts"
import type { ExecResult, SandboxLogEntry } from "../../schema/Session.ts"
import { Settings } from "../EmbeddedOptions.ts"
import { type AgentRow, Store } from "../store/Store.ts"
import * as Errors from "../wire/Errors.ts"
import { DataFolder } from "./DataFolder.ts"
import * as Processes from "./Processes.ts"
import * as Shell from "./Shell.ts"
import * as Snapshots from "./Snapshots.ts"

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
  /** Runs a turn in the fiber of who asks for it. */
  readonly run: <A, E, R>(turn: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Held by a turn where turns are kept apart. */
  readonly turnLock: Semaphore.Semaphore
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

/** What a sandbox is made of, and for whom. */
export interface SandboxOptions {
  /** Its id, where it is not one that was made before. */
  readonly id: string
  readonly session: string
  readonly agent: AgentRow
  readonly settings: SandboxSettings
  /** The sandbox whose workspace goes on in this one: as a crash left it, else as it was kept. */
  readonly restore?: string | undefined
}

/** How many sandboxes there are, by state, and how many sessions got one that was made before. */
type SandboxStats = Readonly<
  Record<"total" | "cold" | "warming" | "warm" | "waiting" | "running" | "preWarmHits", number>
>

const logLimit = 10_000

/** How much is done in a sandbox, and whether a turn ever was. */
interface Occupation {
  turns: number
  others: number
  hasRun: boolean
}

interface Entry {
  readonly sandbox: Sandbox
  readonly scope: Scope.Closeable
  readonly occupation: Occupation
  readonly agentName: string
  /** The session that it belongs to, if any does so far. */
  session: string | undefined
}

/**
 * The sandboxes that are alive, and what is left of those that were. Each end leaves something else:
 *
 * - the end of a session, or its stop: a snapshot of the workspace, and no log;
 * - a crash: the log, and the snapshot from before, if there is one: of the last turn that ended, of the last pause;
 * - another one's need of its place: a snapshot, and no log, and the session becomes `paused`;
 * - the deletion of its agent: it lives on, and no session leads to it;
 * - the end of the server: nothing.
 */
export class Sandboxes extends Context.Service<Sandboxes, {
  /**
   * Gives a session a sandbox, and runs `use` before the sandbox counts as idle: one that was made before, under the quirk
   * `warmPool` where nothing is to be restored, else a new one. Where `use` fails, the sandbox is destroyed.
   */
  readonly create: <A, E, R>(
    options: SandboxOptions,
    use: (sandbox: Sandbox) => Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | ErrorResponse, R>
  /** Makes a sandbox for the next session of an agent, under the quirk `warmPool` and where there is room. */
  readonly warmUp: (agent: AgentRow, settings: SandboxSettings) => Effect.Effect<void>
  readonly find: (id: string) => Effect.Effect<Option.Option<Sandbox>>
  /** What a sandbox has logged, alive or crashed. */
  readonly logs: (id: string) => Effect.Effect<ReadonlyArray<SandboxLogEntry>>
  /** The kept workspace of a session. */
  readonly snapshot: (session: string) => Effect.Effect<Option.Option<string>>
  /** Keeps the workspace of a sandbox as it is now. */
  readonly persist: (id: string) => Effect.Effect<void>
  /** Ends what runs in a sandbox, and keeps its workspace. */
  readonly stop: (id: string) => Effect.Effect<void>
  /** Ends what runs in a sandbox, as the death of its process does. */
  readonly crash: (id: string) => Effect.Effect<void>
  /** Ends what runs in a sandbox, and keeps nothing. */
  readonly destroy: (id: string) => Effect.Effect<void>
  readonly stats: Effect.Effect<SandboxStats>
}>()("effect-ash/embedded/sandbox/Sandboxes") {
  static readonly layer = Layer.effect(
    Sandboxes,
    Effect.gen(function*() {
      const { maxSandboxes, quirks } = yield* Settings
      const store = yield* Store
      const fileSystem = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const random = yield* SecureRandom.SecureRandom
      const spawner = yield* ChildProcessSpawner
      const data = yield* DataFolder
      const folder = path.join(data, "sandboxes")
      const snapshots = yield* Snapshots.make(path.join(data, "sessions"))
      const serverScope = yield* Effect.scope
      const platformEnvironment = yield* Shell.platformEnvironment
      /** The one that was used longest ago comes first. */
      const alive = new Map<string, Entry>()
      /** The logs of those that crashed or had to make room, and whose session may be resumed. */
      const cold = new Map<string, Effect.Effect<ReadonlyArray<SandboxLogEntry>>>()
      let reserved = 0
      let preWarmHits = 0

      const homeOf = (id: string) => path.join(folder, id)
      const workspaceOf = (id: string) => path.join(folder, id, "workspace")

      /** Lays out the workspace. */
      const furnish = Effect.fnUntraced(
        function*({ agent, id, restore, settings }: Omit<SandboxOptions, "session">, session = "") {
          const workspace = workspaceOf(id)
          yield* fileSystem.makeDirectory(homeOf(id), { recursive: true })
          if (restore !== undefined && (yield* fileSystem.exists(workspaceOf(restore)))) {
            return yield* fileSystem.rename(workspaceOf(restore), workspace)
          }
          if (restore !== undefined && (yield* snapshots.restore(session, workspace))) return
          yield* fileSystem.copy(agent.path, workspace)
          if (settings.systemPrompt !== undefined) {
            yield* fileSystem.writeFileString(path.join(workspace, "CLAUDE.md"), settings.systemPrompt)
          }
          if (settings.mcpServers !== undefined) {
            const config = JSON.stringify({ mcpServers: settings.mcpServers }, null, 2)
            yield* fileSystem.writeFileString(path.join(workspace, ".mcp.json"), `${config}\n`)
          }
        }
      )

      /** Counts what begins or ends in a sandbox, and with it that the sandbox is used. */
      const count = (id: string, occupation: Occupation, kind: "turns" | "others", change: 1 | -1) => {
        if (kind === "turns") occupation.turns += change
        else occupation.others += change
        occupation.hasRun ||= kind === "turns"
        const entry = alive.get(id)
        if (entry !== undefined && alive.delete(id)) alive.set(id, entry)
      }

      /** What a command finds in its environment. A sandbox that is made before its session does not know of that. */
      const environmentOf = ({ agent, id, settings }: Omit<SandboxOptions, "session">, session: string = id) => ({
        ...platformEnvironment,
        HOME: workspaceOf(id),
        ...settings.env,
        ASH_AGENT_DIR: agent.path,
        ASH_SANDBOX_ID: id,
        ASH_SESSION_ID: session,
        ASH_WORKSPACE_DIR: workspaceOf(id)
      })

      const make = Effect.fnUntraced(function*(
        options: Omit<SandboxOptions, "session">,
        session: string | undefined,
        scope: Scope.Closeable,
        occupation: Occupation
      ) {
        const { id, settings } = options
        const env = environmentOf(options, session)
        const hub = yield* PubSub.unbounded<Utterance>()
        const conversation = yield* random.uuidV4()
        const logs: Array<SandboxLogEntry> = []
        let utterances = 0
        let claimed = 0
        let turns = 0
        let lines = 0
        let hasCommands = false
        yield* Scope.addFinalizer(scope, Effect.sync(() => hasCommands && Processes.endIn(workspaceOf(id))))
        const during = (kind: "turns" | "others") => <A, E, R>(effect: Effect.Effect<A, E, R>) =>
          Effect.suspend(() => {
            count(id, occupation, kind, 1)
            return Effect.ensuring(effect, Effect.sync(() => count(id, occupation, kind, -1)))
          })
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
            Effect.suspend(() => {
              count(id, occupation, "turns", 1)
              const counted = Effect.ensuring(turn, Effect.sync(() => count(id, occupation, "turns", -1)))
              return Effect.asVoid(Effect.forkIn(counted, scope))
            }),
          run: during("turns"),
          turnLock: yield* Semaphore.make(1),
          exec: Effect.fnUntraced(function*(command, timeout) {
            hasCommands = true
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
          }, during("others")),
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

      const hasRoom = () => alive.size + reserved < maxSandboxes

      /** Builds a sandbox in a place that is reserved for it. */
      const build = Effect.fnUntraced(
        function*(options: Omit<SandboxOptions, "session">, session: string | undefined) {
          yield* Effect.orDie(furnish(options, session))
          const scope = yield* Scope.fork(serverScope)
          const occupation: Occupation = { turns: 0, others: session === undefined ? 0 : 1, hasRun: false }
          const sandbox = yield* make(options, session, scope, occupation)
          const entry: Entry = { sandbox, scope, occupation, agentName: options.agent.name, session }
          alive.set(options.id, entry)
          return entry
        },
        Effect.ensuring(Effect.sync(() => {
          reserved -= 1
        }))
      )

      /** Ends what runs in a sandbox that is no longer among those alive. */
      const close = Effect.fnUntraced(function*({ sandbox, scope }: Entry) {
        yield* Scope.close(scope, Exit.void)
        yield* sandbox.speak(0, { _tag: "Died" })
      })

      const persist = (entry: Entry | undefined, whole = false) =>
        entry?.session === undefined ? Effect.void : snapshots.take(entry.session, entry.sandbox.directory, whole)
      /** Keeps what a later resume begins with. */
      const persistForResume = (entry: Entry | undefined) => persist(entry, !quirks.coldResumeLosesWorkspace)

      /** Which one makes room: idle, without a session if there is one, else the one that was used longest ago. */
      const victim = () => {
        const idle = Array.from(alive.values()).filter(({ occupation }) => occupation.turns + occupation.others === 0)
        return idle.find(({ session }) => session === undefined) ?? idle[0]
      }

      /** Reserves a place, which another sandbox may have to leave. */
      const reserve = Effect.gen(function*() {
        const leaving = hasRoom() ? undefined : victim()
        if (leaving === undefined) {
          if (!hasRoom()) {
            return yield* Errors.failure(503, "Sandbox capacity reached and no evictable sandboxes (all running)")
          }
          reserved += 1
          return
        }
        const { occupation, sandbox: { id }, session } = leaving
        count(id, occupation, "others", 1)
        if (session !== undefined) {
          yield* store.updateSession(session, { status: "paused" })
          yield* persistForResume(leaving)
        }
        reserved += 1
        yield* destroy(id)
        if (session !== undefined) cold.set(id, Effect.succeed([]))
      })

      const warmUp: Sandboxes["Service"]["warmUp"] = Effect.fnUntraced(function*(agent, settings) {
        if (!quirks.warmPool || !hasRoom()) return
        reserved += 1
        yield* build({ id: yield* random.uuidV4(), agent, settings }, undefined)
      }, Effect.uninterruptible)

      /** One that was made before, for an agent of this name, of any tenant: as it is, without the settings asked for. */
      const claim = Effect.fnUntraced(function*({ agent, restore, session, settings }: SandboxOptions) {
        const made = Array.from(alive.values()).find((entry) =>
          entry.session === undefined && entry.agentName === agent.name && entry.occupation.others === 0
        )
        if (made === undefined || restore !== undefined) return
        made.session = session
        count(made.sandbox.id, made.occupation, "others", 1)
        preWarmHits += 1
        // The next one is made with the environment of this session, on a real server as well.
        yield* warmUp(agent, { env: settings.env, permissionMode: settings.permissionMode })
        return made
      })

      const create: Sandboxes["Service"]["create"] = (options, use) =>
        Effect.uninterruptibleMask((restore) =>
          Effect.gen(function*() {
            const { occupation, sandbox } = (yield* claim(options)) ??
              (yield* Effect.andThen(reserve, build(options, options.session)))
            return yield* restore(use(sandbox)).pipe(
              Effect.onError(() => destroy(sandbox.id)),
              Effect.ensuring(Effect.sync(() => count(sandbox.id, occupation, "others", -1)))
            )
          })
        )

      const destroy = Effect.fnUntraced(function*(id: string) {
        const entry = alive.get(id)
        alive.delete(id)
        cold.delete(id)
        if (entry !== undefined) yield* close(entry)
        yield* Effect.ignore(fileSystem.remove(homeOf(id), { recursive: true, force: true }))
      }, Effect.uninterruptible)

      return Sandboxes.of({
        create,
        warmUp,
        find: (id) => Effect.sync(() => Option.map(Option.fromNullishOr(alive.get(id)), ({ sandbox }) => sandbox)),
        logs: (id) => Effect.suspend(() => alive.get(id)?.sandbox.logs ?? cold.get(id) ?? Effect.succeed([])),
        snapshot: snapshots.find,
        persist: (id) => Effect.suspend(() => persist(alive.get(id))),
        stop: Effect.fnUntraced(function*(id) {
          yield* persistForResume(alive.get(id))
          yield* destroy(id)
        }, Effect.uninterruptible),
        crash: Effect.fnUntraced(function*(id) {
          const entry = alive.get(id)
          if (entry === undefined || !alive.delete(id)) return
          cold.set(id, entry.sandbox.logs)
          yield* close(entry)
        }, Effect.uninterruptible),
        destroy,
        stats: Effect.sync(() => {
          const of = (isOf: (occupation: Occupation) => boolean) =>
            Array.from(alive.values()).filter(({ occupation }) => isOf(occupation)).length
          return {
            total: alive.size + cold.size,
            cold: cold.size,
            warming: 0,
            warm: of(({ hasRun }) => !hasRun),
            waiting: of(({ hasRun, turns }) => hasRun && turns === 0),
            running: of(({ turns }) => turns > 0),
            preWarmHits
          }
        })
      })
    })
  )
}
