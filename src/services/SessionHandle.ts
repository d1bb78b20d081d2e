/** A session as a value: one turn or command at a time, and no turn behind one whose stream was not read completely. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { renamed, within } from "../internal/request/operations.ts"
import type { PagingOptions } from "../internal/request/paging.ts"
import type { SessionRestarted } from "../internal/turn/gate.ts"
import { makeBudget, type Spent } from "../internal/turn/ledger.ts"
import type { ReconcileOutcome, ReconcileQuery } from "../internal/turn/reconcile.ts"
import type { AshError } from "../schema/AshError.ts"
import type { MessageContent, SendMessageOptions, StoredMessage } from "../schema/Message.ts"
import type { ExecResult } from "../schema/Session.ts"
import type { StreamEvent } from "../schema/StreamEvent.ts"
import type { Turn } from "../schema/Turn.ts"
import type { UsageStats } from "../schema/Usage.ts"
import type { ListMessagesOptions } from "./Messages.ts"
import * as HandleCancel from "./session/handleCancel.ts"
import {
  attachmentsOf,
  filesOf,
  named,
  type SessionHandleAttachments,
  type SessionHandleFiles,
  type SessionHandleWorkspace,
  workspaceOf
} from "./session/handleFiles.ts"
import { outcome } from "./session/handleReconcile.ts"
import type {
  ExecOptions,
  HandleServices,
  HandleState,
  KnownSession,
  SessionHandleOptions
} from "./session/handleState.ts"
import * as HandleTurn from "./session/handleTurn.ts"
import { type Prompt, type Prompts, type PromptWithOptions, turns } from "./session/handleTurns.ts"
import type { SessionMethods } from "./session/sessionMethods.ts"
import { askAs, type AskAsOptions, type TypedAnswer } from "./session/typedAnswer.ts"

export type {
  AskAsOptions,
  Prompt,
  Prompts,
  PromptWithOptions,
  ReconcileOutcome,
  ReconcileQuery,
  SessionHandleAttachments,
  SessionHandleFiles,
  SessionHandleOptions,
  SessionHandleWorkspace,
  SessionRestarted,
  TypedAnswer
}

/**
 * A session to work with. In this program one turn or command runs in it at a time, of all handles to it; the next one
 * waits, or fails with `SessionBusy`. Other programs are not kept out.
 */
export interface SessionHandle extends SessionMethods<[]> {
  /** The session's id. */
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
    content: MessageContent,
    options?: SendMessageOptions
  ) => Stream.Stream<StreamEvent | SessionRestarted, AshError>
  /**
   * Runs a turn until it ends and folds it into a `Turn`. One that ends in any other way than by success, as by a limit that is
   * reached, fails with `TurnUnsuccessful`, which has the turn.
   */
  readonly ask: (content: MessageContent, options?: SendMessageOptions) => Effect.Effect<Turn, AshError>
  /**
   * Runs a turn until it ends as `ask` does, and decodes its answer by a schema. An answer that is absent or does not match is
   * asked for again in the same session, `retries` times; then it fails with `AnswerInvalid`. A schema that cannot be
   * expressed fails with `InvalidRequest`, before anything is sent. docs/typed-answers.md has what is sent of each schema.
   *
   * **Example**
   *
   * ```ts
   * import { Effect, Schema } from "effect"
   * import type { SessionHandle } from "effect-ash"
   *
   * const Person = Schema.Struct({ name: Schema.String, born: Schema.Int.annotate({ description: "the year" }) })
   *
   * const find = Effect.fn(function*(session: SessionHandle, text: string) {
   *   const { value } = yield* session.askAs(Person, `Who is this text about? ${text}`, { maxBudgetUsd: 0.1 })
   *   return value.born
   * })
   * ```
   */
  readonly askAs: <S extends Schema.Constraint>(
    schema: S,
    content: MessageContent,
    options?: AskAsOptions
  ) => Effect.Effect<TypedAnswer<S["Type"]>, AshError, S["DecodingServices"]>
  /**
   * Runs a turn for each prompt, in their order and one at a time, as `ask`, each when the one before is taken from the
   * stream. A prompt that cannot be had, or a turn that fails, fails the stream behind the turns before it.
   */
  readonly turns: <E = never, R = never>(
    prompts: Prompts<Prompt, E, R>,
    options?: SendMessageOptions
  ) => Stream.Stream<Turn, AshError | E, R>
  /** What the turns of this handle have cost so far, by the vendor's estimates. Nothing is sent. */
  readonly spent: Effect.Effect<Spent>
  /** Runs a shell command, as `Sessions.exec`, when no turn runs. One that was not answered leaves the session fenced. */
  readonly exec: (command: string, options?: ExecOptions) => Effect.Effect<ExecResult, AshError>
  /** The files of the session's workspace. */
  readonly files: SessionHandleFiles
  /** The session's workspace as a whole. */
  readonly workspace: SessionHandleWorkspace
  /** The session's attachments. */
  readonly attachments: SessionHandleAttachments
  /** Lists stored messages, oldest first. A page may be stale while a turn runs. */
  readonly listMessages: (options?: ListMessagesOptions) => Effect.Effect<ReadonlyArray<StoredMessage>, AshError>
  /** Streams the whole conversation, oldest first, page by page. */
  readonly history: (options?: PagingOptions) => Stream.Stream<StoredMessage, AshError>
  /** What the session used so far, as the server counts it: turns whose streams were read completely. */
  readonly usage: () => Effect.Effect<UsageStats, AshError>
  /**
   * Ends whatever runs in the session, by stopping and resuming it: a server has no gentle way. Where nothing runs, it
   * does so as well, as another program may have sent something. The stream of a running turn fails with `TurnCancelled`;
   * the answer has what is lost. A command that runs is cut off, and fails. Two at once are one restart. A turn of which
   * nothing was sent, or that waits to be sent again, is just not sent: nothing is lost.
   */
  readonly cancel: () => Effect.Effect<SessionRestarted, AshError>
  /**
   * Makes the session usable again: stops and resumes one that is fenced or whose sandbox was seen to be gone, resumes one
   * that is paused, stopped or in error, and does nothing to one that is well.
   */
  readonly recover: () => Effect.Effect<Option.Option<SessionRestarted>, AshError>
  /** Why the session is not usable as it is, as far as this program has seen. */
  readonly fence: Effect.Effect<Option.Option<string>>
  /**
   * What became of a turn, by what the server keeps: of the one that is asked about, which another program may have sent,
   * or else of the last one of this handle that broke off, of its last one, of the last of the session. Nothing is sent to
   * the agent. Where turns of other programs ran at the same time, an end that may be theirs is not taken for its own.
   */
  readonly reconcile: (asked?: ReconcileQuery) => Effect.Effect<ReconcileOutcome, AshError>
}

