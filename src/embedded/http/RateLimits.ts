/** Counts requests in fixed windows of 15 minutes (docs/ash.md 2.3). All come from one client address, this machine. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { Settings } from "../EmbeddedOptions.ts"

const window = 15 * 60 * 1000

const limits = new Map([["POST /api/sessions", 20], ["POST /api/agents", 20]])

/** Counts the requests to routes, and answers where each stands in its window. */
export const make = Effect.map(Settings, ({ rateLimits }) => {
  const windows = new Map<string, { readonly end: number; readonly count: number }>()
  return (route: string) =>
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
        headers: rateLimits ?
          {
            "x-ratelimit-limit": String(limit),
            "x-ratelimit-remaining": String(Math.max(0, limit - count - 1)),
            "x-ratelimit-reset": String(Math.ceil(rest / 1000))
          } :
          {},
        isExceeded: rateLimits && count >= limit,
        /** Milliseconds until the window ends. */
        rest
      }
    })
})
