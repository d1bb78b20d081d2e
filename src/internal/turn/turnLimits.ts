/** The bounds of a turn's stream, filled in. */
import * as Duration from "effect/Duration"

/** As a caller gives them. The services document the fields and their defaults. */
export interface TurnLimitsInput {
  readonly timeout?: Duration.Input | undefined
  readonly timeouts?: {
    readonly headers?: Duration.Input | "off" | undefined
    readonly firstEvent?: Duration.Input | "off" | undefined
    readonly idle?: Duration.Input | "auto" | "off" | undefined
    readonly done?: Duration.Input | "off" | undefined
    readonly turn?: Duration.Input | "off" | undefined
  } | undefined
  readonly buffer?: {
    readonly size?: number | undefined
    readonly whenFull?: "wait" | "fail" | undefined
  } | undefined
  readonly maxEventSize?: number | undefined
}

export interface TurnLimits {
  readonly headers: Duration.Duration
  readonly firstEvent: Duration.Duration
  readonly idle: Duration.Duration
  /** Whether silence counts only once a heartbeat was received. */
  readonly idleAfterHeartbeat: boolean
  readonly done: Duration.Duration
  readonly turn: Duration.Duration
  /** Bytes. */
  readonly bufferSize: number
  readonly whenFull: "wait" | "fail"
  /** Characters. */
  readonly maxEventSize: number
}

const durationOf = (input: Duration.Input | "off"): Duration.Duration =>
  input === "off" ? Duration.infinity : Duration.fromInputUnsafe(input)

// Read once, not for each turn.
const halfAMinute = Duration.seconds(30)
const oneMinute = Duration.minutes(1)
const twoMinutes = Duration.minutes(2)
const halfAnHour = Duration.minutes(30)

export const turnLimits = (
  { buffer = {}, maxEventSize = 67_108_864, timeout = oneMinute, timeouts = {} }: TurnLimitsInput
): TurnLimits => ({
  headers: durationOf(timeouts.headers ?? timeout),
  firstEvent: durationOf(timeouts.firstEvent ?? oneMinute),
  idle: timeouts.idle === "auto" ? twoMinutes : durationOf(timeouts.idle ?? halfAnHour),
  idleAfterHeartbeat: timeouts.idle === "auto",
  done: durationOf(timeouts.done ?? halfAMinute),
  turn: durationOf(timeouts.turn ?? "off"),
  bufferSize: Math.max(1, buffer.size ?? 16_777_216),
  whenFull: buffer.whenFull ?? "wait",
  maxEventSize
})
