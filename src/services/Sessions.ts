/** Sessions: an agent at work in a sandbox of its own, from its creation to its end. */
import * as Arr from "effect/Array"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Creations from "../internal/creations.ts"
import { readDuration, refuseOption } from "../internal/durations.ts"
import * as Gated from "../internal/gated.ts"
import { renamed, within } from "../internal/operations.ts"
import { follow, paginate, type PagingOptions } from "../internal/paging.ts"
import { TurnControl } from "../internal/turnControl.ts"
import type { Gate } from "../internal/turnGates.ts"
import { nothingBefore } from "../internal/turnUsage.ts"
import { AshError, InvalidRequest, NotSupported, ServerFailure, SettingsIgnored } from "../schema/AshError.ts"
import type {
  CreateSessionRequest,
  ExecResult,
  SandboxLogs,
  Session,
  SessionStatus,
  UpdateSessionConfigRequest
} from "../schema/Session.ts"
import type { SessionEvent, SessionEventType } from "../schema/SessionEvent.ts"
import { AshApiClient } from "./AshApiClient.ts"
import { Attachments } from "./Attachments.ts"
import { Messages } from "./Messages.ts"
import { RequestPolicy } from "./RequestPolicy.ts"
import { cutOff, type ExecOptions, type Known, type SessionHandleOptions } from "./session/state.ts"
import { SessionFiles } from "./SessionFiles.ts"
import { isOpen, SessionGates } from "./SessionGates.ts"
import * as SessionHandle from "./SessionHandle.ts"
import { Usage } from "./Usage.ts"
import { Workspaces } from "./Workspaces.ts"

export type { ExecOptions }

/** Which rows of a session's timeline to list. */
export interface ListEventsOptions {
  /** At most so many rows, 1 to 1,000. @default 200 */
  readonly limit?: number | undefined
  /** Only rows behind this sequence number. @default 0 */
  readonly after?: number | undefined
  /** Only rows of this kind. */
  readonly type?: SessionEventType | undefined
}

/** Which sessions to list. */
export interface ListSessionsOptions {
  readonly agent?: string | undefined
  readonly status?: SessionStatus | undefined
}

/** Which page of sessions to list. */
export interface ListSessionPageOptions extends ListSessionsOptions {
  readonly limit?: number | undefined
  readonly offset?: number | undefined
}

/** A page of sessions, and how many there are in all. */
export interface SessionPage {
  readonly sessions: ReadonlyArray<Session>
  readonly total: number
}

/** Which rows of a timeline to stream. */
export interface SessionEventsOptions extends PagingOptions {
  /** Only rows of this kind. */
  readonly type?: SessionEventType | undefined
}

/** How a session is opened and used. */
export interface OpenSessionOptions extends SessionHandleOptions {
  /**
   * Marks the session for `sweep`: 1 to 100 letters, digits, `.`, `_` or `-`. A session has no field for it, so it is kept
   * as an attachment of that name, which outlives the sandbox and restarts of the server; it costs one request, and the
   * agent sees it as `attachments/<label>`.
   */
  readonly label?: string | undefined
  /**
   * Whether a session whose sandbox ignores what the session asked for is ended and opened anew, 3 times at most, before
   * it fails with `SettingsIgnored`. Otherwise it is used, with a warning in the log and `ignoredSettings`. The next one
   * is created before the last is ended, so that for a moment there are two, which count as one of `maxSessions`.
   *
   * @default false
   */
  readonly requireFreshSandbox?: boolean | undefined
}

/** How a session is used that is there already. */
export interface AttachSessionOptions extends SessionHandleOptions {
  /** The sequence number of the last message that is known of it, for `reconcile`. */
  readonly after?: number | undefined
}

/** Which sessions to end. */
export interface SweepOptions {
  /** The label that they were opened with. */
  readonly label: string
  /** How long they have not been active, by the clock here and the server's; more than the longest turn. */
  readonly olderThan: Duration.Input
  /** Only those of one agent. */
  readonly agent?: string | undefined
}

/** How a timeline is followed. */
export interface TailOptions {
  /** Only rows behind this sequence number. @default 0 */
  readonly after?: number | undefined
  /** Only rows of this kind. */
  readonly type?: SessionEventType | undefined
  /** The time between two looks. @default "300 millis" */
  readonly every?: Duration.Input | undefined
}

