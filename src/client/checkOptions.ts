/** Refuses options of requests that cannot be used, before a request is made with them. */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { wrongHeader } from "../internal/request/connection.ts"
import { checkCount, readDuration, refuseOption } from "../internal/request/durations.ts"
import type { BusyOptions } from "../internal/turn/turnGates.ts"
import { AshError } from "../schema/AshError.ts"
import type { RequestOptionsInput } from "./RequestOptions.ts"

const limitOf = (limit: Duration.Input | "off" | undefined) => limit === "off" ? undefined : limit

/** Refuses an option that cannot be read, with its name: of requests, or of a handle. */
export const checkOptions = (
  operation: string,
  options: RequestOptionsInput & BusyOptions
): Effect.Effect<void, AshError> =>
  Effect.gen(function*() {
    const { buffer, headers, maxEventSize, responseLimits, retry, timeout, timeouts, waitAtMost } = options
    const reason = wrongHeader(headers ?? {})
    if (reason !== undefined) return yield* Effect.fail(new AshError({ operation, reason }))
    const durations = {
      timeout,
      waitAtMost,
      "retry.delay": retry?.delay,
      "retry.maxDelay": retry?.maxDelay,
      "retry.maxRetryAfter": retry?.maxRetryAfter,
      "timeouts.headers": limitOf(timeouts?.headers),
      "timeouts.firstEvent": limitOf(timeouts?.firstEvent),
      "timeouts.idle": timeouts?.idle === "auto" ? undefined : limitOf(timeouts?.idle),
      "timeouts.done": limitOf(timeouts?.done),
      "timeouts.turn": limitOf(timeouts?.turn)
    }
    for (const [field, duration] of Object.entries(durations)) {
      if (duration !== undefined) yield* readDuration(operation, field, duration)
    }
    if (retry?.times !== undefined && !(retry.times >= 0)) {
      return yield* refuseOption(operation, "retry.times", "a number of 0 or more")
    }
    const counts = {
      "buffer.size": buffer?.size,
      maxEventSize,
      "responseLimits.body": responseLimits?.body,
      "responseLimits.text": responseLimits?.text
    }
    for (const [field, count] of Object.entries(counts)) yield* checkCount(operation, field, count)
  })
