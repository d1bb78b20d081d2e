/** Sessions: an agent at work in a sandbox of its own, from its creation to its end. */
import * as Arr from "effect/Array"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { follow, paginate, type PagingOptions } from "../internal/paging.ts"
import * as TurnGates from "../internal/turnGates.ts"
import { AshError, InvalidRequest, NotSupported, SettingsIgnored } from "../schema/AshError.ts"
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
import { SessionFiles } from "./SessionFiles.ts"
import * as SessionHandle from "./SessionHandle.ts"
import type { SessionHandleOptions } from "./SessionHandle.ts"
import { Usage } from "./Usage.ts"
import { Workspaces } from "./Workspaces.ts"

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
   * it fails with `SettingsIgnored`. Otherwise it is used, with a warning in the log and `ignoredSettings`.
   *
   * @default false
   */
  readonly requireFreshSandbox?: boolean | undefined
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

/** How a command is run. */
export interface ExecOptions {
  /** The limit of the command, 1 ms to 5 minutes. @default "30 seconds" */
  readonly timeout?: Duration.Input | undefined
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
   * where it fails, a warning is logged and the program's own outcome stands. A creation that is interrupted on its way
   * is awaited for as long, and beyond that in the background, and the session is ended as soon as it is there.
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
  readonly attach: (id: string, options?: SessionHandleOptions) => SessionHandle.SessionHandle
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
  /** Stops an active session: its sandbox is destroyed, and with it a running turn, whose stream falls silent. */
  readonly stop: (id: string) => Effect.Effect<Session, AshError>
  /** Makes a paused copy of a session with its messages and settings, not its files nor its memory. Resume it to use it. */
  readonly fork: (id: string) => Effect.Effect<Session, AshError>
  /** Ends a session for good. Its record stays readable. */
  readonly end: (id: string) => Effect.Effect<Session, AshError>
  /**
   * Runs a shell command in a session's workspace. An exit code other than 0 is a result, not a failure; so is a
   * time-out, as exit code 1. Not while a turn runs: it would end the turn's stream.
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
    AshApiClient | Attachments | Messages | RequestPolicy | SessionFiles | Usage | Workspaces
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
      const gates = TurnGates.make()
      const unwrap = ({ session }: { readonly session: Session }) => session

      const create = (payload: CreateSessionRequest) =>
        call.once("Sessions.create", api.create({ payload }), createsSession).pipe(
          Effect.map(unwrap),
          Effect.tap((session) => warnOfIgnored(session, ignoredSettings(payload, session)))
        )
      const listEvents = (id: string, options: ListEventsOptions = {}) =>
        Effect.map(
          call.repeatable("Sessions.listEvents", api.listEvents({ params: { id }, query: options })),
          ({ events }) => events
        )
      const end = (id: string) => Effect.map(call.repeatable("Sessions.end", api.end({ params: { id } })), unwrap)

      const scoped = (session: CreateSessionRequest) => Effect.andThen(call.session, openScoped(create(session), end))
      const list = ({ agent, status }: ListSessionsOptions = {}) =>
        Effect.map(
          call.repeatable("Sessions.list", api.list({ query: { agent } })),
          ({ sessions }) => sessions.filter((session) => status === undefined || session.status === status)
        )

      const handleOf = (known: SessionHandle.Known, options?: SessionHandleOptions) =>
        SessionHandle.make({ files, gates, messages, sessions: service, usage, workspaces }, known, options)

      /** Opens a session whose sandbox is as it was asked for, or as the last of so many tries found it. */
      const openFresh = (
        session: CreateSessionRequest,
        tries: number
      ): Effect.Effect<Session, AshError, Scope.Scope> =>
        Effect.gen(function*() {
          const scope = yield* Effect.flatMap(Scope.Scope, (scope) => Scope.fork(scope))
          const opened = yield* Effect.provideService(scoped(session), Scope.Scope, scope)
          const ignored = ignoredSettings(session, opened)
          if (ignored.length === 0) return opened
          yield* Scope.close(scope, Exit.void)
          return yield* tries > 1 ? openFresh(session, tries - 1) : settingsIgnored(opened, ignored)
        })

      const open = Effect.fnUntraced(function*(session: CreateSessionRequest, options: OpenSessionOptions) {
        const { label, requireFreshSandbox = false } = options
        if (label !== undefined) yield* checkLabel("Sessions.open", label)
        const opened = yield* requireFreshSandbox ? openFresh(session, freshTries) : scoped(session)
        const { id } = opened
        const gate = yield* gates.use(id)
        gate.lastSequence = 0
        let isClosed = false
        yield* Effect.addFinalizer(() =>
          Effect.sync(() => {
            isClosed = true
            if (gate.turn !== undefined) Deferred.doneUnsafe(gate.turn.cancelled, SessionHandle.cutOff(id))
            gate.fence = undefined
            gate.workspace = undefined
          })
        )
        if (label !== undefined) {
          yield* attachments.upload(id, { filename: label, content: label, mimeType: labelType })
        }
        return handleOf(
          { id, ignoredSettings: ignoredSettings(session, opened), isClosed: () => isClosed },
          options
        )
      })

