/** A session as a value: one turn or command at a time, and no turn behind one that was not heard to its end. */
import type * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { startedNothing, withKnown } from "../internal/brokenTurn.ts"
import { paginate, type PagingOptions } from "../internal/paging.ts"
import { TurnControl } from "../internal/turnControl.ts"
import * as TurnFold from "../internal/turnFold.ts"
import type { BusyOptions, Gate, SessionRestarted, TurnGates } from "../internal/turnGates.ts"
import { AshError, SessionFenced, TimedOut, TurnCancelled, WrongState } from "../schema/AshError.ts"
import type { SessionFileList, WriteFileResult } from "../schema/File.ts"
import type { Content, SendMessageOptions, StoredMessage, UserPrompt } from "../schema/Message.ts"
import type { ExecResult, Session } from "../schema/Session.ts"
import type { SessionEvent } from "../schema/SessionEvent.ts"
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

export type { SessionRestarted }

/** How a session is used. */
export interface SessionHandleOptions extends BusyOptions {
  /**
   * What to do before a turn where the one before it was not heard to its end.
   *
   * - `"none"`: fail with `SessionFenced`.
   * - `"restart"`: stop and resume the session. The conversation's memory is lost, the workspace as a rule too; the stream
   *   begins with `SessionRestarted`.
   *
   * @default "none"
   */
  readonly recovery?: "none" | "restart" | undefined
  /**
   * Whether a restart saves the workspace before and brings it back after: at most 100 MiB, without folders of
   * dependencies and caches and without `.env*`.
   *
   * @default false
   */
  readonly keepWorkspace?: boolean | undefined
  /**
   * What becomes of a turn whose stream is interrupted.
   *
   * - `"detach"`: it runs on, unheard, and fences the session. A server has no gentle way to cancel it.
   * - `"stop"`: the session is stopped and resumed, as by `cancel`, within 30 seconds.
   *
   * @default "detach"
   */
  readonly onInterrupt?: "detach" | "stop" | undefined
  /** The limits of the handle's turns, over those of the layer. */
  readonly timeouts?: TurnTimeouts | undefined
  /** What is read ahead of a slow consumer of the handle's turns, over what the layer says. */
  readonly buffer?: BufferOptions | undefined
}

/** What became of a turn, as far as the server keeps it. */
export type Outcome =
  | { readonly _tag: "Completed"; readonly turn: Turn }
  | {
    readonly _tag: "OutcomeUnknown"
    /** What the server kept of it: nothing that came after the connection was lost, nothing at all if it was never sent. */
    readonly messages: ReadonlyArray<StoredMessage>
    readonly events: ReadonlyArray<SessionEvent>
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
   * Those settings that the session was opened with and its sandbox ignores, as it was made before the session: a server
   * keeps such sandboxes ready (contract 1.1, item 2). Empty for a handle of `Sessions.attach`.
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
  /** Runs a turn to its end and folds it into a `Turn`. */
  readonly ask: (content: Content, options?: SendMessageOptions) => Effect.Effect<Turn, AshError>
  /** Runs a shell command, as `Sessions.exec`, when no turn runs. One that was not answered leaves the session fenced. */
  readonly exec: (command: string, options?: ExecOptions) => Effect.Effect<ExecResult, AshError>
  readonly files: SessionHandleFiles
  /** Streams the conversation, oldest first. */
  readonly history: (options?: PagingOptions) => Stream.Stream<StoredMessage, AshError>
  /** What the session used so far, as the server counts it: turns that were heard to their end. */
  readonly usage: Effect.Effect<UsageStats, AshError>
  /** Reads what the server has of the session. */
  readonly get: Effect.Effect<Session, AshError>
  /** Pauses the session. A running turn is not interrupted. */
  readonly pause: Effect.Effect<Session, AshError>
  /** Makes the session active again. */
  readonly resume: Effect.Effect<Session, AshError>
  /**
   * Ends whatever runs in the session, by stopping and resuming it: a server has no gentle way. The stream of a running
   * turn fails with `TurnCancelled`; the answer says what is lost. A command that runs is cut off, and fails. Two at once are
   * one restart.
   */
  readonly cancel: Effect.Effect<SessionRestarted, AshError>
  /** Stops and resumes a session that is fenced, and does nothing to one that is not. */
  readonly recover: Effect.Effect<Option.Option<SessionRestarted>, AshError>
  /** Why the next turn would fail with `SessionFenced`, if it would. */
  readonly fence: Effect.Effect<Option.Option<string>>
  /**
   * What became of the last turn of this handle that broke off, or else of its last turn, by what the server keeps behind the
   * last message before it; for a handle that had none, of the last turn of the session. Nothing is sent to the agent.
   */
  readonly reconcile: Effect.Effect<Outcome, AshError>
}

