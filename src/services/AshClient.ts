/** All services as one value, for programs that use many of them. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Agents } from "./Agents.ts"
import { Health } from "./Health.ts"
import { Messages } from "./Messages.ts"
import { Sessions } from "./Sessions.ts"

/** Holds every service: `const ash = yield* AshClient`, then `ash.sessions.create(...)`. */
export class AshClient extends Context.Service<AshClient, {
  readonly agents: Agents["Service"]
  readonly health: Health["Service"]
  readonly messages: Messages["Service"]
  readonly sessions: Sessions["Service"]
}>()("effect-ash/services/AshClient") {
  static readonly layer: Layer.Layer<AshClient, never, Agents | Health | Messages | Sessions> = Layer.effect(
    AshClient,
    Effect.all({ agents: Agents, health: Health, messages: Messages, sessions: Sessions })
  )
}
