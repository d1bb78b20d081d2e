/** From the bytes of a turn to its events, and the rule by which a turn ends. */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import { AshError } from "../../schema/AshError.ts"
import type { ClaudeMessage } from "../../schema/ClaudeMessage.ts"
import type { HttpExchange } from "../../schema/HttpExchange.ts"
import { StreamTruncated, TurnFailed, TurnMixed, Undecodable } from "../../schema/Reasons.ts"
import {
  type DoneEvent,
  mayBeBlock,
  type StreamEvent,
  streamEventKind,
  type TurnErrorEvent
} from "../../schema/StreamEvent.ts"
import { printable, printableLines } from "../request/printable.ts"
import type { Redact } from "../request/secrets.ts"
import { hideTurn, whatWasWrong, withKnown } from "./brokenTurn.ts"
import { EventParser } from "./EventParser.ts"
import { initialProgress, type TurnProgress } from "./readAhead.ts"
import * as TurnFold from "./turnFold.ts"
import { turnLimits } from "./turnLimits.ts"

/** What an event has beside its data: the names of its fields, and the JSON around a long text. */
const envelope = 1024

const tooLarge = (operation: string, maxEventSize: number) =>
  new AshError({
    operation,
    reason: new Undecodable({ message: `an event of the stream is larger than ${maxEventSize} characters` })
  })

/** Events in a batch, unless a single piece of the stream has more. */
const batchSize = 256

/**
 * Decodes the bytes of an event stream, in one step for each batch that arrives. Comments and `retry` lines are passed
 * over; an event that the end of the stream cuts off is none.
 */
export const decodeEvents =
  (operation: string, maxEventSize = turnLimits({}).maxEventSize) =>
  <E, R>(bytes: Stream.Stream<Uint8Array, E, R>): Stream.Stream<StreamEvent, AshError | E, R> =>
    Stream.transformPull(bytes, (pull) =>
      Effect.sync(() => {
        let chunks: ReadonlyArray<Uint8Array> = []
        let position = 0
        let isTooLarge = false
        const parser = new EventParser(streamEventKind, maxEventSize + envelope)

        const next: Pull.Pull<Arr.NonEmptyReadonlyArray<StreamEvent>, AshError | E, void, R> = Effect.suspend(() => {
          // A batch at a time, however much has arrived: events that are soon let go of cost the collector nothing.
          for (
            let chunk = chunks[position];
            chunk !== undefined && !isTooLarge && parser.size < batchSize;
            chunk = chunks[position]
          ) {
            position += 1
            isTooLarge = !parser.feed(chunk)
          }
          const events = parser.take()
          if (Arr.isArrayNonEmpty(events)) return Effect.succeed(events)
          if (isTooLarge) return Effect.fail(tooLarge(operation, maxEventSize))
          // What is parsed is not kept while nothing arrives.
          chunks = []
          return Effect.flatMap(pull, (arrived) => {
            chunks = arrived
            position = 0
            return next
          })
        })
        return next
      }))

/**
 * How a server begins the error by which it lets go of a client that did not read. The turn goes on (docs/ash.md 4.5).
 */
const writeTimeout = "Client write timeout"

/**
 * An end that is not this turn's: that of a command has no session, and one that a block of the agent's forges may have
 * any (docs/ash.md 4.2). It is none, whatever follows; as a rule nothing does.
 */
const isForeignEnd = (event: StreamEvent, sessionId: string): event is DoneEvent =>
  event._tag === "Done" && typeof event.sessionId === "string" &&
  event.sessionId.toLowerCase() !== sessionId.toLowerCase()

const isTerminal = (event: StreamEvent) => event._tag === "Done" || event._tag === "TurnError"

const truncated = (operation: string, sessionId: string, how: string) =>
  new AshError({
    operation,
    reason: new StreamTruncated({
      message: `the stream ended before the turn did (${how}); the turn may still run, and what it says is lost here`,
      sessionId
    })
  })

const turnMixed = (operation: string, sessionId: string) =>
  new AshError({
    operation,
    reason: new TurnMixed({
      message:
        `another turn runs in the session ${sessionId}, of another program or from before: what arrives is of both`,
      sessionId
    })
  })

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
 * Hears the end of the connection, where it comes at once behind that of the turn, as from servers it does: one that is let go of
 * before cannot be used again. Nobody waits for one that does not come.
 */
const hearEnd = (progress: TurnProgress, times = patience): Effect.Effect<void> =>
  Effect.suspend(() =>
    progress.hasEnded || times === 0 ? Effect.void : Effect.andThen(Effect.yieldNow, hearEnd(progress, times - 1))
  )

/** Messages by which the agent goes on. Behind a result it does where something ran in the background. */
const isWork: ReadonlySet<ClaudeMessage["_tag"]> = new Set(["Assistant", "User", "Partial"])

/** What becomes of an `error` event: it fails the stream, or it is the last event. */
export type OnTurnError = "fail" | "emit"

export interface EndTurnOptions {
  readonly onTurnError?: OnTurnError
  readonly progress?: TurnProgress
  /** Takes secrets out of what the server says of a failure. */
  readonly redact?: Redact
  /** The exchange that the turn is the answer of. */
  readonly http?: HttpExchange | undefined
  /** Makes what the turn is folded into. */
  readonly makeFold?: TurnFold.Make
}

