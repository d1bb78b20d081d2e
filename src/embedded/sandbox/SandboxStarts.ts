/** How a session gets its sandbox: a prepared one, a new one, or one in the place of another. */
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import type { ErrorResponse } from "../../schema/ErrorResponse.ts"
import { Settings } from "../EmbeddedOptions.ts"
import type { AgentRow } from "../store/Store.ts"
import * as Tables from "../store/Tables.ts"
import * as Errors from "../wire/Errors.ts"
import * as Sandbox from "./Sandbox.ts"
import type { SandboxEnds } from "./SandboxEnds.ts"
import type { SandboxPool } from "./SandboxPool.ts"
import * as Shell from "./Shell.ts"
import type { WorkspaceFolders } from "./WorkspaceFolders.ts"

export interface SandboxOptions {
  /** Its id, where it is not a prepared one. */
  readonly id: string
  readonly session: string
  readonly agent: AgentRow
  readonly settings: Sandbox.SandboxSettings
  /** The sandbox whose workspace goes on in this one. */
  readonly restore?: string | undefined
}

/** A prepared sandbox has no session yet. */
interface BuildOptions extends Omit<SandboxOptions, "session"> {
  readonly session: string | undefined
}

/** Starts sandboxes in the pool. They end with the surrounding scope at the latest. */
export const make = Effect.fnUntraced(function*(pool: SandboxPool, folders: WorkspaceFolders, ends: SandboxEnds) {
  const { quirks } = yield* Settings
  const surroundingScope = yield* Effect.scope
  const platformEnvironment = yield* Shell.platformEnvironment

  const reserve = Effect.suspend((): Effect.Effect<void, ErrorResponse> => {
    if (pool.hasRoom()) return Effect.sync(pool.reserve)
    const leaving = pool.evictable()
    return leaving === undefined ? Effect.fail(Errors.atCapacity) : ends.evict(leaving)
  })

  /** Builds a sandbox in the place that is reserved for it. */
  const build = Effect.fnUntraced(function*({ agent, id, restore, session, settings }: BuildOptions) {
    yield* Effect.orDie(folders.layOut(id, { agentFolder: agent.path, settings, session, restore }))
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
      scope: yield* Scope.fork(surroundingScope),
      count: (activity, change) => pool.count(id, activity, change)
    })
    pool.add(sandbox)
    return sandbox
  }, Effect.ensuring(Effect.sync(pool.release)))

  const warmUp = Effect.fnUntraced(function*(agent: AgentRow, settings: Sandbox.SandboxSettings) {
    if (!quirks.warmPool || !pool.hasRoom()) return
    pool.reserve()
    yield* build({ id: yield* Tables.newId, session: undefined, agent, settings })
  }, Effect.uninterruptible)

  /** A prepared sandbox: as it is, without the settings that the session asks for. */
  const takePrepared = Effect.fnUntraced(function*({ agent, restore, session, settings }: SandboxOptions) {
    const prepared = restore === undefined ? pool.assign(agent.name, session) : undefined
    if (prepared === undefined) return
    // The next one is prepared with the environment of this session, on a real server as well.
    yield* warmUp(agent, { env: settings.env, permissionMode: settings.permissionMode })
    return prepared
  })

  return {
    /**
     * Gives a session a sandbox, and runs `use` before the sandbox counts as idle. It is a prepared one under the quirk
     * `warmPool`, where nothing is to be restored, else a new one. Where `use` fails, the sandbox is destroyed.
     */
    create: <A, E, R>(options: SandboxOptions, use: (sandbox: Sandbox.Sandbox) => Effect.Effect<A, E, R>) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function*() {
          const sandbox = (yield* takePrepared(options)) ?? (yield* Effect.andThen(reserve, build(options)))
          return yield* restore(use(sandbox)).pipe(
            Effect.onError(() => ends.destroy(sandbox.id)),
            Effect.ensuring(Effect.sync(() => pool.count(sandbox.id, "others", -1)))
          )
        })
      ),
    /** Prepares a sandbox for the next session of an agent, under the quirk `warmPool` and where there is room. */
    warmUp
  }
})
