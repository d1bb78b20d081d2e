/** The handlers of the group `sessions` (docs/ash.md 3.5 and 5). */
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { CreateSessionRequest, SessionStatus, UpdateSessionConfigRequest } from "../../schema/Session.ts"
import { Settings } from "../EmbeddedOptions.ts"
import { Sandboxes } from "../sandbox/Sandboxes.ts"
import * as SessionStarts from "../sandbox/SessionStarts.ts"
import type { PageOptions } from "../store/History.ts"
import { Resumptions } from "../store/Resumptions.ts"
import { type SessionRow, Store } from "../store/Store.ts"
import * as Bodies from "../wire/Bodies.ts"
import * as Errors from "../wire/Errors.ts"
import { ServerApi } from "./ServerApi.ts"

export const SessionHandlers = HttpApiBuilder.group(ServerApi, "sessions", (handlers) =>
  handlers
    .handle("create", ({ payload }) => create(payload))
    .handle("list", ({ query }) => list(query.agent))
    .handle("get", ({ params }) => get(params.id))
    .handle("updateConfig", ({ params, payload }) => updateConfig(params.id, payload))
    .handle("pause", ({ params }) => pause(params.id))
    .handle("resume", ({ params }) => resume(params.id))
    .handle("stop", ({ params }) => stop(params.id))
    .handle("fork", ({ params }) => fork(params.id))
    .handle("end", ({ params }) => end(params.id))
    .handleRaw("exec", ({ params, request }) => exec(params.id, request))
    .handle("listEvents", ({ params, query }) => listEvents(params.id, query))
    .handle("logs", ({ params, query }) => logs(params.id, query.after)))

const create = Effect.fnUntraced(function*(request: CreateSessionRequest) {
  return { session: yield* SessionStarts.create(request) }
})

const list = Effect.fnUntraced(function*(agent: string | undefined) {
  const store = yield* Store
  const rows = yield* store.sessions
  return {
    sessions: rows.map(({ session }) => session).filter(({ agentName }) => agent === undefined || agentName === agent)
  }
})

const get = Effect.fnUntraced(function*(id: string) {
  const store = yield* Store
  const { session } = yield* store.session(id)
  return { session }
})

const updateConfig = Effect.fnUntraced(function*(id: string, settings: UpdateSessionConfigRequest) {
  const store = yield* Store
  yield* store.session(id)
  yield* store.updateSession(id, { settings })
  const { session } = yield* store.session(id)
  return { session }
})

const pause = Effect.fnUntraced(function*(id: string) {
  const store = yield* Store
  const sandboxes = yield* Sandboxes
  const row = yield* store.session(id)
  const { sandboxId, status } = row.session
  if (status !== "active") return yield* Errors.badRequest(`Cannot pause session with status "${status}"`)
  yield* sandboxes.persist(sandboxId)
  return yield* move(row, "paused")
})

const resume = Effect.fnUntraced(function*(id: string) {
  const store = yield* Store
  const sandboxes = yield* Sandboxes
  const row = yield* store.session(id)
  const { sandboxId, status } = row.session
  if (status === "ended") return yield* Errors.failure(410, "Session has ended — create a new session")
  if (status === "active") return { session: row.session }
  const sandbox = yield* sandboxes.find(sandboxId)
  return { session: yield* Option.isSome(sandbox) ? resumeWarm(row) : resumeCold(row) }
}, Effect.uninterruptible)

/** Resumes a session whose sandbox is still there. */
const resumeWarm = Effect.fnUntraced(function*({ session }: SessionRow) {
  const store = yield* Store
  const resumptions = yield* Resumptions
  const status = "active"
  yield* store.updateSession(session.id, { status })
  yield* SessionStarts.addLifecycle(session.id, "resumed", { path: "warm" })
  yield* resumptions.count("warm")
  return { ...session, status }
})

/** Resumes a session in a new sandbox. */
const resumeCold = Effect.fnUntraced(function*({ session }: SessionRow) {
  const { quirks } = yield* Settings
  const store = yield* Store
  const sandboxes = yield* Sandboxes
  const resumptions = yield* Resumptions
  const random = yield* SecureRandom.SecureRandom
  const agent = yield* SessionStarts.agentOf(session.agentName)
  const restore = quirks.coldResumeLosesWorkspace ? undefined : session.sandboxId
  const options = { id: yield* random.uuidV4(), session: session.id, agent, restore, settings: SessionStarts.bare }
  return yield* sandboxes.create(
    options,
    Effect.fnUntraced(function*({ id: sandboxId }) {
      const status = "active"
      yield* sandboxes.destroy(session.sandboxId)
      yield* store.updateSession(session.id, { status, sandboxId })
      // A real server reports this source even where it then gives the session a fresh workspace.
      yield* SessionStarts.addLifecycle(session.id, "resumed", { path: "cold", source: "local" })
      yield* resumptions.count("cold")
      return { ...session, status, sandboxId }
    })
  )
})

const stop = Effect.fnUntraced(function*(id: string) {
  const store = yield* Store
  const sandboxes = yield* Sandboxes
  const row = yield* store.session(id)
  const { sandboxId, status } = row.session
  if (status !== "active" && status !== "starting") {
    return yield* Errors.badRequest(`Cannot stop session with status "${status}"`)
  }
  yield* sandboxes.stop(sandboxId)
  return yield* move(row, "stopped")
})

const fork = Effect.fnUntraced(function*(parentSessionId: string) {
  const store = yield* Store
  const sandboxes = yield* Sandboxes
  const random = yield* SecureRandom.SecureRandom
  const parent = yield* store.session(parentSessionId)
  const agent = yield* SessionStarts.agentOf(parent.session.agentName)
  yield* sandboxes.persist(parent.session.sandboxId)
  const id = yield* random.uuidV4()
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

const end = Effect.fnUntraced(function*(id: string) {
  const store = yield* Store
  const sandboxes = yield* Sandboxes
  const row = yield* store.session(id)
  yield* sandboxes.stop(row.session.sandboxId)
  return yield* move(row, "ended")
})

/** Moves a session to another status. The answer is the row from before, with only the status replaced. */
const move = Effect.fnUntraced(function*({ session }: SessionRow, status: SessionStatus) {
  const store = yield* Store
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
  const store = yield* Store
  const sandboxes = yield* Sandboxes
  const { session } = yield* store.session(id)
  const entries = yield* sandboxes.logs(session.sandboxId)
  return { logs: entries.filter(({ index }) => index > after), source: "sandbox" }
})
