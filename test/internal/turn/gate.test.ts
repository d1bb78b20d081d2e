import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type Fence, Gate, type Guest, type SessionRestarted } from "../../../src/internal/turn/gate.ts"
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

/** The ways into each state, with a guest inside; `+` is a guest that runs, as far as is known. */
const states: Record<string, (gate: Gate, guest: Guest) => void> = {
  "Idle": () => {},
  "Running+": (gate, guest) => gate.sent(guest),
  "Fenced Inactive": (gate, guest) => gate.unusable(guest, inactive),
  "Fenced Broken+": (gate, guest) => {
    gate.sent(guest)
    gate.broke(guest, "broken")
  },
  "Fenced Stopped": (gate) => gate.stopped(stopped),
  "Restarting": (gate) => gate.restart(),
  "Restarting Broken+": (gate, guest) => {
    gate.sent(guest)
    gate.cancel(guest, broken, error)
    gate.restart()
  }
}

/** Each transition, with the state that it leads to from each of the states, in their order. */
const transitions: Record<string, readonly [(gate: Gate, guest: Guest) => void, ReadonlyArray<string>]> = {
  sent: [
    (gate, guest) => gate.sent(guest),
    ["Running+", "Running+", "Running+", "Fenced Broken+", "Running+", "Restarting+", "Restarting Broken+"]
  ],
  refused: [
    (gate, guest) => gate.refused(guest),
    ["Idle", "Idle", "Fenced Inactive", "Fenced Broken", "Fenced Stopped", "Restarting", "Restarting Broken"]
  ],
  over: [
    (gate, guest) => gate.over(guest),
    ["Idle", "Idle", "Fenced Inactive", "Fenced Broken", "Fenced Stopped", "Restarting", "Restarting Broken"]
  ],
  unusable: [
    (gate, guest) => gate.unusable(guest, gone),
    [
      "Fenced Gone",
      "Fenced Gone",
      "Fenced Inactive",
      "Fenced Broken",
      "Fenced Stopped",
      "Restarting Gone",
      "Restarting Broken"
    ]
  ],
  broke: [
    (gate, guest) => gate.broke(guest, "broken"),
    [
      "Idle",
      "Fenced Broken+",
      "Fenced Inactive",
      "Fenced Broken+",
      "Fenced Stopped",
      "Restarting",
      "Restarting Broken+"
    ]
  ],
  leave: [
    (gate, guest) => gate.leave(guest),
    ["Idle", "Fenced Broken", "Fenced Inactive", "Fenced Broken", "Fenced Stopped", "Restarting", "Restarting Broken"]
  ],
  stopped: [
    (gate) => gate.stopped(stopped),
    [
      "Fenced Stopped",
      "Fenced Stopped+",
      "Fenced Stopped",
      "Fenced Stopped+",
      "Fenced Stopped",
      "Restarting Stopped",
      "Restarting Stopped+"
    ]
  ],
  cancel: [
    (gate, guest) => gate.cancel(guest, broken, error),
    [
      "Fenced Broken",
      "Fenced Broken+",
      "Fenced Broken",
      "Fenced Broken+",
      "Fenced Broken",
      "Restarting Broken",
      "Restarting Broken+"
    ]
  ],
  restart: [
    (gate) => gate.restart(),
    [
      "Restarting",
      "Restarting+",
      "Restarting Inactive",
      "Restarting Broken+",
      "Restarting Stopped",
      "Restarting",
      "Restarting Broken+"
    ]
  ],
  restarted: [
    (gate) => gate.restarted(restarted),
    ["Idle", "Running+", "Idle", "Running+", "Idle", "Idle", "Running+"]
  ],
  notRestarted: [
    (gate) => gate.notRestarted(),
    ["Idle", "Running+", "Fenced Inactive", "Fenced Broken+", "Fenced Stopped", "Idle", "Fenced Broken+"]
  ],
  resumed: [
    (gate) => gate.resumed(),
    ["Idle", "Running+", "Idle", "Fenced Broken+", "Fenced Stopped", "Restarting", "Restarting Broken+"]
  ],
  halted: [
    (gate) => gate.halted(gate.view(), "stopped", error),
    ["Idle", "Idle", "Idle", "Idle", "Idle", "Restarting", "Restarting"]
  ],
  closed: [(gate) => gate.closed(error), ["Idle", "Idle", "Idle", "Idle", "Idle", "Restarting", "Restarting"]]
}

const show = ({ state: { _tag, fence, running } }: Gate) =>
  [_tag, ...(_tag === "Running" || fence === undefined ? [] : [` ${fence._tag}`]), ...(running ? ["+"] : [])].join("")

const inState = (enter: (gate: Gate, guest: Guest) => void) => {
  const gate = new Gate({ fence: undefined, halted: undefined })
  const guest = gate.enter("turn")
  enter(gate, guest)
  return { gate, guest }
}

describe("the gate of a session", () => {
  it.each(Object.entries(states))("is %s", (state, enter) => {
    assert.strictEqual(show(inState(enter).gate), state)
  })

  it.each(Object.entries(transitions))("changes its state by %s", (_, [change, expected]) => {
    const found = Object.values(states).map((enter) => {
      const { gate, guest } = inState(enter)
      change(gate, guest)
      return show(gate)
    })
    assert.deepStrictEqual(found, expected)
  })

  it("forgets with a restart what it knew of the conversation, and counts it", () => {
    const { gate } = inState((gate) => gate.remember({ halted: "paused", lastSequence: 3 }))
    gate.restart()
    gate.restarted(restarted)
    const { halted, lastRestart, lastSequence, restarts, usageBefore } = gate.memory
    assert.deepStrictEqual([halted, lastSequence, restarts, usageBefore.last], [undefined, undefined, 1, "none"])
    assert.strictEqual(lastRestart, restarted)
  })

  it("keeps the fence of a guest that was sent behind the stop", () => {
    const { gate, guest } = inState(() => {})
    const before = gate.view()
    gate.sent(guest)
    gate.halted(before, "stopped", error)
    assert.isTrue(Deferred.isDoneUnsafe(guest.cancelled))
    assert.strictEqual(gate.leave(guest), "running")
    assert.strictEqual(show(gate), "Fenced Broken")
  })
})
