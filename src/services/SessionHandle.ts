/** A session as a value: one turn or command at a time, and no turn behind one that was not heard to its end. */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { successful } from "../internal/brokenTurn.ts"
import { maxSize as maxBundleSize } from "../internal/bundle.ts"
import { sentAt } from "../internal/failures.ts"
import * as Gated from "../internal/gated.ts"
import { messageOf, renamed, within } from "../internal/operations.ts"
import { paginate, type PagingOptions } from "../internal/paging.ts"
import { type Asked, type Outcome, reconcile, saidOf } from "../internal/reconcile.ts"
import { OnResponse } from "../internal/responses.ts"
import * as TurnFold from "../internal/turnFold.ts"
import type { BusyOptions, Fence, Gate, Guest, Losable, SessionRestarted, TurnGates } from "../internal/turnGates.ts"
import { AshError, TimedOut, TurnCancelled, WrongState } from "../schema/AshError.ts"
import type { SessionFileList, WriteFileResult } from "../schema/File.ts"
import type { Content, SendMessageOptions, StoredMessage } from "../schema/Message.ts"
import type { ExecResult, Session } from "../schema/Session.ts"
import type { StreamEvent } from "../schema/StreamEvent.ts"
import type { Turn } from "../schema/Turn.ts"
import type { UsageStats } from "../schema/Usage.ts"
import * as FileDownload from "./FileDownload.ts"
import type { Messages } from "./Messages.ts"
import { type BufferOptions, RequestOptions, type TurnTimeouts } from "./RequestOptions.ts"
import type { NewSessionFile, SessionFiles, WriteFilesOptions } from "./SessionFiles.ts"
import type { ExecOptions, Sessions } from "./Sessions.ts"
import type { Usage } from "./Usage.ts"
import type { Workspaces } from "./Workspaces.ts"

export type { Asked, Outcome, SessionRestarted }

/** How a session is used. */
export interface SessionHandleOptions extends BusyOptions {
  /**
   * What to do where a turn or a command cannot begin: the turn before it was not heard to its end, the server has paused
   * the session, or its sandbox is gone.
   *
   * - `"none"`: fail, with `SessionFenced`, `WrongState`, or what the server says. The error says what to do.
   * - `"restart"`: resume the session, behind a stop where something may still run in it. The conversation's memory is lost
   *   then, the workspace as a rule too; the stream says so by `SessionRestarted`. A session that this program has paused
   *   or stopped is left as it is.
   *
   * @default "none"
   */
  readonly recovery?: "none" | "restart" | undefined
  /**
   * Whether a restart saves the workspace before and brings it back after: at most 100 MiB, without folders of
   * dependencies and caches and without `.env*`. Where there is nothing left to save, `SessionRestarted.notSaved` says so.
   *
   * @default false
   */
  readonly keepWorkspace?: boolean | undefined
  /**
   * What becomes of a turn whose stream is interrupted.
   *
   * - `"detach"`: it runs on, unheard, and fences the session. A server has no gentle way to cancel it.
   * - `"stop"`: the session is stopped, within 30 seconds, and resumed when it is next used. The agent's memory is lost.
   *
   * @default "detach"
   */
  readonly onInterrupt?: "detach" | "stop" | undefined
  /** The limits of the handle's turns, over those of the layer. */
  readonly timeouts?: TurnTimeouts | undefined
  /** What is read ahead of a slow consumer of the handle's turns, over what the layer says. */
  readonly buffer?: BufferOptions | undefined
}

/** The files of a session's workspace, as `SessionFiles` has them. */
export interface SessionHandleFiles {
  readonly list: (
    options?: { readonly includeHidden?: boolean | undefined }
  ) => Effect.Effect<SessionFileList, AshError>
  readonly read: (path: string) => Effect.Effect<FileDownload.FileDownload, AshError, Scope.Scope>
  readonly readText: (path: string) => Effect.Effect<string, AshError>
  readonly write: <E = never, R = never, E2 = never, R2 = never>(
    files: ReadonlyArray<NewSessionFile<E, R>>,
    options?: WriteFilesOptions<E2, R2>
  ) => Effect.Effect<ReadonlyArray<WriteFileResult>, AshError | E | E2, R | R2>
  readonly delete: (path: string) => Effect.Effect<void, AshError>
}

