import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { MaxOpsBeforeYield } from "effect/Scheduler"
import * as Schema from "effect/Schema"
import { type Fence, Gate, type Holder, type SessionRestarted } from "../../../src/internal/turn/gate.ts"
import { unknownBefore } from "../../../src/internal/turn/turnUsage.ts"
import { AshError } from "../../../src/schema/AshError.ts"
import { TurnCancelled } from "../../../src/schema/Reasons.ts"
import { Session } from "../../../src/schema/Session.ts"
import { session } from "../../support/fixtures.ts"

const error = new AshError({ operation: "test", reason: new TurnCancelled({ message: "test", sessionId: "s" }) })
const restarted: SessionRestarted = {
  _tag: "SessionRestarted",
  reason: "test",
  session: Schema.decodeUnknownSync(Session)(session),
  lost: ["memory"],
  mayBeLost: []
}
const inactive: Fence = { _tag: "Inactive", why: "inactive" }
const gone: Fence = { _tag: "Gone", why: "gone" }
const broken: Fence = { _tag: "Broken", why: "broken" }
const stopped: Fence = { _tag: "Stopped", why: "stopped", restart: () => Effect.succeed(restarted) }

/** The ways into each state, with a holder inside; `+` is a holder that runs, as far as is known. */
const states: Record<string, (gate: Gate, holder: Holder) => void> = {
  "Idle": () => {},
  "Running+": (gate, holder) => gate.sent(holder),
  "Fenced Inactive": (gate, holder) => gate.unusable(holder, inactive),
  "Fenced Broken+": (gate, holder) => {
    gate.sent(holder)
    gate.broke(holder, "broken")
  },
  "Fenced Stopped": (gate) => {
    gate.cancel(undefined, broken, error)
    gate.stopped(stopped)
  }
}

/** Each transition, with the state that it leads to from each of the states, in their order. */
const transitions: Record<string, readonly [(gate: Gate, holder: Holder) => void, ReadonlyArray<string>]> = {
  sent: [
    (gate, holder) => gate.sent(holder),
    ["Running+", "Running+", "Running+", "Fenced Broken+", "Running+"]
  ],
  refused: [
    (gate, holder) => gate.refused(holder),
    ["Idle", "Idle", "Fenced Inactive", "Fenced Broken", "Fenced Stopped"]
  ],
  over: [
    (gate, holder) => gate.over(holder),
    ["Idle", "Idle", "Fenced Inactive", "Fenced Broken", "Fenced Stopped"]
  ],
  unusable: [
    (gate, holder) => gate.unusable(holder, gone),
    [
      "Fenced Gone",
      "Fenced Gone",
      "Fenced Inactive",
      "Fenced Broken",
      "Fenced Stopped"
    ]
  ],
  broke: [
    (gate, holder) => gate.broke(holder, "broken"),
    [
      "Idle",
      "Fenced Broken+",
      "Fenced Inactive",
      "Fenced Broken+",
      "Fenced Stopped"
    ]
  ],
  leave: [
    (gate, holder) => gate.leave(holder),
    ["Idle", "Fenced Broken", "Fenced Inactive", "Fenced Broken", "Fenced Stopped"]
  ],
  stopped: [
    (gate) => gate.stopped(stopped),
    [
      "Idle",
      "Running+",
      "Fenced Inactive",
      "Fenced Stopped+",
      "Fenced Stopped"
    ]
  ],
  cancel: [
    (gate, holder) => gate.cancel(holder, broken, error),
    [
      "Fenced Broken",
      "Fenced Broken+",
      "Fenced Broken",
      "Fenced Broken+",
      "Fenced Broken"
    ]
  ],
  restarted: [
    (gate) => gate.restarted(restarted),
    ["Idle", "Running+", "Idle", "Running+", "Idle"]
  ],
  resumed: [
    (gate) => gate.resumed(),
    ["Idle", "Running+", "Idle", "Fenced Broken+", "Fenced Stopped"]
  ],
  halted: [
    (gate) => gate.halted("stopped", error),
    ["Idle", "Idle", "Idle", "Idle", "Idle"]
  ]
}

const show = ({ fence, running }: Gate) =>
  `${fence !== undefined ? `Fenced ${fence._tag}` : running !== undefined ? "Running" : "Idle"}${running ? "+" : ""}`

const inState = (enter: (gate: Gate, holder: Holder) => void) => {
  const gate = new Gate({ fence: undefined, halted: undefined, usageBefore: unknownBefore })
  const holder = gate.enter("turn")
  enter(gate, holder)
  return { gate, holder }
}

describe("the gate of a session", () => {
  it.each(Object.entries(states))("is %s", (state, enter) => {
    assert.strictEqual(show(inState(enter).gate), state)
  })

  it.each(Object.entries(transitions))("changes its state by %s", (_, [change, expected]) => {
    const found = Object.values(states).map((enter) => {
      const { gate, holder } = inState(enter)
      change(gate, holder)
      return show(gate)
    })
    assert.deepStrictEqual(found, expected)
  })

  it("forgets with a restart what it knew of the conversation, and counts it", () => {
    const { gate } = inState((gate) => gate.remember({ halted: "paused", lastSequence: 3 }))
    gate.restarted(restarted)
    const { halted, lastRestart, lastSequence, restarts, usageBefore } = gate.memory
    assert.deepStrictEqual([halted, lastSequence, restarts, usageBefore.last], [undefined, undefined, 1, "none"])
    assert.strictEqual(lastRestart, restarted)
  })

  it.effect("is usable behind a restart that was waited for, wherever the waiting is interrupted", () =>
    Effect.gen(function*() {
      const after = (steps: number) => Effect.replicateEffect(Effect.yieldNow, steps, { discard: true })
      for (const operations of [3, 4, 5]) {
        for (let steps = 0; steps < 30; steps++) {
          const gate = new Gate({ fence: undefined, halted: undefined, usageBefore: unknownBefore })
          const [running, waiting] = yield* Effect.all(
            [after(5), Effect.void].map((effect) =>
              Effect.forkChild(Effect.provideService(gate.restarting(effect), MaxOpsBeforeYield, operations))
            )
          )
          yield* after(steps)
          if (waiting !== undefined) yield* Fiber.interrupt(waiting)
          if (running !== undefined) yield* Fiber.join(running)
          assert.isTrue(gate.isUsable, `${operations} ${steps}`)
        }
      }
    }))

  it.effect("lets nothing begin while its session is stopped or ended, and ends what waits to be sent", () =>
    Effect.gen(function*() {
      for (const [state, enter] of Object.entries(states)) {
        const { gate, holder } = inState(enter)
        const isEnded = gate.isWaiting || holder.error !== undefined
        const halts = yield* Effect.replicateEffect(
          Effect.forkChild(gate.halting(Effect.never, error), { startImmediately: true }),
          2
        )
        assert.strictEqual(holder.error !== undefined, isEnded, state)
        let hasBegun = false
        const next = yield* Effect.forkChild(gate.restarting(Effect.sync(() => hasBegun = true)))
        for (const halt of halts) {
          assert.deepStrictEqual([hasBegun, gate.isUsable], [false, false], state)
          yield* Fiber.interrupt(halt)
        }
        yield* Fiber.join(next)
        assert.isTrue(hasBegun, state)
      }
    }))
})