/**
 * Ends a turn at `done` or `error`, whatever the connection does then. An end without either is a failure. Each failure has
 * what was heard of the turn until then.
 */
export const endTurn = (
  operation: string,
  sessionId: string,
  {
    http,
    makeFold = TurnFold.foldForFailure,
    onTurnError = "fail",
    progress = initialProgress(),
    redact = identity
  }: EndTurnOptions = {}
) =>
<R>(events: Stream.Stream<StreamEvent, AshError, R>): Stream.Stream<StreamEvent, AshError, R> =>
  Stream.transformPull(events, (pull) =>
    Effect.sync(() => {
      const replaced: Array<StreamEvent> = []
      const heard = makeFold({
        redact,
        listener: {
          replaced: (kind, abandoned, text) => {
            replaced.push({ _tag: kind === "text" ? "TextReplaced" : "ThinkingReplaced", abandoned, text })
          }
        }
      })
      let last: StreamEvent | undefined
      let mixed: AshError | undefined

      const isFailure = (event: StreamEvent): event is TurnErrorEvent =>
        onTurnError === "fail" && event._tag === "TurnError"
      const turnFailed = (error: string) =>
        error.startsWith(writeTimeout) ? truncated(operation, sessionId, error) : new AshError({
          operation,
          reason: new TurnFailed({
            message: `the turn failed: ${error === "" ? "the server gives no reason" : printable(error)}${
              whatWasWrong(TurnFold.outcomeOf(heard.result), redact)
            }`,
            sessionId,
            error
          })
        })

      let endedBy = "the server closed it"
      const asUnknown = (event: StreamEvent): StreamEvent => {
        if (!isForeignEnd(event, sessionId)) return event
        endedBy = "by the end of a command, or of another turn, in the same session"
        return { _tag: "Unknown", event: "done", data: { sessionId: event.sessionId ?? null } }
      }

      let held: TurnErrorEvent | undefined
      /** The events up to the end of the turn, which becomes the last. An error that may be a block waits for the next. */
      const settle = (arrived: ReadonlyArray<StreamEvent>): ReadonlyArray<StreamEvent> => {
        const settled: Array<StreamEvent> = []
        for (const event of arrived.map(asUnknown)) {
          if (held !== undefined) {
            if (event._tag === "Done") last = held
            settled.push(last ?? { _tag: "Unknown", event: "error", data: held.raw ?? null })
            held = undefined
          }
          if (last !== undefined) break
          if (event._tag === "TurnError" && mayBeBlock(event)) {
            held = event
          } else {
            settled.push(event)
            if (isTerminal(event)) last = event
          }
        }
        return settled
      }

      /** Folds the events, up to those of another turn, and says between them what was taken back. */
      const pass = (events: ReadonlyArray<StreamEvent>): ReadonlyArray<StreamEvent> => {
        let passed: Array<StreamEvent> | undefined
        for (let index = 0; index < events.length; index++) {
          const event = events[index]
          if (event === undefined) break
          if (event._tag === "Message") {
            progress.messages += 1
            if (event.message._tag === "Result") progress.hasResult = true
            else if (isWork.has(event.message._tag)) progress.hasResult = false
          } else if (event._tag === "Partial") {
            progress.hasResult = false
          }
          TurnFold.addEvent(heard, event)
          if (heard.words.isMixed) {
            mixed = turnMixed(operation, sessionId)
            return passed ?? events.slice(0, index)
          }
          if (replaced.length > 0) {
            passed ??= events.slice(0, index)
            passed.push(...replaced.splice(0))
          }
          passed?.push(event)
        }
        return passed ?? events
      }

      const upstream = Pull.catchDone(pull, () => Effect.fail(truncated(operation, sessionId, endedBy)))
      /** Behind a failure there is `done`, or nothing more. */
      const behindError = pull.pipe(
        Effect.timeoutOrElse({ duration: blockPatience, orElse: Cause.done }),
        Effect.orElseSucceed(() => endBehindError)
      )

      const next: Pull.Pull<Arr.NonEmptyReadonlyArray<StreamEvent>, AshError, void, R> = Effect.suspend(() => {
        if (mixed !== undefined) return Effect.fail(mixed)
        if (last === undefined) {
          return Effect.flatMap(held === undefined ? upstream : behindError, (arrived) => {
            progress.hasBegun = true
            const batch = held !== undefined || arrived.some(isTerminal) ? settle(arrived) : arrived
            const kept = pass(last !== undefined && isFailure(last) ? batch.slice(0, -1) : batch)
            return Arr.isReadonlyArrayNonEmpty(kept) ? Effect.succeed(kept) : next
          })
        }
        const end = isFailure(last) ? turnFailed(printableLines(redact(last.error))) : Cause.Done()
        return Effect.andThen(hearEnd(progress), Effect.fail(end))
      })
      return Effect.mapError(next, (error) =>
        Cause.isDone(error) ? error : withKnown(
          error.reason._tag === "ConnectionLost" ? truncated(operation, sessionId, error.reason.message) : error,
          {
            http: error.reason.http ?? http,
            // Of turns that are mixed it is not known which one was read.
            ...(error.reason._tag === "TurnMixed" ? {} : { partialTurn: hideTurn(TurnFold.toTurn(heard)) })
          }
        ))
    }))