/**
 * A session to work with. In this program one turn or command runs in it at a time, whoever holds a handle to it; the next
 * one waits, or fails with `SessionBusy`. Other programs are not kept out.
 */
export interface SessionHandle {
  readonly id: string
  /**
   * Those settings that the session was opened with and its sandbox ignores, as it was made before the session: a
   * server keeps such sandboxes ready (docs/ash.md 5.3). Empty for a handle of `Sessions.attach`.
   */
  readonly ignoredSettings: ReadonlyArray<string>
  /**
   * Starts a turn and streams its events, as `Messages.send`. A turn that ends in any way but `Done` or an `error` of the
   * agent leaves the session fenced.
   */
  readonly stream: (
    content: Content,
    options?: SendMessageOptions
  ) => Stream.Stream<StreamEvent | SessionRestarted, AshError>
  /**
   * Runs a turn to its end and folds it into a `Turn`. One that ends in any other way than by success, as by a limit that is
   * reached, fails with `TurnUnsuccessful`, which has the turn.
   */
  readonly ask: (content: Content, options?: SendMessageOptions) => Effect.Effect<Turn, AshError>
  /** Runs a shell command, as `Sessions.exec`, when no turn runs. One that was not answered leaves the session fenced. */
  readonly exec: (command: string, options?: ExecOptions) => Effect.Effect<ExecResult, AshError>
  readonly files: SessionHandleFiles
  /** Streams the conversation, oldest first. */
  readonly history: (options?: PagingOptions) => Stream.Stream<StoredMessage, AshError>
  /** What the session used so far, as the server counts it: turns that were heard to their end. */
  readonly usage: () => Effect.Effect<UsageStats, AshError>
  /** Reads what the server has of the session. */
  readonly get: () => Effect.Effect<Session, AshError>
  /** Pauses the session. A running turn is not interrupted. */
  readonly pause: () => Effect.Effect<Session, AshError>
  /** Makes the session active again. */
  readonly resume: () => Effect.Effect<Session, AshError>
  /**
   * Ends whatever runs in the session, by stopping and resuming it: a server has no gentle way. The stream of a running
   * turn fails with `TurnCancelled`; the answer says what is lost. A command that runs is cut off, and fails. Two at once are
   * one restart. A turn of which nothing was sent, or that waits to be sent again, is just not sent: nothing is lost.
   */
  readonly cancel: () => Effect.Effect<SessionRestarted, AshError>
  /**
   * Makes the session usable again: stops and resumes one that is fenced or whose sandbox is gone, resumes one that is
   * paused, stopped or in error, and does nothing to one that is well.
   */
  readonly recover: () => Effect.Effect<Option.Option<SessionRestarted>, AshError>
  /** Why the session is not usable as it is, as far as this program has seen. */
  readonly fence: Effect.Effect<Option.Option<string>>
  /**
   * What became of a turn, by what the server keeps: of the one that is asked about, which another program may have sent,
   * or else of the last one of this handle that broke off, of its last one, of the last of the session. Nothing is sent to
   * the agent. Where turns of other programs ran at the same time, an end that may be theirs is not taken for its own.
   */
  readonly reconcile: (asked?: Asked) => Effect.Effect<Outcome, AshError>
}

interface Services {
  readonly sessions: Pick<Sessions["Service"], "get" | "listEvents" | "pause" | "resume">
  /** As those of `Sessions`, but past the gate, and without a word of it in the gate. */
  readonly exec: Sessions["Service"]["exec"]
  readonly resume: Sessions["Service"]["resume"]
  readonly stop: Sessions["Service"]["stop"]
  readonly files: SessionFiles["Service"]
  readonly messages: Pick<Messages["Service"], "list" | "send">
  readonly usage: Usage["Service"]
  readonly workspaces: Workspaces["Service"]
  readonly gates: TurnGates
}

