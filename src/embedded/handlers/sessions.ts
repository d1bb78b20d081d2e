/** The handlers of the group `sessions` (docs/ash.md 3.5 and 5). */
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import type { Session, SessionStatus } from "../../schema/Session.ts"
import { Settings } from "../EmbeddedOptions.ts"
import { Sandboxes } from "../sandbox/Sandboxes.ts"
import * as SessionStarts from "../sandbox/SessionStarts.ts"
import { Store } from "../store/Store.ts"
import * as Tables from "../store/Tables.ts"
import * as Errors from "../wire/Errors.ts"
import { ServerApi } from "./ServerApi.ts"

/** Milliseconds that a command may run. */
const defaultTimeout = 30_000

const defaultLimit = 200

export const SessionHandlers = HttpApiBuilder.group(ServerApi, "sessions", (handlers) =>
  Effect.gen(function*() {
    const { quirks } = yield* Settings
    const store = yield* Store
    const sandboxes = yield* Sandboxes

    /** Makes a session active again, in the sandbox that it has or in another one. */
    const activate = Effect.fnUntraced(function*(session: Session, sandbox?: { readonly sandboxId: string }) {
      const change = { status: "active", ...sandbox }
      const path = sandbox === undefined ? "warm" : "cold"
      yield* store.updateSession(session.id, change)
      // A real server reports this source even where it then gives the session a fresh workspace.
      const source = sandbox === undefined ? {} : { source: "local" }
      yield* SessionStarts.addLifecycle(session.id, "resumed", { path, ...source })
      yield* sandboxes.resumed(path)
      return { ...session, ...change }
    })

    const resumeCold = Effect.fnUntraced(function*(session: Session) {
      const agent = yield* SessionStarts.agentOf(session.agentName)
      const restore = quirks.coldResumeLosesWorkspace ? undefined : session.sandboxId
      const id = yield* Tables.newId
      return yield* sandboxes.create(
        { id, session: session.id, agent, restore, settings: SessionStarts.bare },
        ({ id }) => Effect.andThen(sandboxes.destroy(session.sandboxId), activate(session, { sandboxId: id }))
      )
    })

    /**
     * Moves a session out of what it is at, from some statuses alone, and keeps its workspace. The answer is the row from
     * before, with only the status replaced.
     */
    const leave = Effect.fnUntraced(function*(
      id: string,
      status: "paused" | "stopped" | "ended",
      only?: { readonly verb: string; readonly from: ReadonlyArray<SessionStatus> }
    ) {
      const session = yield* store.session(id)
      if (only !== undefined && !only.from.includes(session.status)) {
        return yield* Errors.badRequest(`Cannot ${only.verb} session with status "${session.status}"`)
      }
      yield* status === "paused" ? sandboxes.persist(session.sandboxId) : sandboxes.stop(session.sandboxId)
      yield* store.updateSession(id, { status })
      yield* SessionStarts.addLifecycle(id, status)
      return { session: { ...session, status } }
    })

    return handlers.handleAll({
      create: ({ payload }) => Effect.bindTo(SessionStarts.create(payload), "session"),
      list: ({ query: { agent } }) =>
        Effect.map(store.sessions, (rows) => ({
          sessions: rows.filter(({ agentName }) => agent === undefined || agentName === agent)
        })),
      get: ({ params }) => Effect.bindTo(store.session(params.id), "session"),
      updateConfig: Effect.fnUntraced(function*({ params: { id }, payload }) {
        yield* store.session(id)
        yield* store.addSettings(id, payload)
        yield* store.updateSession(id, {})
        return { session: yield* store.session(id) }
      }),
      pause: ({ params }) => leave(params.id, "paused", { verb: "pause", from: ["active"] }),
      resume: Effect.fnUntraced(function*({ params }) {
        const session = yield* store.session(params.id)
        if (session.status === "ended") return yield* Errors.failure(410, "Session has ended — create a new session")
        if (session.status === "active") return { session }
        const sandbox = yield* sandboxes.find(session.sandboxId)
        return { session: yield* sandbox === undefined ? resumeCold(session) : activate(session) }
      }, Effect.uninterruptible),
      stop: ({ params }) => leave(params.id, "stopped", { verb: "stop", from: ["active", "starting"] }),
      fork: Effect.fnUntraced(function*({ params: { id: parentSessionId } }) {
        const parent = yield* store.session(parentSessionId)
        const agent = yield* SessionStarts.agentOf(parent.agentName)
        yield* sandboxes.persist(parent.sandboxId)
        const id = yield* Tables.newId
        return yield* sandboxes.create(
          { id, session: id, agent, settings: { ...SessionStarts.bare, env: agent.env } },
          Effect.fnUntraced(function*({ id: sandboxId }) {
            const session = yield* SessionStarts.add(
              { id, sandboxId, agentName: agent.name, status: "paused", parentSessionId },
              yield* store.settings(parentSessionId)
            )
            yield* store.copyMessages(parentSessionId, id)
            yield* SessionStarts.addLifecycle(id, "forked", { parentSessionId })
            return { session }
          })
        )
      }, Effect.uninterruptible),
      end: ({ params }) => leave(params.id, "ended"),
      exec: Effect.fnUntraced(function*({ params: { id }, payload: { command, timeout = defaultTimeout } }) {
        const { sandboxId, status } = yield* store.session(id)
        if (status !== "active") return yield* Errors.badRequest(`Session is ${status}`)
        const sandbox = yield* sandboxes.find(sandboxId)
        if (sandbox === undefined) return yield* Errors.serverError("Sandbox not found")
        if (command === "") return yield* Errors.stripped(500)
        const result = yield* Effect.mapError(
          sandbox.exec(command, timeout),
          (error) => error._tag === "SandboxDied" ? Errors.serverError(error.message) : Errors.stripped(500)
        )
        // The readers of the sandbox take the end of a command for that of a turn.
        if (quirks.mixTurns) yield* sandbox.emit(0, { _tag: "Done", sessionId: "" })
        yield* store.updateSession(id, {})
        return result
      }),
      listEvents: ({ params: { id }, query: { limit = defaultLimit, ...query } }) =>
        Effect.andThen(store.session(id), Effect.bindTo(store.events(id, { ...query, limit }), "events")),
      logs: Effect.fnUntraced(function*({ params: { id }, query: { after = -1 } }) {
        const { sandboxId } = yield* store.session(id)
        const entries = yield* sandboxes.logs(sandboxId)
        return { logs: entries.filter(({ index }) => index > after), source: "sandbox" }
      })
    })
  }))
