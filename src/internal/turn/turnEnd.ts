/**
 * The rule by which a turn ends: at `done` or `error`, whatever the connection does then. An end without either is a
 * failure, and each failure has what was received of the turn until then.
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Predicate from "effect/Predicate"
import * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import { AshError } from "../../schema/AshError.ts"
import type { ClaudeMessage } from "../../schema/ClaudeMessage.ts"
import type { HttpExchange } from "../../schema/HttpExchange.ts"
import { StreamTruncated, TurnFailed, TurnMixed } from "../../schema/Reasons.ts"
import { type DoneEvent, mayBeBlock, type StreamEvent, type TurnErrorEvent } from "../../schema/StreamEvent.ts"
import { printable, printableLines } from "../request/printable.ts"
import type { Redact } from "../request/secrets.ts"
import { hideTurn, whatWasWrong, withKnown } from "./brokenTurn.ts"
import type { TurnAccount } from "./turnAccount.ts"
import * as TurnFold from "./turnFold.ts"
import { initialProgress, type TurnProgress } from "./turnProgress.ts"

/**
 * How a server begins the error by which it drops a client that did not read. The turn goes on (docs/ash.md 4.5).
 */
const writeTimeout = "Client write timeout"

/**
 * An end that is not this turn's: that of a command has no session, and one that a block of the agent's forges may have
 * any (docs/ash.md 4.2). It is none, whatever follows; as a rule nothing does.
 */
const isForeignEnd = (event: StreamEvent, sessionId: string): event is DoneEvent =>
  event._tag === "Done" && Predicate.isString(event.sessionId) &&
  event.sessionId.toLowerCase() !== sessionId.toLowerCase()

const isTerminal = (event: StreamEvent) => event._tag === "Done" || event._tag === "TurnError"

/**
 * How long an `error` that may be a block of the agent's waits for what comes behind it. Behind a block there is at
 * once the message that it is a part of (docs/ash.md 4.4), behind a failure the end of the stream, or `done`
 * (docs/ash.md 4.5).
 */
const blockPatience = Duration.seconds(5)
const endBehindError: Arr.NonEmptyReadonlyArray<StreamEvent> = [{ _tag: "Done" }]

/** Turns of the event loop. */
const patience = 3

/**
 * Reads the end of the connection, where it comes at once behind that of the turn, as it does from servers: a connection
 * that is closed before cannot be used again. An end that does not come is not waited for.
 */
const readEnd = (progress: TurnProgress, times = patience): Effect.Effect<void> =>
  Effect.suspend(() =>
    progress.hasEnded || times === 0 ? Effect.void : Effect.andThen(Effect.yieldNow, readEnd(progress, times - 1))
  )

/** Messages by which the agent goes on. Behind a result it does where something ran in the background. */
const isWork: ReadonlySet<ClaudeMessage["_tag"]> = new Set(["Assistant", "User", "Partial"])

/** What becomes of an `error` event: it fails the stream, or it is the last event. */
export type OnTurnError = "fail" | "emit"

export interface EndTurnOptions {
  readonly onTurnError?: OnTurnError
  readonly progress?: TurnProgress
  /** Takes secrets out of the server's text of a failure. */
  readonly redact?: Redact
  /** The exchange that the turn is the answer of. */
  readonly http?: HttpExchange | undefined
  /** Makes what the turn is folded into. */
  readonly makeFold?: TurnFold.Make
  /** Takes note of what the turn costs. */
  readonly account?: TurnAccount | undefined
}

/** The events of a turn up to its end. A class, as methods stay compiled when a turn ends, and closures do not. */
class TurnEnding {
  readonly #operation: string
  readonly #sessionId: string
  readonly #options: EndTurnOptions
  readonly #progress: TurnProgress
  readonly #redact: Redact
  readonly #fold: TurnFold.State
  /** What was taken back by the event that is folded. */
  #replaced: Array<StreamEvent> = []
  /** The last event of the turn, once it has arrived. */
  #last: StreamEvent | undefined
  /** An error that may be a block of the agent's. */
  #held: TurnErrorEvent | undefined
  #mixed: AshError | undefined
  #endedBy = "the server closed it"