/** What a handle knows of its session. */
export interface Known {
  readonly id: string
  readonly ignoredSettings: ReadonlyArray<string>
  /** The sequence number of the last message before the turns of this handle, where it is known. */
  readonly after: number | undefined
  /** Whether the scope that the session was opened in has closed. */
  readonly isClosed: () => boolean
}

/** The failure of a handle whose session has ended with its scope. */
const closed = (operation: string, sessionId: string) =>
  new AshError({
    operation,
    reason: new WrongState({
      message: `the session ${sessionId} has ended with the scope that it was opened in; nothing was sent`,
      status: "ended"
    })
  })

/** The failure of a turn whose session's scope closes while it runs. */
export const cutOff = (sessionId: string) =>
  new AshError({
    operation: "SessionHandle.stream",
    reason: new TurnCancelled({
      message: `the turn was cut off, as the scope that the session ${sessionId} was opened in has closed`,
      sessionId
    })
  })

/** How long the saving of a workspace may take. */
const saveAtMost = "5 minutes"

const saveTimedOut = new AshError({
  operation: "Workspaces.download",
  reason: new TimedOut({
    message: `the workspace was not saved within ${saveAtMost}; the session was not restarted`,
    timer: "attempt",
    duration: Duration.fromInputUnsafe(saveAtMost)
  })
})

/** A turn of this handle. */
interface Told {
  /** What was said, as reconciling compares it. */
  readonly said: string
  /** When it was sent, in milliseconds of this program's clock. */
  readonly sentAt: number
}

/** How the restart of a session is described. */
const describeLoss = (verb: string, what: ReadonlyArray<Losable>) =>
  what.length === 0 ? [] : [`its ${what.join(" and ")} ${verb} lost`]