interface Services {
  readonly sessions: Pick<
    Sessions["Service"],
    "end" | "exec" | "get" | "listEvents" | "pause" | "resume" | "stop"
  >
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
  /** Whether the scope that the session was opened in has closed. */
  readonly isClosed: () => boolean
}

/**
 * The time after a command in which nothing else begins. Its end is told to whoever listens then: a turn would be ended
 * by it, and a command would be answered with its result. Servers were seen to need 50 ms to 80 ms.
 */
const quiet = 200_000_000n

const fenced = (operation: string, sessionId: string, why: string) =>
  new AshError({
    operation,
    reason: new SessionFenced({
      message:
        `the session ${sessionId} is fenced: ${why}. What is sent now would mix with that turn, which may still ` +
        "run. Recover the session by stop and resume (recover, or the option recovery), or use another one",
      sessionId
    })
  })

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

const cancelled = (operation: string, sessionId: string) =>
  new AshError({
    operation,
    reason: new TurnCancelled({ message: `the turn was cancelled, by stopping the session ${sessionId}`, sessionId })
  })

/** Servers store the answers of an agent and the result, each as a message (contract 3.6). */
const isStored = (event: StreamEvent) =>
  event._tag === "Message" && (event.message._tag === "Assistant" || event.message._tag === "Result")

/** The text of what was said, however a server was sent it and keeps it. */
const textOf = (content: Content | UserPrompt["content"]): string =>
  typeof content === "string"
    ? content
    : content.map((block) => typeof block === "string" ? block : "text" in block ? block.text : "").join("")

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

/** A turn: the last message before it, and the text of what was said in it. */
interface Told {
  readonly began: number
  readonly said: string
}

