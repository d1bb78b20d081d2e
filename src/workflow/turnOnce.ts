/**
 * Runs a turn at most once in its session, whichever process runs it. The ledger has a row for it before its message goes
 * out, and the process that wrote that row sends it:
 *
 * | The ledger    | The server                                | What is done                                          |
 * | ------------- | ----------------------------------------- | ----------------------------------------------------- |
 * | nothing       |                                           | it is claimed, and sent while the claim is young      |
 * | `done`        |                                           | its outcome is answered                               |
 * | `unknown`     |                                           | it fails with `TurnOutcomeUnknown`                    |
 * | `intent`      | has its prompt and its result             | that is its outcome                                   |
 * | `intent`, old | has nothing of it                         | the claim is taken over, and the turn sent            |
 * | `intent`      | has its prompt alone, for the settle time | it becomes `unknown`                                  |
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { SessionRestarted } from "../internal/turn/gate.ts"
import { BeforeTurn } from "../internal/turn/turnControl.ts"
import * as TurnFold from "../internal/turn/turnFold.ts"
import type { AshError } from "../schema/AshError.ts"
import { InvalidRequest } from "../schema/Reasons.ts"
import type { Turn } from "../schema/Turn.ts"
import type { Messages } from "../services/Messages.ts"
import type { Sessions } from "../services/Sessions.ts"
import type { Ask, RunTurn } from "./AgentRun.ts"
import {
  decodeOutcome,
  encodeOutcome,
  type Outcome,
  outcomeOf,
  type PlannedTurn,
  toEffect,
  withoutTurn
} from "./AgentTurn.ts"
import * as Claim from "./Claim.ts"
import * as Patience from "./patience.ts"
import { type ResultTooLarge, TurnOutcomeUnknown } from "./RunErrors.ts"
import type { ReadRunSettings } from "./RunnerSettings.ts"
import type { RunStore, TurnKey, TurnRow } from "./store/RunStore.ts"

export interface TurnServices {
  readonly store: RunStore["Service"]
  readonly sessions: Sessions["Service"]
  readonly messages: Messages["Service"]
  readonly settings: ReadRunSettings
}

export interface OneTurn extends TurnKey {
  readonly sessionId: string
  /** The last sequence number of the session before the turn, where it is known. */
  readonly known: number | undefined
  readonly ask: Ask
}

/** Why it is not certain what became of a turn that went out; undefined where it is, or where nothing went out. */
type Doubt = AshError | undefined

const notSent = new InvalidRequest({ message: "another process has claimed the turn; nothing was sent from here" })

const handleOf = ({ sessions, settings }: TurnServices, { sessionId }: OneTurn, after: number) =>
  sessions.attach(sessionId, { after, recovery: "restart", timeouts: { turn: settings.longestTurn } })

/** The last sequence number of a session, of which an earlier one is known. */
const lastSequence = ({ messages }: TurnServices, sessionId: string, known: number) =>
  Effect.map(
    Stream.runLast(messages.history(sessionId, { after: known })),
    (last) => last._tag === "Some" ? last.value.sequence : known
  )

/** Sends a turn that is claimed, and reads it to its end. */
const send = Effect.fnUntraced(function*(
  services: TurnServices,
  turn: OneTurn,
  afterSequence: number,
  claim: Claim.Claim
): Effect.fn.Return<Doubt, AshError> {
  const { store } = services
  const { ask: { content, options } } = turn
  const planned: PlannedTurn = { ...turn, afterSequence }
  let restarted: SessionRestarted | undefined
  let isLost = false
  const check = Effect.flatMap(Patience.persistent(claim.holds), (holds) => {
    isLost = !holds
    return holds ? Effect.void : Effect.fail(notSent)
  })
  const events = handleOf(services, turn, afterSequence).stream(content, options).pipe(
    Stream.tap((event) =>
      Effect.sync(() => {
        if (event._tag === "SessionRestarted") restarted = event
      })
    ),
    Stream.provideService(BeforeTurn, check)
  )
  return yield* TurnFold.fold(events).pipe(
    Effect.flatMap((received) => settleTurn(services, planned, received, { how: "received", restarted })),
    Effect.catch((failure) => {
      const error = withoutTurn(failure)
      if (isLost) return Effect.undefined
      if (error.nothingHappened) {
        return Effect.andThen(Patience.persistent(store.releaseTurn(turn, claim.owner)), Effect.fail(error))
      }
      return error.reason._tag === "TurnFailed"
        ? settleAs(services, turn, { _tag: "Failed", error })
        : Effect.succeed(error)
    })
  )
})

