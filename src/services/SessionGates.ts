/** What keeps the turns and commands of a session apart, and remembers which sessions are not to be used as they are. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as TurnGates from "../internal/turn/turnGates.ts"

/**
 * The gates of sessions, by their ids. Each layer of services makes its own, unless there are some where it is built: a
 * program that builds several layers for one server, one for each request for example, provides them once, around all.
 * Other programs are not kept out.
 */
export class SessionGates extends Context.Service<SessionGates, TurnGates.TurnGates>()(
  "effect-ash/services/SessionGates"
) {
  /** Gates for all layers that are built inside. */
  static readonly layer: Layer.Layer<SessionGates> = Layer.sync(SessionGates, TurnGates.make)

  /** Those of the surroundings, or else gates of a layer's own. */
  static readonly layerInherited: Layer.Layer<SessionGates> = Layer.effect(
    SessionGates,
    Effect.map(Effect.serviceOption(SessionGates), Option.getOrElse(TurnGates.make))
  )
}

/** Whether a handle of the program has the session open. */
export const isOpen = (gates: SessionGates["Service"], id: string): boolean => (gates.find(id)?.users ?? 0) > 0
