/** What the options of requests must be. */
import * as Predicate from "effect/Predicate"
import { wrongHeader } from "../internal/request/connection.ts"
import { amount, anObject, count, duration, flag, optionsOf } from "../internal/request/options.ts"
import { turnRules } from "../internal/turn/turnLimits.ts"
import type { RequestOptionsInput, ResponseLimits, RetryOptions, TelemetryOptions } from "./RequestOptions.ts"

export const requestRules = optionsOf<RequestOptionsInput>({
  ...turnRules,
  timeout: duration(),
  retry: optionsOf<RetryOptions>({
    times: amount(0),
    delay: duration(),
    maxDelay: duration(),
    maxRetryAfter: duration()
  }),
  maxEventSize: count(1),
  responseLimits: optionsOf<ResponseLimits>({ body: count(1), text: count(1) }),
  exclusive: flag,
  headers: (value, field) => Predicate.isObject(value) ? wrongHeader(value) : anObject(value, field),
  telemetry: optionsOf<TelemetryOptions>({ content: flag, metrics: flag })
})