/** Writes an outcome down. The first one stands. */
const settleAs = ({ store }: TurnServices, turn: TurnKey, outcome: Outcome) =>
  Effect.flatMap(
    Effect.orDie(encodeOutcome(outcome)),
    (outcome) => Effect.as(Patience.persistent(store.settleTurn(turn, { status: "done", outcome })), undefined)
  )

const settleTurn = Effect.fnUntraced(function*(
  services: TurnServices,
  planned: PlannedTurn,
  turn: Turn,
  known: Pick<RunTurn, "how"> & { readonly restarted?: SessionRestarted | undefined }
) {
  const { afterSequence, sessionId } = planned
  const last = yield* Effect.orElseSucceed(lastSequence(services, sessionId, afterSequence), () => undefined)
  const outcome = outcomeOf(planned, turn, { ...known, lastSequence: last }, services.settings.maxStored)
  return yield* settleAs(services, planned, outcome)
})

/** Claims a turn of which the ledger has nothing, or takes over one that was certainly not sent, and sends it. */
const begin = Effect.fnUntraced(function*(services: TurnServices, turn: OneTurn, row?: TurnRow) {
  const { settings, store } = services
  const afterSequence = row?.afterSequence ?? turn.known ?? (yield* lastSequence(services, turn.sessionId, 0))
  const renew = (from: string, owner: string) => store.takeOverTurn(turn, from, owner)
  const claim = yield* Patience.persistent(Claim.make(
    settings.sendWindow,
    (owner) => row === undefined ? store.claimTurn({ ...turn, afterSequence, owner }) : renew(row.owner, owner),
    renew
  ))
  return claim === undefined ? undefined : yield* send(services, turn, afterSequence, claim)
})

const pause = Effect.sleep("500 millis")

/** What is known of a turn that was found claimed, beside its row. */
interface Uncertain {
  /** How long this claim has been seen, by the clock of this machine that does not jump. */
  readonly waited: Duration.Duration
  readonly doubt: Doubt
  readonly patience: Patience.Patience
}

/** What to do about a turn that was claimed and has no outcome, by what the server has of it. */
const lookAt = Effect.fnUntraced(function*(
  services: TurnServices,
  turn: OneTurn,
  row: TurnRow,
  { doubt, patience, waited }: Uncertain
): Effect.fn.Return<Doubt, AshError> {
  const { settings, store } = services
  const found = yield* handleOf(services, turn, row.afterSequence).reconcile({
    after: row.afterSequence,
    content: turn.ask.content
  })
  switch (found._tag) {
    case "Completed":
      return yield* settleTurn(services, row, found.turn, { how: "reconciled" })
    case "NotStarted":
      // Read before the server was asked: a message that was under way has arrived by now.
      if (!Duration.isGreaterThan(waited, Duration.times(settings.sendWindow, 2))) return yield* Effect.as(pause, doubt)
      if (doubt !== undefined) return yield* Effect.as(patience(doubt), undefined)
      return yield* begin(services, turn, row)
    case "OutcomeUnknown":
      if (Duration.isLessThan(waited, settings.settleTime)) return yield* Effect.as(pause, doubt)
      yield* Patience.persistent(store.settleTurn(turn, { status: "unknown", outcome: null }))
      return doubt
  }
})

/** Runs a turn at most once in its session, and answers its outcome, whichever process has run it. */
export const turnOnce = Effect.fnUntraced(function*(
  services: TurnServices,
  turn: OneTurn
): Effect.fn.Return<RunTurn, AshError | ResultTooLarge | TurnOutcomeUnknown> {
  const { settings, store } = services
  const patience = yield* Patience.make(settings.patience)
  let seen: { readonly owner: string; readonly since: bigint } | undefined
  let doubt: Doubt
  while (true) {
    // An outcome is read from here, as the first one that was written down stands.
    const row = yield* Patience.persistent(store.findTurn(turn))
    if (row?.status === "done" && row.outcome !== null) {
      return yield* toEffect(yield* Effect.orDie(decodeOutcome(row.outcome)))
    }
    if (row?.status === "unknown") {
      const { afterSequence, generation, runId, sessionId, step } = row
      return yield* new TurnOutcomeUnknown({ runId, step, generation, sessionId, afterSequence })
    }
    const now = yield* Clock.monotonicTimeNanos
    if (row !== undefined && row.owner !== seen?.owner) seen = { owner: row.owner, since: now }
    const waited = Duration.nanos(now - (seen?.since ?? now))
    const attempt = row === undefined
      ? begin(services, turn)
      // Another process may have opened a session of its own at the same time: the turn is where it was claimed.
      : lookAt(services, { ...turn, sessionId: row.sessionId }, row, { waited, doubt, patience })
    doubt = yield* Effect.catch(attempt, (error) => Effect.as(patience(error), doubt))
  }
})
