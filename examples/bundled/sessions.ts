/** A small program: sessions alone, on the core that every service stands on. A bundler leaves the other services out. */
import { Console, Effect, Layer } from "effect"
import { AshCore, Sessions } from "effect-ash"

const layer = Sessions.layer.pipe(Layer.provide(AshCore.layer({ url: "http://localhost:4100", apiKey: "a key" })))

const program = Effect.gen(function*() {
  const sessions = yield* (yield* Sessions).list({ status: "active" })
  for (const { agentName, id } of sessions) yield* Console.log(id, agentName)
})

program.pipe(Effect.provide(layer), Effect.runPromise)
