/** What the parts of a session's handle share. */
import type * as Duration from "effect/Duration"
import type { AshApiClient } from "../../client/AshApiClient.ts"
import type { BufferOptions, TurnTimeouts } from "../../client/RequestOptions.ts"
import type { TurnTransport } from "../../client/TurnTransport.ts"
import type { Fence } from "../../internal/turn/gate.ts"
import type { Budget, Budgets } from "../../internal/turn/ledger.ts"
import type { BusyOptions } from "../../internal/turn/turnGates.ts"
import type { AshError } from "../../schema/AshError.ts"
import type { Messages } from "../Messages.ts"
import type { SessionFiles } from "../SessionFiles.ts"
import type { Usage } from "../Usage.ts"
import type { Workspaces } from "../Workspaces.ts"
import type { lifecycleOf } from "./lifecycle.ts"
import type { readingOf } from "./reading.ts"
import type { SessionsParts } from "./sessionsParts.ts"

/** How a session is used. */
export interface SessionHandleOptions extends BusyOptions {
  /**
   * What to do where a turn or a command cannot begin: the stream of the turn before was cut off, the server has paused
   * the session, or its sandbox is gone.
   *
   * - `"none"`: fail, with `SessionFenced`, `WrongState`, or the server's own error. The message has what to do.
   * - `"restart"`: resume the session, behind a stop where something may still run in it. The conversation's memory is lost
   *   then, the workspace as a rule too; the stream has `SessionRestarted` then. A session that this program has paused
   *   or stopped is left as it is.
   *
   * @default "none"
   */
  readonly recovery?: "none" | "restart" | undefined
  /**
   * Whether a restart saves the workspace before and brings it back after: at most 100 MiB, without folders of
   * dependencies and caches and without `.env*`. Where there is nothing left to save, `SessionRestarted.notSaved` has the reason.
   *
   * @default false
   */
  readonly keepWorkspace?: boolean | undefined
  /**
   * What becomes of a turn whose stream is interrupted.
   *
   * - `"detach"`: it runs on without a reader, and fences the session. A server has no gentle way to cancel it.
   * - `"stop"`: the session is stopped, within 30 seconds, and resumed when it is next used. The agent's memory is lost.
   *
   * @default "detach"
   */
  readonly onInterrupt?: "detach" | "stop" | undefined
  /** The limits of the handle's turns, over those of the layer. */
  readonly timeouts?: TurnTimeouts | undefined
  /** What is read ahead of a slow consumer of the handle's turns, over the options of the layer. */
  readonly buffer?: BufferOptions | undefined
  /**
   * What the handle's turns may cost, beside the budget of the layer: one budget, or several that apply at once. A turn
   * that begins beyond one fails with `BudgetExhausted`.
   */
  readonly budget?: Budgets | undefined
}

/** How a session is used that is there already. */
export interface AttachSessionOptions extends SessionHandleOptions {
  /** The sequence number of the last message that is known of it, for `reconcile`. */
  readonly after?: number | undefined
  /** The name of its agent, for spans and metrics of its turns. */
  readonly agentName?: string | undefined
}

/** How a command is run. */
export interface ExecOptions {
  /** The limit of the command, 1 ms to 5 minutes. @default "30 seconds" */
  readonly timeout?: Duration.Input | undefined
}

export interface HandleServices extends SessionsParts {
  readonly sessions: ReturnType<typeof readingOf> & ReturnType<typeof lifecycleOf>
  readonly files: SessionFiles["Service"]
  readonly messages: Messages["Service"]
  readonly listMessages: AshApiClient["Service"]["messages"]["list"]
  readonly turns: TurnTransport["Service"]
  readonly usage: Usage["Service"]
  readonly workspaces: Workspaces["Service"]
}

export interface KnownSession {
  readonly id: string
  readonly agentName: string | undefined
  readonly ignoredSettings: ReadonlyArray<string>
  /** The sequence number of the last message before the turns of this handle, where it is known. */
  readonly after: number | undefined
  /** Why nothing can be sent: the scope that the session was opened in has closed, or the options cannot be used. */
  readonly refusal: (operation: string) => AshError | undefined
}

export interface SentTurn {
  /** Its content, as reconciling compares it. */
  readonly contentKey: string
  /** When it was sent, in milliseconds of this program's clock as it is set now. */
  readonly sentAt: () => number
  /** The sequence number of the last message that was stored before it, where it is known. */
  readonly lastSequence: number | undefined
}

export interface HandleState extends KnownSession {
  readonly services: HandleServices
  readonly options: SessionHandleOptions
  readonly spending: Budget
  /** The workspace, saved before the restart that a fence needs, and not yet brought back. */
  saved: { readonly fence: Fence; readonly workspace: Uint8Array } | undefined
  /** The last turn of the handle, and the last one that broke off. */
  latest: SentTurn | undefined
  broken: SentTurn | undefined
}
