/**
 * The sandboxes of the embedded server: how a session gets one, and how they end. Each end leaves something else:
 *
 * - the end of a session, or its stop: a snapshot of the workspace, and no log;
 * - a crash: the log, and the snapshot of the last turn that ended or of the last pause, if there is one;
 * - the need of its place: a snapshot and an empty log, and the session becomes `paused`;
 * - the deletion of its agent: the sandbox lives on, and no session leads to it;
 * - the end of the server: nothing.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import type { ErrorResponse } from "../../schema/ErrorResponse.ts"
import { Settings } from "../EmbeddedOptions.ts"
import { type AgentRow, Store } from "../store/Store.ts"
import * as Tables from "../store/Tables.ts"
import * as Errors from "../wire/Errors.ts"
import * as Sandbox from "./Sandbox.ts"
import * as SandboxPool from "./SandboxPool.ts"
import * as Shell from "./Shell.ts"
import * as WorkspaceFolders from "./WorkspaceFolders.ts"

interface SessionSandboxOptions extends WorkspaceFolders.SandboxOptions {
  readonly session: string
}

export class Sandboxes extends Context.Service<Sandboxes>()("effect-ash/embedded/sandbox/Sandboxes", {
  make: Effect.gen(function*() {
    const { maxSandboxes, quirks } = yield* Settings
    const store = yield* Store
    const serverScope = yield* Effect.scope
    const platformEnvironment = yield* Shell.platformEnvironment
    const folders = yield* WorkspaceFolders.make
    const pool = SandboxPool.make(maxSandboxes)

    const close = ({ emit, scope }: Sandbox.Sandbox) =>
      Effect.andThen(Scope.close(scope, Exit.void), emit(0, { _tag: "Died" }))

    const persist = (sandbox: Sandbox.Sandbox | undefined, whole: boolean) =>
      sandbox?.session === undefined ? Effect.void : folders.keep(sandbox.session, sandbox.directory, whole)

    const persistForResume = (sandbox: Sandbox.Sandbox | undefined) =>
      persist(sandbox, !quirks.coldResumeLosesWorkspace)

    const destroy = Effect.fnUntraced(function*(id: string) {
      const sandbox = pool.remove(id)
      pool.dropLog(id)
      if (sandbox !== undefined) yield* close(sandbox)
      yield* folders.remove(id)
    }, Effect.uninterruptible)

    /** Ends an idle sandbox, keeps its workspace, and reserves its place for another one. */
    const evict = Effect.fnUntraced(function*(sandbox: Sandbox.Sandbox) {
      const { id, session } = sandbox
      // It counts as used from here on, so that only one start takes its place.
      pool.count(id, "others", 1)
      if (session !== undefined) {
        yield* store.updateSession(session, { status: "paused" })
        yield* persistForResume(sandbox)
      }
      pool.reserve()
      yield* destroy(id)
      if (session !== undefined) pool.keepLog(id, Effect.succeed([]))
    }, Effect.uninterruptible)

    const reserve = Effect.suspend((): Effect.Effect<void, ErrorResponse> => {
      if (pool.hasRoom()) return Effect.sync(pool.reserve)
      const leaving = pool.evictable()
      return leaving === undefined ? Effect.fail(Errors.atCapacity) : evict(leaving)
    })

    /** Builds a sandbox in the place that is reserved for it. */
    const build = Effect.fnUntraced(function*(options: WorkspaceFolders.SandboxOptions) {
      const { agent, id, session, settings } = options
      yield* Effect.orDie(folders.layOut(options))
      const directory = folders.workspaceOf(id)
      const sandbox = yield* Sandbox.make({
        id,
        agentName: agent.name,
        session,
        directory,
        env: {
          ...platformEnvironment,
          HOME: directory,
          ...settings.env,
          ASH_AGENT_DIR: agent.path,
          ASH_SANDBOX_ID: id,
          // A prepared sandbox does not know its session.
          ASH_SESSION_ID: session ?? id,
          ASH_WORKSPACE_DIR: directory
        },
        settings,
        scope: yield* Scope.fork(serverScope),
        count: (activity, change) => pool.count(id, activity, change)
      })
      pool.add(sandbox)
      return sandbox
    }, Effect.ensuring(Effect.sync(pool.release)))

    const warmUp = Effect.fnUntraced(function*(agent: AgentRow, settings: Sandbox.SandboxSettings) {
      if (!quirks.warmPool || !pool.hasRoom()) return
      pool.reserve()
      yield* build({ id: yield* Tables.newId, agent, settings })
    }, Effect.uninterruptible)

    /** A prepared sandbox: as it is, without the settings that the session asks for. */
    const takePrepared = Effect.fnUntraced(function*({ agent, restore, session, settings }: SessionSandboxOptions) {
      const prepared = restore === undefined ? pool.assign(agent.name, session) : undefined
      if (prepared === undefined) return
      // The next one is prepared with the environment of this session, on a real server as well.
      yield* warmUp(agent, { env: settings.env, permissionMode: settings.permissionMode })
      return prepared
    })

    return {
      /** That of the server, which what outlives its request belongs to. */
      scope: serverScope,
      /**
       * Gives a session a sandbox, and runs `use` before the sandbox counts as idle. It is a prepared one under the quirk
       * `warmPool`, where nothing is to be restored, else a new one. Where `use` fails, the sandbox is destroyed.
       */
      create: <A, E, R>(options: SessionSandboxOptions, use: (sandbox: Sandbox.Sandbox) => Effect.Effect<A, E, R>) =>
        Effect.uninterruptibleMask(Effect.fnUntraced(function*(restore) {
          const sandbox = (yield* takePrepared(options)) ?? (yield* Effect.andThen(reserve, build(options)))
          return yield* restore(use(sandbox)).pipe(
            Effect.onError(() => destroy(sandbox.id)),
            Effect.ensuring(Effect.sync(() => pool.count(sandbox.id, "others", -1)))
          )
        })),
      /** Prepares a sandbox for the next session of an agent, under the quirk `warmPool` and where there is room. */
      warmUp,
      find: (id: string) => Effect.sync(() => pool.find(id)),
      persist: (id: string) => Effect.suspend(() => persist(pool.find(id), false)),
      stop: Effect.fnUntraced(function*(id: string) {
        yield* persistForResume(pool.find(id))
        yield* destroy(id)
      }, Effect.uninterruptible),
      crash: Effect.fnUntraced(function*(id: string) {
        const sandbox = pool.remove(id)
        if (sandbox === undefined) return
        pool.keepLog(id, sandbox.logs)
        yield* close(sandbox)
      }, Effect.uninterruptible),
      destroy,
      resumed: (path: "warm" | "cold") => Effect.sync(() => pool.resumed(path)),
      /** What a sandbox has logged, alive or crashed. */
      logs: (id: string) => Effect.suspend(() => pool.find(id)?.logs ?? pool.keptLog(id) ?? Effect.succeed([])),
      snapshot: folders.snapshot,
      stats: Effect.sync(pool.stats)
    }
  })
}) {
  static readonly layer = Layer.effect(Sandboxes, Sandboxes.make)
}