/** Makes the handle of a session. */
export const make = (
  { files, gates, messages, sessions, usage, workspaces }: Services,
  { id, ignoredSettings, isClosed }: Known,
  options: SessionHandleOptions = {}
): SessionHandle => {
  const { buffer, keepWorkspace = false, onInterrupt = "detach", recovery = "none", timeouts } = options

  const saveWorkspace = Effect.scoped(Effect.flatMap(workspaces.download(id), FileDownload.bytes)).pipe(
    // A session whose sandbox left nothing behind has nothing to save.
    Effect.catchReason("AshError", "NotFound", () => Effect.void),
    Effect.timeoutOrElse({ duration: saveAtMost, orElse: () => Effect.fail(saveTimedOut) })
  )

  /** A paused session cannot be stopped, though its turn goes on; one in another state has no sandbox that it could run in. */
  const stop = Effect.catchReason(
    Effect.asVoid(sessions.stop(id)),
    "AshError",
    "WrongState",
    ({ status }) =>
      status === "paused" ? Effect.asVoid(Effect.andThen(sessions.resume(id), sessions.stop(id))) : Effect.void
  )

  /** Stops and resumes the session. What was saved of the workspace stays in the gate until it is back. */
  const restart = Effect.fnUntraced(function*(gate: Gate, reason: string) {
    const saved = keepWorkspace && gate.workspace === undefined ? yield* saveWorkspace : undefined
    yield* stop
    // Not before: an agent that could not be stopped works on.
    gate.workspace ??= saved ?? undefined
    const session = yield* sessions.resume(id)
    const { workspace } = gate
    if (workspace !== undefined) yield* workspaces.upload(id, workspace)
    gate.workspace = undefined
    gate.fence = undefined
    gate.lastSequence = undefined
    gate.restarts += 1
    const lost = workspace === undefined ? ["memory", "workspace"] as const : ["memory"] as const
    yield* Effect.logWarning(
      `the session ${id} was stopped and resumed, and its agent's ${lost.join(" and ")} lost: ${reason}`
    )
    gate.lastRestart = { _tag: "SessionRestarted", reason, session, lost }
    return gate.lastRestart
  })

  /** Restarts the session if it is fenced, and if nobody did so in the meantime. */
  const restartIfFenced = (gate: Gate): Effect.Effect<Option.Option<SessionRestarted>, AshError> =>
    gate.restarting.withPermits(1)(
      Effect.suspend(() => gate.fence === undefined ? Effect.succeedNone : Effect.asSome(restart(gate, gate.fence)))
    )

  /** Enters the session alone, in a state in which a turn may begin. */
  const enter = Effect.fnUntraced(function*(operation: string) {
    if (isClosed()) return yield* closed(operation, id)
    const gate = yield* gates.enter(operation, id, options)
    if (isClosed()) return yield* closed(operation, id)
    if (recovery === "restart") return { gate, restarted: yield* restartIfFenced(gate) }
    // A restart that runs is waited for.
    const fence = yield* gate.restarting.withPermits(1)(Effect.sync(() => gate.fence))
    if (fence !== undefined) return yield* fenced(operation, id, fence)
    return { gate, restarted: Option.none<SessionRestarted>() }
  })

  const lastSequence = Effect.fnUntraced(function*(after: number) {
    const rows = yield* Stream.runCollect(paginate((page) => messages.list(id, page), { after }))
    return rows.at(-1)?.sequence ?? after
  })
  /** The last turn of this handle, and the last one that broke off. */
  let latest: Told | undefined
  let broken: Told | undefined

  const stopTurn = (gate: Gate) =>
    gate.restarting.withPermits(1)(restart(gate, "its turn was interrupted")).pipe(
      Effect.timeout("30 seconds"),
      Effect.catchCause((cause) => Effect.logWarning(`the turn of the session ${id} could not be stopped`, cause))
    )

  const stream: SessionHandle["stream"] = (content, sendOptions) =>
    Stream.unwrap(Effect.gen(function*() {
      const operation = "SessionHandle.stream"
      const { gate, restarted } = yield* enter(operation)
      const turn = { cancelled: Deferred.makeUnsafe<never, AshError>(), isOver: true }
      gate.turn = turn
      // Before the gate opens again, as scopes close from the last to the first.
      yield* Scope.addFinalizer(
        yield* Scope.Scope,
        Effect.suspend(() => {
          gate.turn = undefined
          if (turn.isOver) return Effect.void
          broken = latest
          if (gate.fence !== undefined) return Effect.void
          gate.fence = "its last turn was not heard to its end"
          return onInterrupt === "stop" ? stopTurn(gate) : Effect.void
        })
      )
      const begin = gate.lastSequence ?? (yield* lastSequence(latest?.began ?? 0))
      gate.lastSequence = begin
      let stored = 1

      /** Until the message goes out it is nobody's; from then on it may run. */
      const send = Effect.flatMap(Deferred.isDone(turn.cancelled), (isCancelled) => {
        if (isCancelled) return Deferred.await(turn.cancelled)
        if (isClosed()) return Effect.fail(closed(operation, id))
        if (gate.fence !== undefined) return Effect.fail(fenced(operation, id, gate.fence))
        latest = { began: begin, said: textOf(content) }
        turn.isOver = false
        return Effect.void
      })
      const control = { begin: send, abort: Deferred.await(turn.cancelled) }
      const heard = (batch: Arr.NonEmptyReadonlyArray<StreamEvent>) => {
        for (const event of batch) {
          if (isStored(event)) stored += 1
          if (event._tag === "Done") {
            turn.isOver = true
            gate.lastSequence = begin + stored
          }
        }
        return batch
      }
      const failed = (error: AshError) => {
        if (startedNothing(error)) {
          turn.isOver = true
        } else if (error.reason._tag === "TurnFailed") {
          turn.isOver = true
          gate.lastSequence = undefined
        } else if (!turn.isOver) {
          gate.fence ??= error.reason.message
        }
        return withKnown(error, { lastSequence: begin })
      }
      const events = messages.send(id, content, sendOptions).pipe(
        Stream.provideService(TurnControl, control),
        Stream.updateService(RequestOptions, (own) => RequestOptions.merge(own)({ timeouts, buffer })),
        Stream.mapArray(heard),
        Stream.mapError(failed)
      )
      return Option.isNone(restarted) ? events : Stream.concat(Stream.succeed(restarted.value), events)
    }))

  const withGate = <A>(
    operation: string,
    use: (gate: Gate) => Effect.Effect<A, AshError>
  ): Effect.Effect<A, AshError> => Effect.scoped(Effect.flatMap(enter(operation), ({ gate }) => use(gate)))

  const reconcile: SessionHandle["reconcile"] = Effect.gen(function*() {
    const asked = broken ?? latest
    const rows = yield* Stream.runCollect(paginate((page) => messages.list(id, page), { after: asked?.began ?? 0 }))
    const isPrompt = ({ content }: StoredMessage) => content._tag === "UserPrompt"
    // Other programs may have said something since; what this handle said is found by its text.
    const prompt = asked === undefined
      ? rows.findLastIndex(isPrompt)
      : rows.findIndex(({ content }) => content._tag === "UserPrompt" && textOf(content.content) === asked.said)
    if (prompt === -1) return { _tag: "OutcomeUnknown", messages: [], events: [] } as const
    const next = rows.findIndex((row, index) => index > prompt && isPrompt(row))
    const turn = rows.slice(prompt, next === -1 ? undefined : next)
    const contents = turn.map(({ content }) => content)
    if (contents.some(({ _tag }) => _tag === "Result")) {
      return { _tag: "Completed", turn: TurnFold.fromMessages(contents) } as const
    }
    const since = turn[0]?.createdAt.epochMilliseconds ?? 0
    const events = yield* Stream.runCollect(
      Stream.filter(
        paginate((page) => sessions.listEvents(id, page)),
        ({ createdAt }) => createdAt.epochMilliseconds >= since
      )
    )
    return { _tag: "OutcomeUnknown", messages: turn, events } as const
  })

  return {
    id,
    ignoredSettings,
    stream,
    ask: (content, sendOptions) => TurnFold.fold(stream(content, sendOptions)),
    exec: (command, execOptions) =>
      withGate("SessionHandle.exec", (gate) =>
        Effect.suspend(() => {
          const { restarts } = gate
          // A restart has ended the command, too.
          const fence = (why: string) =>
            Effect.sync(() => {
              if (gate.restarts === restarts) gate.fence = why
            })
          return sessions.exec(id, command, execOptions).pipe(
            Effect.tapError((error) => error.nothingHappened ? Effect.void : fence(error.reason.message)),
            Effect.onInterrupt(() => fence("a command was interrupted, and may still run"))
          )
        }).pipe(
          Effect.ensuring(Effect.map(Clock.currentTimeNanos, (now) => {
            gate.quietUntil = now + quiet
          }))
        )),
    files: {
      list: (listOptions) => files.list(id, listOptions),
      read: (path) => files.read(id, path),
      readText: (path) => files.readText(id, path),
      write: (newFiles, writeOptions) => files.write(id, newFiles, writeOptions),
      delete: (path) => files.delete(id, path)
    },
    history: (paging) => paginate((page) => messages.list(id, page), paging),
    usage: usage.stats({ sessionId: id }),
    get: sessions.get(id),
    pause: sessions.pause(id),
    resume: sessions.resume(id),
    cancel: Effect.scoped(Effect.flatMap(gates.use(id), (gate) => {
      const { restarts, turn } = gate
      return gate.restarting.withPermits(1)(Effect.gen(function*() {
        if (isClosed()) return yield* closed("SessionHandle.cancel", id)
        // What was to be cancelled is over since: another call has restarted the session.
        if (gate.restarts !== restarts && gate.lastRestart !== undefined) return gate.lastRestart
        gate.fence = "its turn was cancelled, and the session is not yet there again"
        if (turn !== undefined) Deferred.doneUnsafe(turn.cancelled, cancelled("SessionHandle.stream", id))
        const restarted = yield* restart(gate, "its turn was cancelled")
        if (turn !== undefined) turn.isOver = true
        return restarted
      }))
    })),
    recover: Effect.scoped(Effect.flatMap(
      Effect.suspend(() =>
        isClosed()
          ? Effect.fail(closed("SessionHandle.recover", id))
          : gates.enter("SessionHandle.recover", id, options)
      ),
      restartIfFenced
    )),
    fence: Effect.sync(() => Option.fromUndefinedOr(gates.fenceOf(id))),
    reconcile
  }
}
