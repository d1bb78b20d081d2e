/**
 * The ends of sandboxes. Each leaves something else:
 *
 * - the end of a session, or its stop: a snapshot of the workspace, and no log;
 * - a crash: the log, and the snapshot of the last turn that ended or of the last pause, if there is one;
 * - the need of its place: a snapshot and an empty log, and the session becomes `paused`;
 * - the deletion of its agent: the sandbox lives on, and no session leads to it;
 * - the end of the server: nothing.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { Settings } from "../EmbeddedOptions.ts"
import { Store } from "../store/Store.ts"
import type { Sandbox } from "./Sandbox.ts"
import type { SandboxPool } from "./SandboxPool.ts"
import type { WorkspaceFolders } from "./WorkspaceFolders.ts"

export type SandboxEnds = Effect.Success<ReturnType<typeof make>>

export const make = Effect.fnUntraced(function*(pool: SandboxPool, folders: WorkspaceFolders) {
  const { quirks } = yield* Settings
  const store = yield* Store

  const close = ({ emit, scope }: Sandbox) => Effect.andThen(Scope.close(scope, Exit.void), emit(0, { _tag: "Died" }))

  const persist = (sandbox: Sandbox | undefined, whole: boolean) =>
    sandbox?.session === undefined ? Effect.void : folders.keep(sandbox.session, sandbox.directory, whole)

  const persistForResume = (sandbox: Sandbox | undefined) => persist(sandbox, !quirks.coldResumeLosesWorkspace)

  const destroy = Effect.fnUntraced(function*(id: string) {
    const sandbox = pool.remove(id)
    pool.dropLog(id)
    if (sandbox !== undefined) yield* close(sandbox)
    yield* folders.remove(id)
  }, Effect.uninterruptible)

  return {
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
    /** Ends an idle sandbox, keeps its workspace, and reserves its place for another one. */
    evict: Effect.fnUntraced(function*(sandbox: Sandbox) {
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
    }, Effect.uninterruptible),
    destroy
  }
})
