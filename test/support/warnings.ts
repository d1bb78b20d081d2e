/** The warnings that are logged while something runs. */
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"

/** Runs it, and gives its outcome with the warnings that it logged. */
export const withWarnings = <A, E, R>(
  self: Effect.Effect<A, E, R>
): Effect.Effect<{ readonly result: A; readonly warnings: ReadonlyArray<string> }, E, R> =>
  Effect.suspend(() => {
    const warnings: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => {
      if (logLevel === "Warn") warnings.push(String(message))
    })
    return Effect.map(
      Effect.provide(self, Logger.layer([logger])),
      (result) => ({ result, warnings })
    )
  })
