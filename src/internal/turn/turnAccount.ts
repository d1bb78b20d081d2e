/**
 * The account of one turn: what it holds of its budgets while it runs, and what it is found to have cost. A turn whose end
 * was not received may have cost all that it held.
 */
import * as Effect from "effect/Effect"
import { AshError } from "../../schema/AshError.ts"
import type { ResultMessage } from "../../schema/ClaudeMessage.ts"
import type { StreamEvent } from "../../schema/StreamEvent.ts"
import { whileOut } from "./brokenTurn.ts"
import { ranNothing } from "./gated.ts"
import { type Figure, type Ledger, type Refusal, refusalOf, type Used } from "./ledger.ts"
import type { TurnControl } from "./turnControl.ts"
import type * as TurnFold from "./turnFold.ts"
import { tokensOf, unknownBefore, type UsageBefore, usageOf } from "./turnUsage.ts"

const unknown: Figure = { amount: undefined, isExact: false }

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

  get isLimited(): boolean {
    return this.#ledgers.some(({ isLimited }) => isLimited)
  }

  get refusal(): Refusal | undefined {
    return refusalOf(this.#ledgers)
  }

  /** Holds the turn's share of every budget; answers what it may cost, the least of those and what is asked for. */
  hold(asked: number | undefined): number | undefined {
    const shares = [asked, ...this.#ledgers.map(({ share }) => share)].filter((share) => share !== undefined)
    this.#held = shares.length === 0 ? undefined : Math.min(...shares)
    this.#isHolding = true
    for (const ledger of this.#ledgers) ledger.hold(this.#held)
    return this.#held
  }

  /** What the turn's events are folded into knows of the turns before. */
  knowing(makeFold: TurnFold.Make): TurnFold.Make {
    return (options) => {
      const state = makeFold(options)
      this.#before = state.before
      return state
    }
  }

  /** The message goes out, or has certainly started nothing. */
  sent(isOut: boolean) {
    this.#isOut = isOut
  }

  receive(events: ReadonlyArray<StreamEvent>) {
    for (let index = 0; index < events.length; index++) {
      const event = events[index]
      if (event === undefined) break
      if (event._tag === "Done" || event._tag === "TurnError") this.#hasEnded = true
      else if (event._tag !== "SessionStart") this.#hasAnswered = true
      if (event._tag === "Message" && event.message._tag === "Result") this.#result = event.message
    }
    if (this.#hasEnded) this.close()
  }

  failed(error: AshError) {
    if (!this.#hasAnswered && ranNothing(error)) this.#isOut = false
    if (error.reason._tag === "TurnFailed") this.#hasEnded = true
    this.close()
  }

  /** The same control of the turn, by which the account is kept, too. */
  keptBy(control: TurnControl): TurnControl {
    return {
      ...control,
      attempt: (send) => control.attempt(whileOut((isOut) => this.sent(isOut))(send)),
      makeFold: this.knowing(control.makeFold),
      receive: (events) => {
        this.receive(events)
        control.receive(events)
      },
      fail: (error) => {
        this.failed(error)
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

  #used(): Used {
    if (this.#result === undefined || !this.#hasEnded) return { usd: unknown, tokens: unknown }
    const { costUsd, scope, usage } = usageOf(this.#result, this.#before)
    const figure = (amount: number | undefined): Figure => ({
      amount,
      isExact: amount !== undefined && scope === "turn"
    })
    return { usd: figure(costUsd), tokens: figure(usage === undefined ? undefined : tokensOf(usage)) }
  }
}

const refuse = (operation: string, reason: Refusal) => Effect.fail(new AshError({ operation, reason }))

/** Keeps an account until the scope closes; fails where no turn may start, so that it waits for nothing. */
export const keepAccount = Effect.fnUntraced(function*(operation: string, account: TurnAccount) {
  yield* Effect.acquireRelease(Effect.sync(() => account.open()), () => Effect.sync(() => account.close()))
  const { refusal } = account
  if (refusal !== undefined) return yield* refuse(operation, refusal)
})

/**
 * Holds the share of a turn; answers what it may cost. Behind a turn of the event loop, so that turns which start together
 * count as sharing the budget; between the look at what is left and the hold there is none.
 */
export const holdShare = (
  operation: string,
  account: TurnAccount,
  asked: number | undefined
): Effect.Effect<number | undefined, AshError> =>
  Effect.andThen(
    account.isLimited ? Effect.yieldNow : Effect.void,
    Effect.suspend(() => {
      const { refusal } = account
      return refusal === undefined
        ? Effect.succeed(account.hold(asked))
        : refuse(operation, refusal)
    })
  )
