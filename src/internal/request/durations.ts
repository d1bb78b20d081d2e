/** Reads the durations and numbers of options, so that one that cannot be read is refused with its name. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { AshError } from "../../schema/AshError.ts"
import { InvalidRequest } from "../../schema/Reasons.ts"

const units: ReadonlySet<string> = new Set([
  "weeks",
  "days",
  "hours",
  "minutes",
  "seconds",
  "milliseconds",
  "microseconds",
  "nanoseconds"
])

const isNumber = (value: unknown) => typeof value !== "number" || !Number.isNaN(value)

/** Whether an input is a duration: `Duration` itself reads what is no number, and unknown units, as 0. */
const isMeant = (input: Duration.Input): boolean =>
  typeof input !== "object" || Duration.isDuration(input)
    ? isNumber(input)
    : input !== null && Object.values(input).every(isNumber) &&
      (Array.isArray(input) || (Object.keys(input).length > 0 && Object.keys(input).every((unit) => units.has(unit))))

/** Whether an input is a duration of 0 or more. */
export const isDuration = (input: Duration.Input): boolean =>
  isMeant(input) && Option.exists(Duration.fromInput(input), Duration.isGreaterThanOrEqualTo(Duration.zero))

export const refuseOption = (operation: string, field: string, expected: string) =>
  Effect.fail(
    new AshError({ operation, reason: new InvalidRequest({ message: `${field} must be ${expected}`, field }) })
  )

/** Refuses an option that is no integer of 1, or another least number, or more, where it is set. */
export const checkCount = (operation: string, field: string, count: number | undefined, least = 1) =>
  count === undefined || (Number.isSafeInteger(count) && count >= least)
    ? Effect.void
    : refuseOption(operation, field, `an integer of ${least} or more`)

export const refuseDuration = (operation: string, field: string) =>
  refuseOption(operation, field, "a duration of 0 or more, such as \"30 seconds\" or a number of milliseconds")

/** The duration that an option gives; refused where it is none, or negative. */
export const readDuration = (operation: string, field: string, input: Duration.Input) =>
  isDuration(input) ? Effect.succeed(Duration.fromInputUnsafe(input)) : refuseDuration(operation, field)
