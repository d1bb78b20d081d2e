/** Cleans up when a program ends without closing its scopes: by a signal that it does not handle, or by `process.exit`. */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import nodeProcess from "node:process"

const cleanups = new Set<() => void>()

// The newest first: commands before the folder that they run in.
const cleanUp = () => {
  for (const cleanup of [...cleanups].toReversed()) Result.try(cleanup)
}

const signals = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const

const onSignal = (signal: NodeJS.Signals) => {
  // A program that handles the signal closes its scopes itself.
  if (nodeProcess.listenerCount(signal) > 1) return
  cleanUp()
  stopListening()
  nodeProcess.kill(nodeProcess.pid, signal)
}

const listen = () => {
  nodeProcess.on("exit", cleanUp)
  // Before the others: a listener of `once` is gone when it is called.
  for (const signal of signals) nodeProcess.prependListener(signal, onSignal)
}

const stopListening = () => {
  nodeProcess.off("exit", cleanUp)
  for (const signal of signals) nodeProcess.off(signal, onSignal)
}

/** Runs a synchronous function if the process ends before the scope closes. */
export const add = (cleanup: () => void): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      if (cleanups.size === 0) listen()
      cleanups.add(cleanup)
    }),
    () =>
      Effect.sync(() => {
        cleanups.delete(cleanup)
        if (cleanups.size === 0) stopListening()
      })
  )
