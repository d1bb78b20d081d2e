/** The bounds of a turn's stream, filled in. */
import * as Duration from "effect/Duration"
import { count, duration, oneOf, optionsOf } from "../request/options.ts"

/** The limits of a turn. Each has its word in the `timer` of `TimedOut`; `"off"` is none. */
export interface TurnTimeouts {
  /** From sending the message until the server answers. A server does so at once. @default the `timeout` of requests */
  readonly headers?: Duration.Input | "off" | undefined
  /** From then to the first event. A server sends `session_start` at once. @default "60 seconds" */
  readonly firstEvent?: Duration.Input | "off" | undefined
  /**
   * Between two pieces of the stream, be they events or comments. Servers send no heartbeat, and a tool may run for
   * minutes without a word, so that this can only be long; a dead sandbox falls silent and is noticed by nothing else.
   * `"auto"`: 2 minutes from the first comment on, which is taken for a heartbeat, and no limit before.
   *
   * @default "30 minutes"
   */
  readonly idle?: Duration.Input | "auto" | "off" | undefined
  /** From the turn's result, or the last message behind it, to its end. A server ends it at once. @default "30 seconds" */
  readonly done?: Duration.Input | "off" | undefined
  /** From sending the message to the end of the stream. @default "off" */
  readonly turn?: Duration.Input | "off" | undefined
}

/** What is read ahead of a consumer that is slower than the stream: a server cuts off a client that does not read for 30 seconds. */
export interface BufferOptions {
  /** Bytes. @default 16 MiB */
  readonly size?: number | undefined
  /** Let the server wait, as far as it does, or fail with `BufferFull`. @default "wait" */
  readonly whenFull?: "wait" | "fail" | undefined
}

export interface TurnLimitsInput {
  readonly timeout?: Duration.Input | undefined
  readonly timeouts?: TurnTimeouts | undefined
  readonly buffer?: BufferOptions | undefined
  readonly maxEventSize?: number | undefined
}

export interface TurnLimits extends ReturnType<typeof turnLimits> {}

const durationOf = (input: Duration.Input | "off"): Duration.Duration =>
  input === "off" ? Duration.infinity : Duration.fromInputUnsafe(input)

export const turnLimits = (
  { buffer = {}, maxEventSize = 67_108_864, timeout = "1 minute", timeouts = {} }: TurnLimitsInput
) => ({
  headers: durationOf(timeouts.headers ?? timeout),
  firstEvent: durationOf(timeouts.firstEvent ?? "1 minute"),
  idle: durationOf(timeouts.idle === "auto" ? "2 minutes" : timeouts.idle ?? "30 minutes"),
  /** Whether silence counts only once a heartbeat was received. */
  idleAfterHeartbeat: timeouts.idle === "auto",
  done: durationOf(timeouts.done ?? "30 seconds"),
  turn: durationOf(timeouts.turn ?? "off"),
  /** Bytes. */
  bufferSize: buffer.size ?? 16_777_216,
  whenFull: buffer.whenFull ?? "wait",
  /** Characters. */
  maxEventSize
})

const limit = duration("off")

/** What a layer, a call and a handle may set of turns. */
export const turnRules = {
  timeouts: optionsOf<TurnTimeouts>({
    headers: limit,
    firstEvent: limit,
    idle: duration("off", "auto"),
    done: limit,
    turn: limit
  }),
  buffer: optionsOf<BufferOptions>({ size: count(1), whenFull: oneOf("wait", "fail") })
}