/** Opens and manages sessions. */
export class Sessions extends Context.Service<Sessions, {
  /**
   * Starts a session that ends when the surrounding scope closes, however it closes. The end takes 10 seconds at most;
   * where it fails, a warning is logged and the program's own outcome stands. Whatever is waited for before the request
   * goes out can be interrupted at once; one that is on its way is awaited for 10 seconds, and beyond that in the
   * background, and the session is ended as soon as it is there.
   */
  readonly scoped: (session: CreateSessionRequest) => Effect.Effect<Session, AshError, Scope.Scope>
  /**
   * As `scoped`, and answers a handle: a session to work with, in which one turn runs at a time, and none behind one that
   * was not heard to its end.
   */
  readonly open: (
    session: CreateSessionRequest,
    options?: OpenSessionOptions
  ) => Effect.Effect<SessionHandle.SessionHandle, AshError, Scope.Scope>
  /** A handle to a session that is there already, and that it does not end. Nothing is sent. */
  readonly attach: (id: string, options?: AttachSessionOptions) => SessionHandle.SessionHandle
  /** Starts a session. It lives until it is ended; prefer `scoped`. A server allows 20 creations in 15 minutes. */
  readonly create: (session: CreateSessionRequest) => Effect.Effect<Session, AshError>
  /**
   * Lists sessions, the newest first. The server sends all sessions, or all of one agent: it has no pages, and a status
   * is filtered here.
   */
  readonly list: (options?: ListSessionsOptions) => Effect.Effect<ReadonlyArray<Session>, AshError>
  /** Lists a page of sessions with their total. Only the hosted product can; another server fails with `NotSupported`. */
  readonly listPage: (options?: ListSessionPageOptions) => Effect.Effect<SessionPage, AshError>
  /** Fetches one session. */
  readonly get: (id: string) => Effect.Effect<Session, AshError>
  /** Merges into a session's settings, in force from the next message on. They cannot be read back. */
  readonly updateConfig: (id: string, config: UpdateSessionConfigRequest) => Effect.Effect<Session, AshError>
  /** Pauses an active session. Its sandbox stays alive, and a running turn is not interrupted. */
  readonly pause: (id: string) => Effect.Effect<Session, AshError>
  /** Makes a paused, stopped or failed session active again. After a stop the workspace and the memory may be gone. */
  readonly resume: (id: string) => Effect.Effect<Session, AshError>
  /**
   * Stops an active session: its sandbox is destroyed, and with it a running turn, whose stream fails with `TurnCancelled`
   * in this program, and falls silent in others.
   */
  readonly stop: (id: string) => Effect.Effect<Session, AshError>
  /** Makes a paused copy of a session with its messages and settings, not its files nor its memory. Resume it to use it. */
  readonly fork: (id: string) => Effect.Effect<Session, AshError>
  /** Ends a session for good, and its running turn as `stop` does. Its record stays readable. */
  readonly end: (id: string) => Effect.Effect<Session, AshError>
  /**
   * Runs a shell command in a session's workspace, when no turn and no other command of this program runs in it, unless
   * `RequestOptions.exclusive` is false: it would end the turn's stream. An exit code other than 0 is a result, not a
   * failure; so is a time-out, as exit code 1.
   */
  readonly exec: (
    id: string,
    command: string,
    options?: ExecOptions
  ) => Effect.Effect<ExecResult, AshError>
  /** Lists rows of a session's timeline, oldest first. */
  readonly listEvents: (id: string, options?: ListEventsOptions) => Effect.Effect<ReadonlyArray<SessionEvent>, AshError>
  /** Streams the whole timeline of a session, oldest first, page by page. */
  readonly events: (id: string, options?: SessionEventsOptions) => Stream.Stream<SessionEvent, AshError>
  /** Streams the timeline of a session, and what is added to it, by polling, until the session ends. */
  readonly tail: (id: string, options?: TailOptions) => Stream.Stream<SessionEvent, AshError>
  /**
   * Ends the sessions of a label that were left behind, by a process that was killed for example, and answers them; not those
   * that a handle of this layer has open. One that was killed between a creation and its label leaves none to find. Asks for the attachments of every session that was not active for as long, so narrow it to an agent where there are many.
   */
  readonly sweep: (options: SweepOptions) => Effect.Effect<ReadonlyArray<Session>, AshError>
  /** Reads the logs of a session's sandbox, those behind the index `after`. */
  readonly logs: (id: string, options?: { readonly after?: number | undefined }) => Effect.Effect<SandboxLogs, AshError>
}>()("effect-ash/services/Sessions") {
  static readonly layer: Layer.Layer<
    Sessions,
    never,
    AshApiClient | Attachments | Messages | RequestPolicy | SessionFiles | SessionGates | Usage | Workspaces
  > = Layer.effect(
    Sessions,
    Effect.gen(function*() {
      const { hosted, sessions: api } = yield* AshApiClient
      const call = yield* RequestPolicy
      const attachments = yield* Attachments
      const files = yield* SessionFiles
      const messages = yield* Messages
      const usage = yield* Usage
      const workspaces = yield* Workspaces
      const gates = yield* SessionGates
      const unwrap = ({ session }: { readonly session: Session }) => session

      const end = (id: string) => Effect.map(call.repeatable("Sessions.end", api.end({ params: { id } })), unwrap)

      /** A session without a sandbox runs nothing of what was there when it was stopped. */
      const halting = (id: string, how: string, halted: Gate["halted"], call: Effect.Effect<Session, AshError>) =>
        Effect.scoped(Effect.flatMap(gates.use(id), (gate) => {
          const { fence, guest } = gate
          const ran = guest?.phase === "Running"
          const halt = Effect.sync(() => {
            gate.halted = halted
            if (gate.fence === fence) gate.fence = undefined
            if (guest === undefined || gate.guest !== guest || guest.phase !== "Running") return
            // One that went out meanwhile may have begun behind the stop, so that it leaves its fence.
            if (ran) guest.phase = "Over"
            Gated.cancelGuest(guest, Gated.cancelled("Messages.send", id, `this program has ${how} the session ${id}`))
          })
          return call.pipe(
            Effect.tap(() => halt),
            // It was before, by whomever; this program wants it so.
            Effect.tapError(({ reason }) =>
              reason._tag === "WrongState" && reason.status === halted ? halt : Effect.void
            )
          )
        }))
      const endTold = (id: string) => halting(id, "ended", undefined, end(id))
      const creations = yield* Creations.make(endTold)
      /** A session that ends with a scope. */
      const createIn = (payload: CreateSessionRequest, scope: Scope.Scope) =>
        call.once(
          "Sessions.create",
          Effect.map(api.create({ payload }), unwrap),
          createsSession,
          (attempt) => creations.attempt(attempt, scope)
        ).pipe(Effect.tap((session) => warnOfIgnored(session, ignoredSettings(payload, session))))
      const listEvents = (id: string, options: ListEventsOptions = {}) =>
        Effect.map(
          call.repeatable("Sessions.listEvents", api.listEvents({ params: { id }, query: options })),
          ({ events }) => events
        )
      const list = ({ agent, status }: ListSessionsOptions = {}) =>
        Effect.map(
          call.repeatable("Sessions.list", api.list({ query: { agent } })),
          ({ sessions }) => sessions.filter((session) => status === undefined || session.status === status)
        )

      const handleOf = (known: Known, options?: SessionHandleOptions) =>
        SessionHandle.make(
          { exec, files, gates, messages, resume, sessions: service, stop, usage, workspaces },
          known,
          options
        )

      /**
       * A session whose sandbox is as it was asked for. One that is not ends when the next is there: its end would refill
       * what the server keeps ready, of which the next would be given.
       */
      const createFresh = (
        payload: CreateSessionRequest,
        scope: Scope.Scope,
        tries: number,
        endLast: Effect.Effect<void> | undefined = undefined
      ): Effect.Effect<Session, AshError> =>
        Effect.gen(function*() {
          const own = yield* Scope.fork(scope)
          const session = yield* Effect.catchReason(
            createIn(payload, own),
            "AshError",
            "AtCapacity",
            (_, error) => endLast === undefined ? Effect.fail(error) : Effect.andThen(endLast, createIn(payload, own))
          )
          if (endLast !== undefined) yield* endLast
          const ignored = ignoredSettings(payload, session)
          if (ignored.length === 0) return session
          const end = Scope.close(own, Exit.void)
          if (tries > 1) return yield* createFresh(payload, scope, tries - 1, end)
          yield* end
          return yield* settingsIgnored(session, ignored)
        })

      const open = (payload: CreateSessionRequest, options: OpenSessionOptions, scope: Scope.Scope) =>
        Effect.gen(function*() {
          const { label, requireFreshSandbox = false } = options
          if (label !== undefined) yield* checkLabel("Sessions.open", label)
          yield* call.session
          const session = yield* requireFreshSandbox
            ? createFresh(payload, scope, freshTries)
            : createIn(payload, scope)
          const { id } = session
          const gate = yield* gates.use(id)
          gate.lastSequence = 0
          gate.usageBefore = nothingBefore
          let isClosed = false
          yield* Effect.addFinalizer(() =>
            Effect.sync(() => {
              isClosed = true
              Gated.endGuestOf(gate, cutOff(id))
              gate.fence = undefined
              gate.halted = undefined
            })
          )
          if (label !== undefined) {
            yield* attachments.upload(id, { filename: label, content: label, mimeType: labelType })
          }
          return handleOf({
            id,
            ignoredSettings: ignoredSettings(payload, session),
            after: 0,
            isClosed: () => isClosed
          }, options)
        }).pipe(Effect.provideService(Scope.Scope, scope), Effect.mapError(within("Sessions.open")))

      const pause = (id: string) => Effect.map(call.once("Sessions.pause", api.pause({ params: { id } })), unwrap)
      const resume = (id: string) =>
        Effect.map(call.repeatable("Sessions.resume", api.resume({ params: { id } }), startsSandbox), unwrap)
      const stop = (id: string) => Effect.map(call.once("Sessions.stop", api.stop({ params: { id } })), unwrap)

      const exec = Effect.fnUntraced(function*(id: string, command: string, { timeout }: ExecOptions = {}) {
        const limit = timeout === undefined ? undefined : yield* readDuration("Sessions.exec", "timeout", timeout)
        const control = yield* TurnControl
        return yield* call.once(
          "Sessions.exec",
          control.attempt(api.exec({
            params: { id },
            payload: { command, timeout: limit === undefined ? undefined : Duration.toMillis(limit) }
          })),
          { fixed: Duration.sum(limit ?? Duration.seconds(30), Duration.seconds(10)) }
        )
      }, Effect.catchReason("AshError", "ServerFailure", (reason) => Effect.fail(explainExec(reason))))

      const service = Sessions.of({
        scoped: (session) =>
          Creations.inOwnScope(
            (scope) =>
              Effect.andThen(call.session, createIn(session, scope)).pipe(
                Effect.provideService(Scope.Scope, scope),
                Effect.mapError(renamed("Sessions.scoped"))
              ),
            childScope
          ),
        open: (session, options = {}) => Creations.inOwnScope((scope) => open(session, options, scope), childScope),
        attach: (id, { after, ...options } = {}) =>
          handleOf({ id, ignoredSettings: [], after, isClosed: () => false }, options),
        create: (session) => Creations.inOwnScope((scope) => createIn(session, scope)),
        list,
        listPage: (options = {}) =>
          Effect.flatMap(
            call.repeatable("Sessions.listPage", hosted.listSessions({ query: { ...options, includeTotal: true } })),
            ({ sessions, total }) => typeof total === "number" ? Effect.succeed({ sessions, total }) : hasNoPages
          ),
        get: (id) => Effect.map(call.repeatable("Sessions.get", api.get({ params: { id } })), unwrap),
        updateConfig: (id, payload) =>
          Effect.map(call.repeatable("Sessions.updateConfig", api.updateConfig({ params: { id }, payload })), unwrap),
        pause: (id) =>
          Effect.tap(pause(id), () =>
            gates.update(id, (gate) => {
              gate.halted = "paused"
            })),
        resume: (id) =>
          Effect.scoped(Effect.flatMap(gates.use(id), (gate) =>
            gate.restarting.withPermits(1)(Effect.suspend(() => {
              const { fence } = gate
              // As the handle would that has stopped it, with its workspace.
              if (fence?._tag === "Stopped") return Effect.map(fence.restart(gate), ({ session }) => session)
              return Effect.tap(resume(id), () =>
                Effect.sync(() => {
                  gate.halted = undefined
                  if (gate.fence?._tag === "Inactive") gate.fence = undefined
                }))
            })))).pipe(Effect.mapError(within("Sessions.resume"))),
        stop: (id) => halting(id, "stopped", "stopped", stop(id)),
        fork: (id) =>
          Creations.inOwnScope((scope) =>
            call.once(
              "Sessions.fork",
              Effect.map(api.fork({ params: { id } }), unwrap),
              startsSandbox,
              (attempt) => creations.attempt(attempt, scope)
            )
          ),
        end: endTold,
        exec: (id, command, options) =>
          Effect.flatMap(call.options("Sessions.exec"), ({ exclusive = true }) => {
            if (!exclusive) return exec(id, command, options)
            return Effect.scoped(Effect.flatMap(
              Gated.enterUnfenced(gates, "Sessions.exec", id, "command"),
              (guest) =>
                Gated.gatedCommand({ ...guest, operation: "Sessions.exec", sessionId: id }, exec(id, command, options))
            ))
          }),
        listEvents,
        events: (id, { type, ...paging } = {}) =>
          Stream.mapError(paginate((page) => listEvents(id, { ...page, type }), paging), renamed("Sessions.events")),
        tail: (id, { after = 0, every = "300 millis", type } = {}) =>
          Stream.unwrap(Effect.map(readDuration("Sessions.tail", "every", every), (every) =>
            // All kinds are asked for, or the end would not be seen.
            follow((page) => listEvents(id, page), { after, every, isLast: isEnd }).pipe(
              Stream.filter((event) => type === undefined || event.type === type)
            ))).pipe(Stream.mapError(renamed("Sessions.tail"))),
        sweep: Effect.fnUntraced(function*({ agent, label, olderThan }) {
          yield* checkLabel("Sessions.sweep", label)
          const age = yield* checkAge(olderThan)
          const before = DateTime.subtractDuration(yield* DateTime.now, age)
          const left = (yield* list({ agent })).filter(({ id, lastActiveAt, status }) =>
            status !== "ended" && !isOpen(gates, id) && DateTime.isLessThan(lastActiveAt, before)
          )
          const swept = yield* Effect.forEach(left, ({ id }) =>
            attachments.list(id).pipe(
              Effect.flatMap((files) =>
                files.some(({ filename, mimeType }) => filename === label && mimeType === labelType)
                  ? Effect.asSome(endTold(id))
                  : Effect.succeedNone
              ),
              // Deleted meanwhile, with its agent.
              Effect.catchReason("AshError", "NotFound", () => Effect.succeedNone)
            ), { concurrency: 4 })
          return Arr.getSomes(swept)
        }, Effect.mapError(within("Sessions.sweep"))),
        logs: (id, options = {}) => call.repeatable("Sessions.logs", api.logs({ params: { id }, query: options }))
      })
      return service
    })
  )
}

