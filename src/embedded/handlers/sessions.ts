/** The handlers of the group `sessions` (docs/ash.md 3.5 and 5). */
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { SessionStatus } from "../../schema/Session.ts"
import { Settings } from "../EmbeddedOptions.ts"
import { Sandboxes } from "../sandbox/Sandboxes.ts"
import { bare, SessionStarts } from "../sandbox/SessionStarts.ts"
import { Resumptions } from "../store/Resumptions.ts"
import { type SessionRow, Store } from "../store/Store.ts"
import * as Errors from "../wire/Errors.ts"
import { ServerApi } from "./ServerApi.ts"

// Looser than the schema of clients: an empty command reaches the server.
const decodeExec = Schema.decodeUnknownEffect(
  Schema.Struct({ command: Schema.String, timeout: Schema.optionalKey(Schema.Int) })
)

const defaultTimeout = 30_000
const defaultLimit = 200

export const SessionHandlers = HttpApiBuilder.group(
  ServerApi,
  "sessions",
  Effect.fnUntraced(function*(handlers) {
    const { quirks } = yield* Settings
    const store = yield* Store
    const sandboxes = yield* Sandboxes
    const starts = yield* SessionStarts
    const resumptions = yield* Resumptions
    const random = yield* SecureRandom.SecureRandom

    const { addLifecycle } = starts

    /** Moves a session to another status. The answer is the row from before, with only the status replaced. */
    const move = Effect.fnUntraced(function*({ session }: SessionRow, status: SessionStatus, action: string) {
      yield* store.updateSession(session.id, { status })
      yield* addLifecycle(session.id, action)
      return { session: { ...session, status } }
    })

    const resume = Effect.fnUntraced(function*({ session }: SessionRow) {
      if (session.status === "ended") return yield* Errors.failure(410, "Session has ended — create a new session")
      if (session.status === "active") return session
      const status = "active"
      if (Option.isSome(yield* sandboxes.find(session.sandboxId))) {
        yield* store.updateSession(session.id, { status })
        yield* addLifecycle(session.id, "resumed", { path: "warm" })
        yield* resumptions.count("warm")
        return { ...session, status }
      }
      const agent = yield* starts.agentOf(session.agentName)
      const restore = quirks.coldResumeLosesWorkspace ? undefined : session.sandboxId
      const options = { id: yield* random.uuidV4(), session: session.id, agent, restore, settings: bare }
      return yield* sandboxes.create(
        options,
        Effect.fnUntraced(function*({ id: sandboxId }) {
          yield* sandboxes.destroy(session.sandboxId)
          yield* store.updateSession(session.id, { status, sandboxId })
          // A real server says so even where it then gives the session a fresh workspace.
          yield* addLifecycle(session.id, "resumed", { path: "cold", source: "local" })
          yield* resumptions.count("cold")
          return { ...session, status, sandboxId }
        })
      )
    }, Effect.uninterruptible)

    return handlers
      .handle("create", ({ payload }) => Effect.map(starts.create(payload), (session) => ({ session })))
      .handle("list", ({ query }) =>
        Effect.map(store.sessions, (rows) => ({
          sessions: rows.map(({ session }) => session)
            .filter(({ agentName }) => query.agent === undefined || agentName === query.agent)
        })))
      .handle("get", ({ params }) => Effect.map(store.session(params.id), ({ session }) => ({ session })))
      .handle(
        "updateConfig",
        Effect.fnUntraced(function*({ params, payload }) {
          yield* store.session(params.id)
          yield* store.updateSession(params.id, { settings: payload })
          const { session } = yield* store.session(params.id)
          return { session }
        })
      )
      .handle(
        "pause",
        Effect.fnUntraced(function*({ params }) {
          const row = yield* store.session(params.id)
          const { status } = row.session
          if (status !== "active") return yield* Errors.badRequest(`Cannot pause session with status "${status}"`)
          yield* sandboxes.persist(row.session.sandboxId)
          return yield* move(row, "paused", "paused")
        })
      )
      .handle(
        "resume",
        Effect.fnUntraced(function*({ params }) {
          const row = yield* store.session(params.id)
          return { session: yield* resume(row) }
        })
      )
      .handle(
        "stop",
        Effect.fnUntraced(function*({ params }) {
          const row = yield* store.session(params.id)
          const { sandboxId, status } = row.session
          if (status !== "active" && status !== "starting") {
            return yield* Errors.badRequest(`Cannot stop session with status "${status}"`)
          }
          yield* sandboxes.stop(sandboxId)
          return yield* move(row, "stopped", "stopped")
        })
      )
      .handle(
        "fork",
        Effect.fnUntraced(function*({ params }) {
          const parent = yield* store.session(params.id)
          const agent = yield* starts.agentOf(parent.session.agentName)
          yield* sandboxes.persist(parent.session.sandboxId)
          const id = yield* random.uuidV4()
          return yield* sandboxes.create(
            { id, session: id, agent, settings: { ...bare, env: agent.env } },
            Effect.fnUntraced(function*({ id: sandboxId }) {
              const session = yield* starts.add({
                id,
                sandboxId,
                agentName: agent.name,
                status: "paused",
                parentSessionId: params.id,
                settings: parent.settings
              })
              yield* store.copyMessages(params.id, id)
              yield* addLifecycle(id, "forked", { parentSessionId: params.id })
              return { session }
            })
          )
        }, Effect.uninterruptible)
      )
      .handle(
        "end",
        Effect.fnUntraced(function*({ params }) {
          const row = yield* store.session(params.id)
          yield* sandboxes.stop(row.session.sandboxId)
          return yield* move(row, "ended", "ended")
        })
      )
      .handleRaw(
        "exec",
        Effect.fnUntraced(function*({ params, request }) {
          const { command, timeout = defaultTimeout } = yield* Effect.orDie(Effect.flatMap(request.json, decodeExec))
          const { session } = yield* store.session(params.id)
          if (session.status !== "active") return yield* Errors.badRequest(`Session is ${session.status}`)
          const sandbox = yield* sandboxes.find(session.sandboxId)
          if (Option.isNone(sandbox)) return yield* Errors.serverError("Sandbox not found")
          if (command === "") return yield* Errors.stripped(500)
          const result = yield* Effect.catchTags(sandbox.value.exec(command, timeout), {
            OutputTooLarge: () => Effect.fail(Errors.stripped(500)),
            PlatformError: () => Effect.fail(Errors.stripped(500)),
            SandboxDied: ({ message }) => Effect.fail(Errors.serverError(message))
          })
          // The end of a command looks like that of a turn to whoever listens to the sandbox.
          if (quirks.mixTurns) yield* sandbox.value.speak(0, { _tag: "Done", sessionId: "" })
          yield* store.updateSession(session.id, {})
          return result
        })
      )
      .handle(
        "listEvents",
        Effect.fnUntraced(function*({ params, query }) {
          yield* store.session(params.id)
          return { events: yield* store.events(params.id, { ...query, limit: query.limit ?? defaultLimit }) }
        })
      )
      .handle(
        "logs",
        Effect.fnUntraced(function*({ params, query }) {
          const { session } = yield* store.session(params.id)
          const { after = -1 } = query
          const logs = yield* sandboxes.logs(session.sandboxId)
          return { logs: logs.filter(({ index }) => index > after), source: "sandbox" }
        })
      )
  })
)
