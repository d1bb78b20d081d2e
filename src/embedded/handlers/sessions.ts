/** The handlers of the group `sessions` (docs/ash.md 3.5 and 5). */
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { SessionStatus, UpdateSessionConfigRequest } from "../../schema/Session.ts"
import { Settings } from "../EmbeddedOptions.ts"
import { Sandboxes } from "../sandbox/Sandboxes.ts"
import * as SessionStarts from "../sandbox/SessionStarts.ts"
import type { PageOptions } from "../store/History.ts"
import { sessionOf, type SessionRow, Store } from "../store/Store.ts"
import * as Tables from "../store/Tables.ts"
import * as Bodies from "../wire/Bodies.ts"
import * as Errors from "../wire/Errors.ts"
import { ServerApi } from "./ServerApi.ts"

export const SessionHandlers = HttpApiBuilder.group(ServerApi, "sessions", (handlers) =>
  handlers
    .handle("create", ({ payload }) => Effect.bindTo(SessionStarts.create(payload), "session"))
    .handle("list", ({ query }) => list(query.agent))
    .handle("get", ({ params }) => shown(params.id))
    .handle("updateConfig", ({ params, payload }) => updateConfig(params.id, payload))
    .handle("pause", ({ params }) => leave(params.id, "paused", { verb: "pause", from: ["active"] }))
    .handle("resume", ({ params }) => resume(params.id))
    .handle("stop", ({ params }) => leave(params.id, "stopped", { verb: "stop", from: ["active", "starting"] }))
    .handle("fork", ({ params }) => fork(params.id))
    .handle("end", ({ params }) => leave(params.id, "ended"))
    .handleRaw("exec", ({ params, request }) => exec(params.id, request))
    .handle("listEvents", ({ params, query }) => listEvents(params.id, query))
    .handle("logs", ({ params, query }) => logs(params.id, query.after)))

const list = Effect.fnUntraced(function*(agent: string | undefined) {
  const store = yield* Store
  const rows = yield* store.sessions
  return {
    sessions: rows.map(({ session }) => session).filter(({ agentName }) => agent === undefined || agentName === agent)
  }
})

const shown = (id: string) => Effect.map(sessionOf(id), ({ session }) => ({ session }))

const updateConfig = Effect.fnUntraced(function*(id: string, settings: UpdateSessionConfigRequest) {
  const store = yield* Store
  yield* store.session(id)
  yield* store.updateSession(id, { settings })
  return yield* shown(id)
})

const resume = Effect.fnUntraced(function*(id: string) {
  const sandboxes = yield* Sandboxes
  const row = yield* sessionOf(id)
  const { sandboxId, status } = row.session
  if (status === "ended") return yield* Errors.failure(410, "Session has ended — create a new session")
  if (status === "active") return { session: row.session }
  const sandbox = yield* sandboxes.find(sandboxId)
  return { session: yield* Option.isSome(sandbox) ? activate(row) : resumeCold(row) }
}, Effect.uninterruptible)

/** Makes a session active again, in the sandbox that it has or in another one. */
const activate = Effect.fnUntraced(function*({ session }: SessionRow, sandbox?: { readonly sandboxId: string }) {
  const store = yield* Store
  const sandboxes = yield* Sandboxes
  const change = { status: "active", ...sandbox }
  const path = sandbox === undefined ? "warm" : "cold"
  yield* store.updateSession(session.id, change)
  // A real server reports this source even where it then gives the session a fresh workspace.
  yield* SessionStarts.addLifecycle(session.id, "resumed", sandbox === undefined ? { path } : { path, source: "local" })
  yield* sandboxes.resumed(path)
  return { ...session, ...change }
})

const resumeCold = Effect.fnUntraced(function*(row: SessionRow) {
  const { quirks } = yield* Settings
  const sandboxes = yield* Sandboxes
  const { session } = row
  const agent = yield* SessionStarts.agentOf(session.agentName)
  const restore = quirks.coldResumeLosesWorkspace ? undefined : session.sandboxId
  const options = { id: yield* Tables.newId, session: session.id, agent, restore, settings: SessionStarts.bare }
  return yield* sandboxes.create(
    options,
    ({ id }) => Effect.andThen(sandboxes.destroy(session.sandboxId), activate(row, { sandboxId: id }))
  )
})