const labelType = "application/vnd.effect-ash.label"

const checkLabel = (operation: string, label: string) =>
  /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}$/.test(label) ? Effect.void : Effect.fail(
    new AshError({
      operation,
      reason: new InvalidRequest({
        message: "label must be 1 to 100 letters, digits, dots, underscores or hyphens",
        field: "label"
      })
    })
  )

const checkAge = (olderThan: Duration.Input) =>
  Effect.filterOrElse(
    readDuration("Sessions.sweep", "olderThan", olderThan),
    Duration.isFinite,
    () => refuseOption("Sessions.sweep", "olderThan", "a finite duration")
  )

/** A scope of its own that closes with the caller's. */
const childScope = Effect.flatMap(Scope.Scope, (scope) => Scope.fork(scope))

/**
 * What a server says of a command that writes too much is said of any that it could not run (docs/ash.md 2.2, shape C).
 */
const explainExec = (reason: ServerFailure) =>
  new AshError({
    operation: "Sessions.exec",
    reason: reason.message.startsWith("Internal Server Error")
      ? new ServerFailure({ ...reason, message: `${reason.message}; so ends a command that writes more than 10 MiB` })
      : reason
  })

const freshTries = 3

/** What a sandbox that was made before its session does not know (docs/ash.md 5.3). */
const sandboxSettings = ["systemPrompt", "extraEnv", "credentialId", "mcpServers", "permissionMode"] as const

