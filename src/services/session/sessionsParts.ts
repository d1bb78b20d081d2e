/** What the methods of `Sessions` share. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { AshApiClient } from "../../client/AshApiClient.ts"
import type { RequestPolicy } from "../../client/RequestPolicy.ts"
import { type Creations, quietly } from "../../internal/request/creations.ts"
import { failure } from "../../internal/request/operations.ts"
import type { Surround } from "../../internal/request/sending.ts"
import { whileOut } from "../../internal/turn/brokenTurn.ts"
import * as Gated from "../../internal/turn/gated.ts"
import type { TurnGates } from "../../internal/turn/turnGates.ts"
import type { AshError } from "../../schema/AshError.ts"
import { WrongState } from "../../schema/Reasons.ts"
import type { Session } from "../../schema/Session.ts"
import type { Attachments } from "../Attachments.ts"

export interface SessionsParts {
  readonly api: AshApiClient["Service"]["sessions"]
  readonly policy: RequestPolicy["Service"]
  readonly attachments: Attachments["Service"]
  readonly gates: TurnGates
  readonly creations: Creations
  /** Waits for a place among `maxSessions`, and counts the session until the scope closes. */
  readonly place: Effect.Effect<void, never, Scope.Scope>
  /** Ends a session, and what runs in it. */
  readonly end: (id: string) => Effect.Effect<Session, AshError>
}

/** The failure of a handle whose session has ended with its scope. */
export const closed = (operation: string, sessionId: string) =>
  failure(operation, WrongState, {
    message:
      `the session ${sessionId} has ended with the scope that it was opened in; nothing was sent. Open another one`,
    status: "ended"
  })

interface Halt {
  readonly how: "stopped" | "ended"
  readonly call: (halt: Effect.Effect<void>, onWire: Surround) => Effect.Effect<Session, AshError>
  /** Whether that is as its scope has closed: what runs in it ends at once, and not when the server has answered. */
  readonly isScopeClosed?: boolean
}

/**
 * A session without a sandbox runs nothing of what was there when it was stopped. Where it is not known whether it was, what
 * runs in it ends as well, and leaves a fence: a server is silent about what it has stopped.
 */
export const halting = (gates: TurnGates, id: string, { call, how, isScopeClosed }: Halt) =>
  Effect.scoped(Effect.flatMap(gates.use(id), (gate) => {
    const why = isScopeClosed
      ? `the session ${id} has ended with the scope that it was opened in`
      : `this program has ${how} the session ${id}`
    const cancelled = (wasSent: boolean) => Gated.cancelled("Messages.send", id, why, wasSent)
    let attempts = 0
    const halt = Effect.sync(() => {
      attempts = 0
      gate.halted(how, cancelled(true))
    })
    const cut = Effect.sync(() => {
      gate.cancel(gate.running, { _tag: "Broken", why: `it was to be ${how}, and may yet be` }, cancelled(true))
      if (isScopeClosed) gate.remember({ halted: how })
    })
    const whileItMayBe = whileOut((isOut) => {
      attempts += isOut ? 1 : -1
    })
    const called = call(halt, whileItMayBe).pipe(
      // It was in that state before; this program wants it so.
      Effect.tapError(({ reason }) => reason._tag === "WrongState" && reason.status === how ? halt : Effect.void),
      Effect.onError(() => attempts > 0 ? cut : Effect.void)
    )
    // What resumes or stops it meanwhile would undo that.
    const alone = how === "stopped" ? gate.changing(called) : gate.ending(called, quietly(id, called))
    return gate.halting(isScopeClosed ? Effect.andThen(cut, alone) : alone, cancelled(false))
  }))