const fork = Effect.fnUntraced(function*(parentSessionId: string) {
  const store = yield* Store
  const sandboxes = yield* Sandboxes
  const parent = yield* store.session(parentSessionId)
  const agent = yield* SessionStarts.agentOf(parent.session.agentName)
  yield* sandboxes.persist(parent.session.sandboxId)
  const id = yield* Tables.newId
  return yield* sandboxes.create(
    { id, session: id, agent, settings: { ...SessionStarts.bare, env: agent.env } },
    Effect.fnUntraced(function*({ id: sandboxId }) {
      const session = yield* SessionStarts.add({
        id,
        sandboxId,
        agentName: agent.name,
        status: "paused",
        parentSessionId,
        settings: parent.settings
      })
      yield* store.copyMessages(parentSessionId, id)
      yield* SessionStarts.addLifecycle(id, "forked", { parentSessionId })
      return { session }
    })
  )
}, Effect.uninterruptible)

/**
 * Moves a session out of what it is at, from some statuses alone, and keeps its workspace. The answer is the row from
 * before, with only the status replaced.
 */
const leave = Effect.fnUntraced(function*(
  id: string,
  status: "paused" | "stopped" | "ended",
  only?: { readonly verb: string; readonly from: ReadonlyArray<SessionStatus> }
) {
  const store = yield* Store
  const sandboxes = yield* Sandboxes
  const { session } = yield* store.session(id)
  if (only !== undefined && !only.from.includes(session.status)) {
    return yield* Errors.badRequest(`Cannot ${only.verb} session with status "${session.status}"`)
  }
  yield* status === "paused" ? sandboxes.persist(session.sandboxId) : sandboxes.stop(session.sandboxId)
  yield* store.updateSession(session.id, { status })
  yield* SessionStarts.addLifecycle(session.id, status)
  return { session: { ...session, status } }
})

const execBody = Bodies.accepted(Schema.Struct({ command: Schema.String, timeout: Schema.optionalKey(Schema.Int) }))

/** Milliseconds that a command may run. */
const defaultTimeout = 30_000

const exec = Effect.fnUntraced(function*(id: string, request: HttpServerRequest) {
  const { quirks } = yield* Settings
  const store = yield* Store
  const sandboxes = yield* Sandboxes
  const { command, timeout = defaultTimeout } = yield* execBody(request)
  const { session } = yield* store.session(id)
  if (session.status !== "active") return yield* Errors.badRequest(`Session is ${session.status}`)
  const sandbox = yield* sandboxes.find(session.sandboxId)
  if (Option.isNone(sandbox)) return yield* Errors.serverError("Sandbox not found")
  if (command === "") return yield* Errors.stripped(500)
  const result = yield* Effect.catchTags(sandbox.value.exec(command, timeout), {
    OutputTooLarge: () => Effect.fail(Errors.stripped(500)),
    PlatformError: () => Effect.fail(Errors.stripped(500)),
    SandboxDied: ({ message }) => Effect.fail(Errors.serverError(message))
  })
  // The readers of the sandbox take the end of a command for that of a turn.
  if (quirks.mixTurns) yield* sandbox.value.emit(0, { _tag: "Done", sessionId: "" })
  yield* store.updateSession(session.id, {})
  return result
})

const defaultLimit = 200

const listEvents = Effect.fnUntraced(function*(
  id: string,
  { limit = defaultLimit, ...query }: PageOptions & { readonly type?: string | undefined }
) {
  const store = yield* Store
  yield* store.session(id)
  return { events: yield* store.events(id, { ...query, limit }) }
})

const logs = Effect.fnUntraced(function*(id: string, after = -1) {
  const sandboxes = yield* Sandboxes
  const { session } = yield* sessionOf(id)
  const entries = yield* sandboxes.logs(session.sandboxId)
  return { logs: entries.filter(({ index }) => index > after), source: "sandbox" }
})