/** The settings of a session that its sandbox ignores: one made for it has its id, one that was made before has not. */
const ignoredSettings = (request: CreateSessionRequest, { id, sandboxId }: Session): ReadonlyArray<string> =>
  sandboxId === id ? [] : sandboxSettings.filter((setting) => request[setting] !== undefined)

const describeIgnored = (id: string, settings: ReadonlyArray<string>) =>
  `the session ${id} got a sandbox that was made before it, which ignores ${settings.join(", ")}, and may have the ` +
  "environment of another session"

const warnOfIgnored = ({ id }: Session, settings: ReadonlyArray<string>) =>
  settings.length === 0 ? Effect.void : Effect.logWarning(describeIgnored(id, settings))

const settingsIgnored = ({ id }: Session, settings: ReadonlyArray<string>) =>
  Effect.fail(
    new AshError({
      operation: "Sessions.open",
      reason: new SettingsIgnored({
        message: `${describeIgnored(id, settings)}; it is ended, as are those before it`,
        sessionId: id,
        settings
      })
    })
  )

const isEnd = ({ data }: SessionEvent) => data._tag === "Lifecycle" && data.action === "ended"

const hasNoPages = Effect.fail(
  new AshError({
    operation: "Sessions.listPage",
    reason: new NotSupported({ message: "this server lists all sessions at once; only the hosted product has pages" })
  })
)

/** The install and start scripts of an agent may run for two minutes each before the server answers. */
const startsSandbox = { default: "5 minutes" } as const

const createsSession = { ...startsSandbox, rateLimit: "sessions" } as const
