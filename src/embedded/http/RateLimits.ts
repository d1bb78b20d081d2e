/** Counts requests in fixed windows of 15 minutes (docs/ash.md 2.3). All come from one client address, this machine. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Settings } from "../EmbeddedOptions.ts"

const window = 15 * 60 * 1000

const limits = new Map([["POST /api/sessions", 20], ["POST /api/agents", 20]])

/** Where a request stands in its window. */
export interface RateLimitStatus {
  readonly headers: Readonly<Record<string, string>>
  /** Whether the request is over the limit. */
  readonly isExceeded: boolean
  /** Milliseconds until the window ends. */
  readonly rest: number
}

export class RateLimits extends Context.Service<RateLimits, {
  /** Counts a request to a route. */
  readonly count: (route: string) => Effect.Effect<RateLimitStatus>
}>()("effect-ash/embedded/http/RateLimits") {
  static readonly layer: Layer.Layer<RateLimits, never, Settings> = Layer.effect(
    RateLimits,
    Effect.gen(function*() {
      const { rateLimits } = yield* Settings
      const windows = new Map<string, { readonly end: number; readonly count: number }>()
      return RateLimits.of({
        count: (route) =>
          Effect.map(Clock.currentTimeMillis, (now) => {
            const bucket = limits.has(route) ? route : "others"
            const limit = limits.get(route) ?? 1500
            const current = windows.get(bucket)
            const { count, end } = current !== undefined && current.end > now
              ? current
              : { end: now + window, count: 0 }
            windows.set(bucket, { end, count: count + 1 })
            const rest = end - now
            return {
              // A server without limits sends no headers, as a client would wait where they report none left.
              headers: rateLimits
                ? {
                  "x-ratelimit-limit": String(limit),
                  "x-ratelimit-remaining": String(Math.max(0, limit - count - 1)),
                  "x-ratelimit-reset": String(Math.ceil(rest / 1000))
                }
                : {},
              isExceeded: rateLimits && count >= limit,
              rest
            }
          })
      })
    })
  )
}