      const service = Sessions.of({
        scoped,
        open: (session, options = {}) => open(session, options),
        attach: (id, options) => handleOf({ id, ignoredSettings: [], isClosed: () => false }, options),
        create,
        list,
        listPage: (options = {}) =>
          Effect.flatMap(
            call.repeatable("Sessions.listPage", hosted.listSessions({ query: { ...options, includeTotal: true } })),
            ({ sessions, total }) => typeof total === "number" ? Effect.succeed({ sessions, total }) : hasNoPages
          ),
        get: (id) => Effect.map(call.repeatable("Sessions.get", api.get({ params: { id } })), unwrap),
        updateConfig: (id, payload) =>
          Effect.map(call.repeatable("Sessions.updateConfig", api.updateConfig({ params: { id }, payload })), unwrap),
        pause: (id) => Effect.map(call.once("Sessions.pause", api.pause({ params: { id } })), unwrap),
        resume: (id) =>
          Effect.map(call.repeatable("Sessions.resume", api.resume({ params: { id } }), startsSandbox), unwrap),
        stop: (id) => Effect.map(call.once("Sessions.stop", api.stop({ params: { id } })), unwrap),
        fork: (id) => Effect.map(call.once("Sessions.fork", api.fork({ params: { id } }), startsSandbox), unwrap),
        end,
        exec: (id, command, options = {}) => {
          const timeout = options.timeout === undefined ? undefined : Duration.fromInputUnsafe(options.timeout)
          return call.once(
            "Sessions.exec",
            api.exec({
              params: { id },
              payload: { command, timeout: timeout === undefined ? undefined : Duration.toMillis(timeout) }
            }),
            { least: Duration.sum(timeout ?? Duration.seconds(30), Duration.seconds(10)) }
          )
        },
        listEvents,
        events: (id, { type, ...paging } = {}) => paginate((page) => listEvents(id, { ...page, type }), paging),
        tail: (id, { after = 0, every = "300 millis", type } = {}) =>
          // All kinds are asked for, or the end would not be seen.
          follow((page) => listEvents(id, page), { after, every, isLast: isEnd }).pipe(
            Stream.filter((event) => type === undefined || event.type === type)
          ),
        sweep: Effect.fnUntraced(function*({ agent, label, olderThan }) {
          yield* checkLabel("Sessions.sweep", label)
          const age = yield* checkAge(olderThan)
          const before = DateTime.subtractDuration(yield* DateTime.now, age)
          const left = (yield* list({ agent })).filter(({ id, lastActiveAt, status }) =>
            status !== "ended" && !gates.isUsed(id) && DateTime.isLessThan(lastActiveAt, before)
          )
          const swept = yield* Effect.forEach(left, ({ id }) =>
            attachments.list(id).pipe(
              Effect.flatMap((files) =>
                files.some(({ filename, mimeType }) => filename === label && mimeType === labelType)
                  ? Effect.asSome(end(id))
                  : Effect.succeedNone
              ),
              // Deleted meanwhile, with its agent.
              Effect.catchReason("AshError", "NotFound", () => Effect.succeedNone)
            ), { concurrency: 4 })
          return Arr.getSomes(swept)
        }),
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

const checkAge = (olderThan: Duration.Input) => {
  const age = Duration.fromInput(olderThan)
  return Option.isSome(age) && Duration.isFinite(age.value) &&
      Duration.isGreaterThanOrEqualTo(age.value, Duration.zero) &&
      !Number.isNaN(olderThan)
    ? Effect.succeed(age.value)
    : Effect.fail(
      new AshError({
        operation: "Sessions.sweep",
        reason: new InvalidRequest({ message: "olderThan must be a finite duration of 0 or more", field: "olderThan" })
      })
    )
}

/** How many sessions are opened until one has a fresh sandbox. */
const freshTries = 3

/** What a sandbox that was made before its session does not know (contract 1.1, item 2). */
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

const grace = Duration.seconds(10)

const openScoped = Effect.fnUntraced(function*(
  create: Effect.Effect<Session, AshError>,
  end: (id: string) => Effect.Effect<Session, AshError>
): Effect.fn.Return<Session, AshError, Scope.Scope> {
  const scope = yield* Scope.Scope
  const finish = ({ id }: Session) =>
    end(id).pipe(
      Effect.timeout(grace),
      Effect.catchCause((cause) => Effect.logWarning(`the session ${id} could not be ended`, cause)),
      Effect.asVoid
    )
  return yield* Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      // In a fiber of its own: an interruption cannot tell whether the server has created the session by then.
      const creation = yield* Effect.forkDetach(create)
      const session = yield* restore(Fiber.join(creation)).pipe(Effect.onInterrupt(() => abandon(creation, finish)))
      yield* Scope.addFinalizer(scope, finish(session))
      return session
    })
  )
})

const abandon = Effect.fnUntraced(function*(
  creation: Fiber.Fiber<Session, AshError>,
  finish: (session: Session) => Effect.Effect<void>
) {
  const cleanup = yield* Effect.forkDetach(
    Effect.flatMap(Fiber.await(creation), (exit) => exit._tag === "Success" ? finish(exit.value) : Effect.void)
  )
  const finished = yield* Effect.timeoutOption(Fiber.await(cleanup), grace)
  if (Option.isNone(finished)) {
    yield* Effect.logWarning("a session is still being created after its interruption; it is ended once it is there")
  }
})
