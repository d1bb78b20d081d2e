/** What the methods of `Sessions` share. */
import * as Effect from "effect/Effect"
import type { AshApiClient } from "../../client/AshApiClient.ts"
import type { RequestPolicy } from "../../client/RequestPolicy.ts"
import type { Creations } from "../../internal/request/creations.ts"
import type { SessionMemory } from "../../internal/turn/gate.ts"
import * as Gated from "../../internal/turn/gated.ts"
import type { TurnGates } from "../../internal/turn/turnGates.ts"
import type { AshError } from "../../schema/AshError.ts"
import type { Session } from "../../schema/Session.ts"
import type { Attachments } from "../Attachments.ts"

/** The low-level methods, the policy of calls, and what is known of sessions. */
export interface SessionsParts {
  readonly api: AshApiClient["Service"]["sessions"]
  readonly policy: RequestPolicy["Service"]
  readonly attachments: Attachments["Service"]
  readonly gates: TurnGates
  readonly creations: Creations
  /** Ends a session, and what runs in it. */
  readonly end: (id: string) => Effect.Effect<Session, AshError>
}

/** The session in an answer. */
export const unwrap = ({ session }: { readonly session: Session }): Session => session

/** A session without a sandbox runs nothing of what was there when it was stopped. */
export const halting = (
  gates: TurnGates,
  id: string,
  how: string,
  halted: SessionMemory["halted"],
  call: Effect.Effect<Session, AshError>
): Effect.Effect<Session, AshError> =>
  Effect.scoped(Effect.flatMap(gates.use(id), (gate) => {
    const before = gate.view()
    const halt = Effect.sync(() =>
      gate.halted(before, halted, Gated.cancelled("Messages.send", id, `this program has ${how} the session ${id}`))
    )
    return call.pipe(
      Effect.tap(() => halt),
      // It was in that state before; this program wants it so.
      Effect.tapError(({ reason }) => reason._tag === "WrongState" && reason.status === halted ? halt : Effect.void)
    )
  }))
