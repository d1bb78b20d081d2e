/**
 * The rule by which a turn ends: at `done` or `error`, whatever the connection does then. An end without either is a
 * failure, and each failure has what was received of the turn until then.
 */
import * as Cause from "effect/Cause"
import * as Predicate from "effect/Predicate"
import type { AshError } from "../../schema/AshError.ts"
import type { ClaudeMessage } from "../../schema/ClaudeMessage.ts"
import { StreamTruncated, TurnFailed, TurnMixed } from "../../schema/Reasons.ts"
import { type DoneEvent, mayBeBlock, type StreamEvent, type TurnErrorEvent } from "../../schema/StreamEvent.ts"
import { failure } from "../request/operations.ts"
import { printable, printableLines } from "../request/printable.ts"
import type { Redact } from "../request/secrets.ts"
import { hideTurn, whatWasWrong, withKnown } from "./brokenTurn.ts"
import type { TurnAnswer, TurnSource } from "./turnControl.ts"
import * as TurnFold from "./turnFold.ts"

/** Whether a server drops by its error a client that did not read. The turn goes on (docs/ash.md 4.5). */
const dropsReader = (error: string) => error.startsWith("Client write timeout")

/**
 * An end that is not this turn's: that of a command has no session, and one that a block of the agent's forges may have
 * any (docs/ash.md 4.2). It is none, whatever follows; as a rule nothing does.
 */
const isForeignEnd = (event: StreamEvent, sessionId: string): event is DoneEvent =>
  event._tag === "Done" && Predicate.isString(event.sessionId) &&
  event.sessionId.toLowerCase() !== sessionId.toLowerCase()

const isTerminal = (event: StreamEvent) => event._tag === "Done" || event._tag === "TurnError"

/** Messages by which the agent goes on. Behind a result it does where something ran in the background. */
const isWork: ReadonlySet<ClaudeMessage["_tag"]> = new Set(["Assistant", "User", "Partial"])

/** The events of a turn up to its end. A class, as methods stay compiled when a turn ends, and closures do not. */
export class TurnEnding {
  readonly #source: TurnSource
  readonly #http: TurnAnswer["http"]
  readonly #redact: Redact
  readonly #fold: TurnFold.State
  /** What was taken back by the event that is folded. */
  #replaced: Array<StreamEvent> = []
  #last: StreamEvent | undefined
  /** An error of which the next event shows whether it is a block of the agent's. */
  held: TurnErrorEvent | undefined
  /** Whether the result has arrived, and nothing of the agent's behind it: what is missing is the end. */
  hasResult = false
  messages = 0
  /** The failure of a turn that another one runs into, once it does. */
  mixed: AshError | undefined
  #endedBy = "the server closed it"

  constructor(source: TurnSource, { http, redact }: TurnAnswer) {
    this.#source = source
    this.#http = http
    this.#redact = redact
    this.#fold = source.control.makeFold({
      redact,
      listener: {
        replaced: (kind, abandoned, text) => {
          this.#replaced.push({ _tag: kind === "text" ? "TextReplaced" : "ThinkingReplaced", abandoned, text })
        }
      }
    })
  }

  get hasEnded(): boolean {
    return this.#last !== undefined
  }

  take(arrived: ReadonlyArray<StreamEvent>): ReadonlyArray<StreamEvent> {
    const batch = this.held !== undefined || arrived.some(isTerminal) ? this.#settle(arrived) : arrived
    return this.#pass(this.#error === undefined ? batch : batch.slice(0, -1))
  }

  end(): AshError | Cause.Done {
    const error = this.#error
    return error === undefined ? Cause.Done() : this.#turnFailed(error)
  }

  truncated(how = this.#endedBy): AshError {
    return failure(this.#source.operation, StreamTruncated, {
      message:
        `the stream ended before the turn did (${how}); the turn may still run, and the rest of it is lost here. SessionHandle.reconcile reports what is known of it`,
      sessionId: this.#source.sessionId
    })
  }

  /** A failure of the stream, with what is known of the turn. */
  failure(error: AshError): AshError {
    const { reason } = error
    return withKnown(reason._tag === "ConnectionLost" ? this.truncated(reason.message) : error, {
      http: reason.http ?? this.#http?.(),
      // Of turns that are mixed it is not known which one was read.
      ...(reason._tag === "TurnMixed" ? {} : { partialTurn: hideTurn(TurnFold.toTurn(this.#fold)) })
    })
  }

  /** The error that the stream fails with; none where it is an event, as an error of the turn may be. */
  get #error(): string | undefined {
    const last = this.#last
    return last?._tag === "TurnError" && (this.#source.onTurnError !== "emit" || dropsReader(last.error))
      ? last.error
      : undefined
  }

  #turnFailed(words: string): AshError {
    const error = printableLines(this.#redact(words))
    const wrong = whatWasWrong(TurnFold.outcomeOf(this.#fold.result), this.#redact)
    return dropsReader(words) ? this.truncated(error) : failure(this.#source.operation, TurnFailed, {
      message: `the turn failed: ${error === "" ? "the server gives no reason" : printable(error)}${wrong}`,
      sessionId: this.#source.sessionId,
      error
    })
  }

  #turnMixed(): AshError {
    return failure(this.#source.operation, TurnMixed, {
      message: `another turn runs in the session ${this.#source.sessionId}, of another program or from before: ` +
        "what arrives is of both. Wait for its end, or use another session",
      sessionId: this.#source.sessionId
    })
  }

  #asUnknown(event: StreamEvent): StreamEvent {
    if (!isForeignEnd(event, this.#source.sessionId)) return event
    this.#endedBy = "by the end of a command, or of another turn, in the same session"
    return { _tag: "Unknown", event: "done", data: { sessionId: event.sessionId ?? null } }
  }

  /** The events up to the end of the turn, which becomes the last. An error that may be a block waits for the next. */
  #settle(arrived: ReadonlyArray<StreamEvent>): ReadonlyArray<StreamEvent> {
    const settled: Array<StreamEvent> = []
    for (const given of arrived) {
      const event = this.#asUnknown(given)
      if (this.held !== undefined) {
        if (event._tag === "Done") this.#last = this.held
        settled.push(this.#last ?? { _tag: "Unknown", event: "error", data: this.held.raw ?? null })
        this.held = undefined
      }
      if (this.#last !== undefined) break
      if (event._tag === "TurnError" && mayBeBlock(event)) {
        this.held = event
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
      this.messages += 1
      if (event.message._tag === "Result") this.hasResult = true
      else if (isWork.has(event.message._tag)) this.hasResult = false
    } else if (event._tag === "Partial") {
      this.hasResult = false
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
        this.mixed = this.#turnMixed()
        return passed ?? events.slice(0, index)
      }
      if (this.#replaced.length > 0) {
        passed ??= events.slice(0, index)
        passed.push(...this.#replaced.splice(0))
      }
      passed?.push(event)
    }
    this.#fold.words.endBatch()
    return passed ?? events
  }
}
