/**
 * The account of one turn: what it holds of its budgets while it runs, and what it is found to have cost. A turn whose end
 * was not received may have cost all that it held.
 */
import * as Effect from "effect/Effect"
import { constVoid } from "effect/Function"
import type * as Scope from "effect/Scope"
import type { AshError } from "../../schema/AshError.ts"
import type { ResultMessage } from "../../schema/ClaudeMessage.ts"
import type { StreamEvent } from "../../schema/StreamEvent.ts"
import { whileOut } from "./brokenTurn.ts"
import { ranNothing } from "./gated.ts"
import { hold } from "./hold.ts"
import { ifAllowed, type Ledger, type Used } from "./ledger.ts"
import type { TurnControl } from "./turnControl.ts"
import { tokensOf, unknownBefore, type UsageBefore, usageOf } from "./turnUsage.ts"

/** The account of one turn. A class, so that what it holds is given back once. */
export class TurnAccount {
  readonly #sessionId: string
  readonly #ledgers: ReadonlyArray<Ledger>
  #isOpen = false
  #before: UsageBefore = unknownBefore
  #result: ResultMessage | undefined
  #isOut = false
  #hasAnswered = false
  #hasEnded = false
  #isHolding = false
  #held: number | undefined

  constructor(sessionId: string, ledgers: ReadonlyArray<Ledger>) {
    this.#sessionId = sessionId
    this.#ledgers = ledgers
  }

  /** The turn's session shares its budgets from now on. */
  open() {
    this.#isOpen = true
    for (const ledger of this.#ledgers) ledger.join(this.#sessionId)
  }

  /** Holds the turn's share of every budget; answers what it may cost, the least of those and what is asked for. */
  hold(asked: number | undefined): number | undefined {
    const shares = [asked, ...this.#ledgers.map(({ share }) => share)].filter((share) => share !== undefined)
    this.#held = shares.length === 0 ? undefined : Math.min(...shares)
    this.#isHolding = true
    for (const ledger of this.#ledgers) ledger.hold(this.#held)
    return this.#held
  }

  /** Keeps the account until the scope closes; fails where no turn may start, so that it waits for nothing. */
  keep(operation: string): Effect.Effect<void, AshError, Scope.Scope> {
    return Effect.andThen(
      hold(() => this.open(), () => Effect.sync(() => this.close())),
      ifAllowed(operation, this.#ledgers, constVoid)
    )
  }

  /** As `hold`, behind a turn of the event loop, so that turns which start together count as sharing the budget. */
  holdShare(operation: string, asked: number | undefined): Effect.Effect<number | undefined, AshError> {
    return Effect.andThen(
      this.#ledgers.some(({ isLimited }) => isLimited) ? Effect.yieldNow : Effect.void,
      ifAllowed(operation, this.#ledgers, () => this.hold(asked))
    )
  }

  /** The same control of the turn, by which the account is kept, too. */
  keptBy(control: TurnControl): TurnControl {
    return {
      ...control,
      attempt: (send) =>
        control.attempt(
          whileOut((isOut) => {
            this.#isOut = isOut
          })(send)
        ),
      makeFold: (options) => {
        const state = control.makeFold(options)
        this.#before = state.before
        return state
      },
      receive: (events) => {
        for (const event of events) this.#see(event)
        if (this.#hasEnded) this.close()
        control.receive(events)
      },
      fail: (error) => {
        if (!this.#hasAnswered && ranNothing(error)) this.#isOut = false
        if (error.reason._tag === "TurnFailed") this.#hasEnded = true
        this.close()
        return control.fail(error)
      }
    }
  }

  /** The turn is over, or nothing more of it will be known. */
  close() {
    if (this.#isOpen) { for (const ledger of this.#ledgers) ledger.leave(this.#sessionId) }
    this.#isOpen = false
    if (!this.#isHolding) return
    this.#isHolding = false
    const used = this.#isOut ? this.#used() : undefined
    for (const ledger of this.#ledgers) ledger.settle(this.#held, used)
  }

  #see(event: StreamEvent) {
    if (event._tag === "Done" || event._tag === "TurnError") this.#hasEnded = true
    else if (event._tag !== "SessionStart") this.#hasAnswered = true
    if (event._tag === "Message" && event.message._tag === "Result") this.#result = event.message
  }

  #used(): Used {
    if (this.#result === undefined || !this.#hasEnded) return { usd: undefined, tokens: undefined, isExact: false }
    const { costUsd, scope, usage } = usageOf(this.#result, this.#before)
    return { usd: costUsd, tokens: usage && tokensOf(usage), isExact: scope === "turn" }
  }
}
