/** What is kept of a turn: its outcome, as the ledger has it and an activity answers it. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import { failure } from "../internal/request/operations.ts"
import { withKnown } from "../internal/turn/brokenTurn.ts"
import type { SessionRestarted } from "../internal/turn/gate.ts"
import { AshError } from "../schema/AshError.ts"
import { TurnUnsuccessful } from "../schema/Reasons.ts"
import type { Turn } from "../schema/Turn.ts"
import { RunTurn } from "./AgentRun.ts"
import { ResultTooLarge } from "./RunErrors.ts"
import type { TurnKey } from "./store/RunStore.ts"

export interface PlannedTurn extends TurnKey {
  readonly sessionId: string
  readonly afterSequence: number
}

/** How a turn failed whose end is known. */
export const TurnFailure = Schema.Union([AshError, ResultTooLarge])
type TurnFailure = typeof TurnFailure.Type

export type Outcome = typeof Outcome.Type
export const Outcome = Schema.Union([
  Schema.TaggedStruct("Ran", { turn: RunTurn }),
  Schema.TaggedStruct("Failed", { error: TurnFailure })
])

const OutcomeText = Schema.fromJsonString(Schema.toCodecJson(Outcome))
export const encodeOutcome = Schema.encodeEffect(OutcomeText)
export const decodeOutcome = Schema.decodeEffect(OutcomeText)

export const toEffect = (outcome: Outcome): Effect.Effect<RunTurn, TurnFailure> =>
  outcome._tag === "Ran" ? Effect.succeed(outcome.turn) : Effect.fail(outcome.error)

/** A failure without what was received of its turn: the server keeps that, and a database should not. */
export const withoutTurn = (error: AshError): AshError => withKnown(error, { partialTurn: undefined })

export const encoder = new TextEncoder()

/** As much of a text as has so many bytes. */
const cut = (text: string, limit: number): string => {
  const bytes = new Uint8Array(limit)
  return text.slice(0, encoder.encodeInto(text, bytes).read)
}

const failed = (error: TurnFailure): Outcome => ({ _tag: "Failed", error })

/** What is kept of a turn that has come to its end. */
export const outcomeOf = (
  planned: PlannedTurn,
  turn: Turn,
  known: Pick<RunTurn, "how" | "lastSequence"> & { readonly restarted?: SessionRestarted | undefined },
  limit: number
): Outcome => {
  const { afterSequence, sessionId } = planned
  const { outcome, structuredOutput } = turn
  if (outcome._tag !== "Success") {
    return failed(
      failure("AgentRun.turn", TurnUnsuccessful, {
        message:
          `the turn ended with ${outcome._tag}; the messages behind ${afterSequence} of the session ${sessionId} have ` +
          "what the agent said",
        sessionId,
        outcome: outcome._tag,
        lastSequence: afterSequence
      })
    )
  }
  const size = structuredOutput === undefined ? 0 : encoder.encode(JSON.stringify(structuredOutput)).length
  if (size > limit) return failed(new ResultTooLarge({ sessionId, afterSequence, size, limit }))
  const text = cut(turn.text, limit)
  const { restarted } = known
  return {
    _tag: "Ran",
    turn: {
      ...Struct.pick(planned, ["step", "generation", "sessionId", "afterSequence"]),
      ...Struct.pick(turn, ["structuredOutput", "usage", "costUsd", "usageScope"]),
      ...Struct.pick(known, ["how", "lastSequence"]),
      text,
      isPartial: turn.isPartial || text.length < turn.text.length,
      restarted: restarted && Struct.pick(restarted, ["reason", "lost", "mayBeLost"])
    }
  }
}