  constructor(operation: string, sessionId: string, progress: TurnProgress, options: EndTurnOptions) {
    this.#operation = operation
    this.#sessionId = sessionId
    this.#options = options
    this.#progress = progress
    const { makeFold = TurnFold.foldForFailure, redact = identity } = options
    this.#redact = redact
    this.#fold = makeFold({
      redact,
      listener: {
        replaced: (kind, abandoned, text) => {
          this.#replaced.push({ _tag: kind === "text" ? "TextReplaced" : "ThinkingReplaced", abandoned, text })
        }
      }
    })
  }

  /** Whether the last event of the turn has arrived. */
  get hasEnded(): boolean {
    return this.#last !== undefined
  }

  /** Whether it shows by the next event what the last one was. */
  get isHolding(): boolean {
    return this.#held !== undefined
  }

  /** The failure of a turn that another one runs into, once it does. */
  get mixed(): AshError | undefined {
    return this.#mixed
  }

  /** Takes events; answers those of the turn, which may be none. */
  take(arrived: ReadonlyArray<StreamEvent>): ReadonlyArray<StreamEvent> {
    this.#progress.hasBegun = true
    const batch = this.isHolding || arrived.some(isTerminal) ? this.#settle(arrived) : arrived
    const passed = this.#pass(this.#hasFailed ? batch.slice(0, -1) : batch)
    this.#options.account?.receive(passed)
    return passed
  }

  /** How the stream ends behind the last event. */
  end(): AshError | Cause.Done {
    const last = this.#last
    return last?._tag === "TurnError" && this.#hasFailed
      ? this.#turnFailed(printableLines(this.#redact(last.error)))
      : Cause.Done()
  }

  /** The failure of a stream that ended before its turn. */
  truncated(how = this.#endedBy): AshError {
    return new AshError({
      operation: this.#operation,
      reason: new StreamTruncated({
        message:
          `the stream ended before the turn did (${how}); the turn may still run, and the rest of it is lost here. SessionHandle.reconcile reports what is known of it`,
        sessionId: this.#sessionId
      })
    })
  }

  /** A failure of the stream, with what is known of the turn. */
  failure(error: AshError): AshError {
    const { reason } = error
    return withKnown(reason._tag === "ConnectionLost" ? this.truncated(reason.message) : error, {
      http: reason.http ?? this.#options.http,
      // Of turns that are mixed it is not known which one was read.
      ...(reason._tag === "TurnMixed" ? {} : { partialTurn: hideTurn(TurnFold.toTurn(this.#fold)) })
    })
  }

  get #hasFailed(): boolean {
    return this.#options.onTurnError !== "emit" && this.#last?._tag === "TurnError"
  }

  #turnFailed(error: string): AshError {
    return error.startsWith(writeTimeout) ? this.truncated(error) : new AshError({
      operation: this.#operation,
      reason: new TurnFailed({
        message: `the turn failed: ${error === "" ? "the server gives no reason" : printable(error)}${
          whatWasWrong(TurnFold.outcomeOf(this.#fold.result), this.#redact)
        }`,
        sessionId: this.#sessionId,
        error
      })
    })
  }

  #turnMixed(): AshError {
    return new AshError({
      operation: this.#operation,
      reason: new TurnMixed({
        message: `another turn runs in the session ${this.#sessionId}, of another program or from before: ` +
          "what arrives is of both. Wait for its end, or use another session",
        sessionId: this.#sessionId
      })
    })
  }

  #asUnknown(event: StreamEvent): StreamEvent {
    if (!isForeignEnd(event, this.#sessionId)) return event
    this.#endedBy = "by the end of a command, or of another turn, in the same session"
    return { _tag: "Unknown", event: "done", data: { sessionId: event.sessionId ?? null } }
  }

  /** The events up to the end of the turn, which becomes the last. An error that may be a block waits for the next. */
  #settle(arrived: ReadonlyArray<StreamEvent>): ReadonlyArray<StreamEvent> {
    const settled: Array<StreamEvent> = []
    for (const given of arrived) {
      const event = this.#asUnknown(given)
      if (this.#held !== undefined) {
        if (event._tag === "Done") this.#last = this.#held
        settled.push(this.#last ?? { _tag: "Unknown", event: "error", data: this.#held.raw ?? null })
        this.#held = undefined
      }
      if (this.#last !== undefined) break
      if (event._tag === "TurnError" && mayBeBlock(event)) {
        this.#held = event
      } else {
        settled.push(event)
        if (isTerminal(event)) this.#last = event
      }
    }
    return settled
  }

  /** Notes whether the agent has given its result, and does not go on behind it. */
  #note(event: StreamEvent) {
    if (event._tag === "Message") {
      this.#progress.messages += 1
      if (event.message._tag === "Result") this.#progress.hasResult = true
      else if (isWork.has(event.message._tag)) this.#progress.hasResult = false
    } else if (event._tag === "Partial") {
      this.#progress.hasResult = false
    }
  }

  /** Folds the events, up to those of another turn, and puts between them what was taken back. */
  #pass(events: ReadonlyArray<StreamEvent>): ReadonlyArray<StreamEvent> {
    let passed: Array<StreamEvent> | undefined
    for (let index = 0; index < events.length; index++) {
      const event = events[index]
      if (event === undefined) break
      this.#note(event)
      TurnFold.addEvent(this.#fold, event)
      if (this.#fold.words.isMixed) {
        this.#mixed = this.#turnMixed()
        return passed ?? events.slice(0, index)
      }
      if (this.#replaced.length > 0) {
        passed ??= events.slice(0, index)
        passed.push(...this.#replaced.splice(0))
      }
      passed?.push(event)
    }
    return passed ?? events
  }
}

/** Ends a turn by the rule. */
export const endTurn =
  (operation: string, sessionId: string, options: EndTurnOptions = {}) =>
  <R>(events: Stream.Stream<StreamEvent, AshError, R>): Stream.Stream<StreamEvent, AshError, R> =>
    Stream.transformPull(events, (pull) =>
      Effect.sync(() => {
        const { progress = initialProgress() } = options
        const ending = new TurnEnding(operation, sessionId, progress, options)
        const upstream = Pull.catchDone(pull, () => Effect.fail(ending.truncated()))
        /** Behind a failure there is `done`, or nothing more. */
        const behindError = pull.pipe(
          Effect.timeoutOrElse({ duration: blockPatience, orElse: Cause.done }),
          Effect.orElseSucceed(() => endBehindError)
        )
        const next: Pull.Pull<Arr.NonEmptyReadonlyArray<StreamEvent>, AshError, void, R> = Effect.suspend(() => {
          if (ending.mixed !== undefined) return Effect.fail(ending.mixed)
          if (ending.hasEnded) return Effect.andThen(readEnd(progress), Effect.suspend(() => Effect.fail(ending.end())))
          return Effect.flatMap(ending.isHolding ? behindError : upstream, (arrived) => {
            const kept = ending.take(arrived)
            return Arr.isReadonlyArrayNonEmpty(kept) ? Effect.succeed(kept) : next
          })
        })
        return Effect.mapError(next, (error) => Cause.isDone(error) ? error : ending.failure(error))
      }))