const inside = (method: string) => <A>(call: Effect.Effect<A, AshError>) =>
  Effect.mapError(call, within(`SessionHandle.${method}`))

/** Makes the handle of a session. */
export const make = (
  services: HandleServices,
  known: KnownSession,
  options: SessionHandleOptions = {}
): SessionHandle => {
  const { attachments, files, gates, messages, sessions, usage, workspaces } = services
  const { id, ignoredSettings } = known
  const spending = makeBudget({})
  const before = { saved: undefined, latest: undefined, broken: undefined }
  const handle: HandleState = { ...known, services, options, spending, ...before }
  return {
    id,
    ignoredSettings,
    stream: (content, sendOptions) =>
      HandleTurn.stream(handle, { operation: "SessionHandle.stream", content, options: sendOptions }),
    ask: (content, sendOptions) =>
      HandleTurn.ask(handle, { operation: "SessionHandle.ask", content, options: sendOptions }),
    askAs: (schema, content, askOptions) => askAs(handle, schema, content, askOptions),
    turns: (prompts, sendOptions) => turns(handle, prompts, sendOptions),
    spent: spending.spent,
    exec: (command, execOptions) => HandleTurn.exec(handle, command, execOptions),
    files: filesOf(id, files),
    workspace: workspaceOf(id, workspaces),
    attachments: attachmentsOf(id, attachments),
    listMessages: (page) => named("listMessages")(messages.list(id, page)),
    history: (paging) => Stream.mapError(messages.history(id, paging), renamed("SessionHandle.history")),
    // What is no id, of a program without types, is no filter that is left out.
    usage: () => named("usage")(usage.stats({ sessionId: String(id) })),
    get: () => named("get")(sessions.get(id)),
    pause: () => named("pause")(sessions.pause(id)),
    resume: () => named("resume")(sessions.resume(id)),
    stop: () => named("stop")(sessions.stop(id)),
    end: () => named("end")(sessions.end(id)),
    fork: () => named("fork")(sessions.fork(id)),
    updateConfig: (config) => named("updateConfig")(sessions.updateConfig(id, config)),
    listEvents: (page) => named("listEvents")(sessions.listEvents(id, page)),
    events: (paging) => Stream.mapError(sessions.events(id, paging), renamed("SessionHandle.events")),
    tail: (tailOptions) => Stream.mapError(sessions.tail(id, tailOptions), renamed("SessionHandle.tail")),
    logs: (after) => named("logs")(sessions.logs(id, after)),
    cancel: () => inside("cancel")(HandleCancel.cancel(handle)),
    recover: () => inside("recover")(HandleCancel.recover(handle)),
    fence: Effect.sync(() => {
      const fence = gates.find(id)?.fence
      return fence === undefined || fence._tag === "Stopped" ? Option.none() : Option.some(fence.why)
    }),
    reconcile: (asked) => inside("reconcile")(outcome(handle, asked))
  }
}