/** Makes the handle of a session. */
export const make = (
  { exec, files, gates, messages, sessions, usage, workspaces, ...lifecycle }: Services,
  { after, id, ignoredSettings, isClosed }: Known,
  options: SessionHandleOptions = {}
): SessionHandle => {
  const { buffer, keepWorkspace = false, onInterrupt = "detach", recovery = "none", timeouts } = options
  /** The workspace, saved before the restart that a fence needs, and not yet brought back. */
  let saved: { readonly fence: Fence; readonly workspace: Uint8Array } | undefined

  const saveWorkspace = Effect.scoped(
    Effect.flatMap(workspaces.download(id), FileDownload.bytes("Workspaces.download", maxBundleSize))
  ).pipe(
    Effect.timeoutOrElse({ duration: saveAtMost, orElse: () => Effect.fail(saveTimedOut) })
  )

  /** Saves the workspace, where that is wanted; answers why it could not be, where there may be nothing left to save. */
  const save = Effect.fnUntraced(function*(fence: Fence) {
    if (!keepWorkspace || saved?.fence === fence) return undefined
    saved = undefined
    const result = yield* Effect.result(saveWorkspace)
    if (Result.isSuccess(result)) {
      saved = { fence, workspace: result.success }
      return undefined
    }
    const { failure } = result
    // A sandbox that lives must not be thrown away with what is in it.
    if (fence._tag === "Broken" && failure.reason._tag !== "NotFound") return yield* failure
    yield* Effect.logWarning(`the workspace of the session ${id} could not be saved: ${failure.message}`)
    return failure.message
  })

  /** A paused session cannot be stopped, though its turn goes on; one in another state has no sandbox that it could run in. */
  const stop: Effect.Effect<unknown, AshError> = Effect.catchReasons(
    Effect.asVoid(lifecycle.stop(id)),
    "AshError",
    {
      WrongState: (_, error) => stopped(error),
      InvalidRequest: (_, error) => stopped(error)
    }
  )

  /** What a stop that was refused comes to, whatever the server's words for it. */
  const stopped = (error: AshError): Effect.Effect<void, AshError> =>
    Effect.flatMap(sessions.get(id), ({ status }) =>
      status === "active"
        ? Effect.fail(error)
        : status === "paused"
        ? Effect.asVoid(Effect.andThen(lifecycle.resume(id), lifecycle.stop(id)))
        : Effect.void)

  /** Makes the session usable again. What was saved of the workspace is kept until it is back. */
  const restart = Effect.fnUntraced(function*(gate: Gate, fence: Fence) {
    const before = fence._tag === "Inactive" ? yield* sessions.get(id) : undefined
    const notSaved = yield* save(fence)
    if (fence._tag === "Broken" || fence._tag === "Gone") yield* stop
    const session = yield* lifecycle.resume(id)
    if (session.status === "ended") return yield* closed("Sessions.resume", id)
    const isSame = session.sandboxId === before?.sandboxId
    const kept = saved?.fence === fence ? saved.workspace : undefined
    if (kept !== undefined && !isSame) yield* workspaces.upload(id, kept)
    saved = undefined
    gate.fence = undefined
    gate.halted = undefined
    gate.lastSequence = undefined
    if (!isSame) gate.usageBefore = { ...gate.usageBefore, last: "none" }
    gate.restarts += 1
    const lost = isSame ? [] : ["memory"] as const
    // Servers resume into the workspace as it was, or into that of a new sandbox, and do not tell.
    const mayBeLost = isSame || kept !== undefined ? [] : ["workspace"] as const
    const losses = [...describeLoss("is", lost), ...describeLoss("may be", mayBeLost)]
    yield* Effect.logWarning(
      `the session ${id} was resumed${losses.length === 0 ? "" : `, and ${losses.join(", ")}`}: ${fence.why}`
    )
    gate.lastRestart = {
      _tag: "SessionRestarted",
      reason: fence.why,
      session,
      lost,
      mayBeLost,
      ...(notSaved === undefined ? {} : { notSaved })
    }
    return gate.lastRestart
  })

  /** Makes the session usable again; one that a handle has stopped as that handle would, with its workspace. */
  const mend = (gate: Gate, fence: Fence) => fence._tag === "Stopped" ? fence.restart(gate) : restart(gate, fence)

  /** Restarts the session if it has to be, and if nobody did so in the meantime. A restart that runs is waited for. */
  const ready = (operation: string, gate: Gate): Effect.Effect<Option.Option<SessionRestarted>, AshError> =>
    gate.restarting.withPermits(1)(Effect.suspend(() => {
      const { fence } = gate
      if (fence === undefined) return Effect.succeedNone
      if (fence._tag === "Stopped" || (recovery === "restart" && gate.halted === undefined)) {
        return Effect.asSome(mend(gate, fence))
      }
      return Gated.isShut(gate) ? Effect.fail(Gated.fenced(operation, id, fence)) : Effect.succeedNone
    })).pipe(Effect.mapError(within(operation)))

  /** Enters the session alone, in a state in which a turn or a command may begin. */
  const enter = Effect.fnUntraced(function*(
    operation: string,
    what: Guest["what"],
    onBroken?: (gate: Gate, hasFailed: boolean) => Effect.Effect<void>
  ) {
    if (isClosed()) return yield* closed(operation, id)
    const gate = yield* gates.enter(operation, id, options)
    const guest = yield* Gated.beGuest(gate, what, (hasFailed) => onBroken?.(gate, hasFailed) ?? Effect.void)
    const restarted = yield* Effect.raceFirst(ready(operation, gate), Deferred.await(guest.cancelled))
    const refusal = () => isClosed() ? closed(operation, id) : undefined
    return { restarted, guest: { gate, guest, operation, refusal, sessionId: id } }
  })

  /** Restarts a session in which nothing could begin, for another try; for each reason once. */
  const usableAgain = (
    { gate, guest, operation }: Gated.GuestOptions,
    error: AshError,
    tried: ReadonlyArray<Fence["_tag"]>
  ): Effect.Effect<readonly [Option.Option<SessionRestarted>, ReadonlyArray<Fence["_tag"]>], AshError> => {
    const { fence } = gate
    const isHopeless = fence === undefined || Gated.isShut(gate) || tried.includes(fence._tag)
    if (recovery === "none" || gate.halted !== undefined || isHopeless) return Effect.fail(error)
    guest.phase = "Waiting"
    return Effect.map(ready(operation, gate), (restarted) => [restarted, [...tried, fence._tag]])
  }

  /** The last turn of this handle, and the last one that broke off. */
  let latest: Told | undefined
  let broken: Told | undefined

  /** Stops the turn, and with it the session, which whoever uses it next resumes. */
  const stopTurn = (gate: Gate) =>
    gate.restarting.withPermits(1)(
      Effect.andThen(
        stop,
        Effect.sync(() => {
          const fence: Fence = {
            _tag: "Stopped",
            why: "its turn was interrupted",
            restart: (gate) => restart(gate, fence)
          }
          gate.fence = fence
        })
      )
    ).pipe(
      Effect.timeout("30 seconds"),
      Effect.catchCause((cause) =>
        Effect.logWarning(`the turn of the session ${id} could not be stopped, and may still run: ${messageOf(cause)}`)
      )
    )

  const streamAs = (
    operation: string,
    content: Content,
    sendOptions: SendMessageOptions | undefined
  ): Stream.Stream<StreamEvent | SessionRestarted, AshError> =>
    Stream.unwrap(Effect.gen(function*() {
      const clock = yield* Clock.Clock
      const { guest, restarted } = yield* enter(operation, "turn", (gate, hasFailed) =>
        Effect.suspend(() => {
          broken = latest
          return hasFailed || onInterrupt === "detach" ? Effect.void : stopTurn(gate)
        }))
      if (latest === undefined) guest.gate.lastSequence ??= after
      const onSend = () => {
        latest = { said: saidOf(content), sentAt: clock.currentTimeMillisUnsafe() }
      }
      const turn = Gated.gatedTurn({ ...guest, onSend }, messages.send(id, content, sendOptions)).pipe(
        Stream.updateService(
          RequestOptions,
          (own) => RequestOptions.merge({ ...own, exclusive: false })({ timeouts, buffer })
        )
      )
      const attempt = (
        restarted: Option.Option<SessionRestarted>,
        tried: ReadonlyArray<Fence["_tag"]>
      ): Stream.Stream<StreamEvent | SessionRestarted, AshError> => {
        const events = recovery === "none" ? turn : Stream.catch(turn, (error) =>
          Stream.unwrap(
            Effect.map(usableAgain(guest, error, tried), ([restarted, tried]) => attempt(restarted, tried))
          ))
        return Option.isNone(restarted) ? events : Stream.concat(Stream.succeed(restarted.value), events)
      }
      return attempt(restarted, [])
    }))

  const readMessages = Effect.gen(function*() {
    const clock = yield* Clock.Clock
    let clockAhead: number | undefined
    const observe = ({ headers }: HttpClientResponse.HttpClientResponse) => {
      clockAhead = Option.getOrUndefined(
        Option.map(sentAt(headers), (time) => time - clock.currentTimeMillisUnsafe())
      )
    }
    const rows = yield* Stream.runCollect(
      paginate((page) => Effect.provideService(messages.list(id, page), OnResponse, observe))
    )
    return { rows, clockAhead }
  })

  const cancel = Effect.scoped(Effect.flatMap(gates.use(id), (gate) => {
    const operation = "SessionHandle.cancel"
    const { guest, restarts } = gate
    const cancelled = (how: string) => Gated.cancelled(operation, id, how)
    if (isClosed()) return Effect.fail(closed(operation, id))
    if (guest?.phase === "Waiting") {
      Gated.cancelGuest(guest, cancelled("it was cancelled before it was sent"))
      if (!Gated.isShut(gate)) {
        return Effect.map(sessions.get(id), (session): SessionRestarted => ({
          _tag: "SessionRestarted",
          reason: "what was cancelled had not been sent, so that nothing had to be stopped",
          session,
          lost: [],
          mayBeLost: []
        }))
      }
    }
    return gate.restarting.withPermits(1)(Effect.gen(function*() {
      if (isClosed()) return yield* closed(operation, id)
      // What was to be cancelled is over since: another call has restarted the session.
      if (gate.restarts !== restarts && gate.lastRestart !== undefined) return gate.lastRestart
      const fence: Fence = { _tag: "Broken", why: "what ran in it was cancelled, and it is not yet there again" }
      gate.fence = fence
      if (guest !== undefined) Gated.cancelGuest(guest, cancelled(`it was cancelled, by stopping the session ${id}`))
      const restarted = yield* restart(gate, fence)
      if (guest !== undefined) guest.phase = "Over"
      return restarted
    }))
  }))

  /** What to do about a session that is not fenced: nothing, unless it is not active. */
  const inactive = Effect.map(
    sessions.get(id),
    ({ status }): Fence | undefined =>
      status === "active"
        ? undefined
        : { _tag: "Inactive", why: `the session was ${status === "error" ? "in error" : status}` }
  )

  const recover = Effect.scoped(Effect.gen(function*() {
    const operation = "SessionHandle.recover"
    if (isClosed()) return yield* closed(operation, id)
    const gate = yield* gates.enter(operation, id, options)
    return yield* gate.restarting.withPermits(1)(Effect.gen(function*() {
      const fence = gate.fence ?? (yield* inactive)
      return fence === undefined ? Option.none() : Option.some(yield* mend(gate, fence))
    }))
  }))

  const named = (method: string) => <A, R>(call: Effect.Effect<A, AshError, R>) =>
    Effect.mapError(call, renamed(`SessionHandle.${method}`))
  const inside = (method: string) => <A>(call: Effect.Effect<A, AshError>) =>
    Effect.mapError(call, within(`SessionHandle.${method}`))

  return {
    id,
    ignoredSettings,
    stream: (content, sendOptions) => streamAs("SessionHandle.stream", content, sendOptions),
    ask: (content, sendOptions) =>
      Effect.suspend(() => {
        const operation = "SessionHandle.ask"
        let state = TurnFold.initial()
        // What is kept for a failure's sake is the turn itself: it is folded once.
        const folding: TurnFold.Make = (options) => {
          state = TurnFold.initial(options)
          return state
        }
        return streamAs(operation, content, sendOptions).pipe(
          Stream.provideService(TurnFold.Folding, folding),
          Stream.runDrain,
          Effect.andThen(Effect.suspend(() => successful(operation, id, TurnFold.toTurn(state), state.redact)))
        )
      }),
    exec: (command, execOptions) =>
      Effect.scoped(Effect.gen(function*() {
        const { guest } = yield* enter("SessionHandle.exec", "command")
        const attempt = (tried: ReadonlyArray<Fence["_tag"]>): Effect.Effect<ExecResult, AshError> =>
          Effect.catch(
            Gated.gatedCommand(guest, exec(id, command, execOptions)),
            (error) => Effect.flatMap(usableAgain(guest, error, tried), ([, tried]) => attempt(tried))
          )
        return yield* attempt([])
      })),
    files: {
      list: (listOptions) => named("files.list")(files.list(id, listOptions)),
      read: (path) => named("files.read")(files.read(id, path)),
      readText: (path) => named("files.readText")(files.readText(id, path)),
      write: (newFiles, writeOptions) => files.write(id, newFiles, writeOptions),
      delete: (path) => named("files.delete")(files.delete(id, path))
    },
    history: (paging) =>
      Stream.mapError(paginate((page) => messages.list(id, page), paging), renamed("SessionHandle.history")),
    usage: () => named("usage")(usage.stats({ sessionId: id })),
    get: () => named("get")(sessions.get(id)),
    pause: () => named("pause")(sessions.pause(id)),
    resume: () => named("resume")(sessions.resume(id)),
    cancel: () => inside("cancel")(cancel),
    recover: () => inside("recover")(recover),
    fence: Effect.sync(() => {
      const fence = gates.find(id)?.fence
      return fence === undefined || fence._tag === "Stopped" ? Option.none() : Option.some(fence.why)
    }),
    reconcile: (asked) => {
      const told = broken ?? latest
      return inside("reconcile")(
        reconcile(
          { messages: readMessages, events: paginate((page) => sessions.listEvents(id, page)) },
          asked !== undefined
            ? { after: asked.after ?? 0, said: asked.content === undefined ? undefined : saidOf(asked.content) }
            : told !== undefined
            ? { after: after ?? 0, ...told }
            : { after: after ?? 0, said: undefined, isLast: true }
        )
      )
    }
  }
}
