/** Turns that meet a fault on their way, and the limits that they run into, whatever the machine's speed. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type { TurnTimeouts } from "../../src/client/RequestOptions.ts"
import * as FaultProxy from "../../src/embedded/FaultProxy.ts"
import { reachingLimits } from "./clock.ts"

type Timer = keyof TurnTimeouts

/** Faults behind which nothing ends a turn but a limit: which one, by the phase of the fault. */
const timers: Partial<Record<FaultProxy.FaultKind, readonly [early: Timer, head: Timer, middle: Timer]>> = {
  timeout: ["headers", "firstEvent", "idle"],
  comments: ["firstEvent", "firstEvent", "turn"]
}

const off = { headers: "off", firstEvent: "off", idle: "off", turn: "off" } as const

/**
 * A fault, with what tells when it strikes: a script for a proxy, and the limits of a turn that meets it. None is on but
 * the one that it runs into, which is reached when the proxy has what was sent.
 */
export const fault = (kind: FaultProxy.FaultKind, phase: NonNullable<FaultProxy.Fault["phase"]>) => {
  const timer = timers[kind]?.[FaultProxy.phases.indexOf(phase)]
  const timeouts: TurnTimeouts = timer === undefined ? off : { ...off, [timer]: "1 minute" }
  const met = Deferred.makeUnsafe<void>()
  const meet: <A, E, R>(turn: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R> = timer === undefined
    ? (turn) => turn
    : reachingLimits(Deferred.await(met))
  return {
    name: `${kind}, ${phase}`,
    timer,
    timeouts,
    /** Strikes. */
    strike: (): FaultProxy.Fault => {
      Deferred.doneUnsafe(met, Effect.void)
      return { kind, phase }
    },
    /** Runs a turn that it is going to strike. */
    meet
  }
}

/** Every fault in every phase, each of them anew. */
export const faults = () => FaultProxy.kinds.flatMap((kind) => FaultProxy.phases.map((phase) => fault(kind, phase)))
