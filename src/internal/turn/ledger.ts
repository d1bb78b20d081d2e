/**
 * What turns cost, and what they may: a ledger counts the turns that are put to it, holds the share of each that runs, and
 * refuses one when nothing is left. Everything here happens at once, so that turns that start together find what the others
 * hold.
 */
import * as Arr from "effect/Array"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { AshError } from "../../schema/AshError.ts"
import { BudgetExhausted } from "../../schema/Reasons.ts"
import { rule } from "../request/options.ts"

/** What turns may use and cost. */
export interface BudgetLimits {
  /** US dollars, by the vendor's estimates. @default no limit */
  readonly usd?: number | undefined
  /**
   * Tokens of every kind: input, output, written to a cache and read from one. A server takes no limit for a turn, so they
   * are counted behind it, and refuse the next one. @default no limit
   */
  readonly tokens?: number | undefined
  /**
   * The most that one turn may cost, in US dollars.
   * @default what is left, divided by the sessions that share the budget and have no turn that runs
   */
  readonly share?: number | undefined
}

/** What turns have used and cost: estimates of the vendor, by its own table of prices. Do not bill from them. */
export interface Spent {
  /** US dollars. */
  readonly usd: number
  /** Tokens of every kind. */
  readonly tokens: number
  /** Turns that were sent and have ended, or broke off. */
  readonly turns: number
  /**
   * How many of them have figures that are not known: those that broke off, and those whose result has none of its own. They
   * add nothing to `usd` and `tokens`, but in a budget, which counts what they held, or what they used at most.
   */
  readonly unknown: number
}

/** What is left of a budget; undefined where it has no limit. Less than nothing where turns cost more than they held. */
export interface BudgetLeft {
  /** US dollars that are neither spent nor held. */
  readonly usd: number | undefined
  readonly tokens: number | undefined
}

/** What a program may spend on turns, and what it has. */
export interface Budget {
  readonly limits: BudgetLimits
  /** What its turns have cost. */
  readonly spent: Effect.Effect<Spent>
  /** What those that run may still cost, in US dollars. */
  readonly held: Effect.Effect<number>
  readonly left: Effect.Effect<BudgetLeft>
  readonly "~effect-ash/Budget": Ledger
}

/** One budget, or several that apply at once. */
export type Budgets = Budget | ReadonlyArray<Budget>

/** What a turn has used, as far as it is known: exactly that, or else at most that. */
export interface Used {
  readonly usd: number | undefined
  readonly tokens: number | undefined
  readonly isExact: boolean
}

/** Money is counted in billionths of a dollar, as sums of fractions go astray. */
const unit = 1e9

/** What counts at most: sums of larger figures are no numbers, and a budget of none never ends. */
const most = 1e100

const within = (amount: number) => Math.min(Math.max(0, amount), most)

const inUnits = (usd: number) => Math.round(within(usd) * unit)

/** A class, so that its counts have no other writer. */
export class Ledger {
  readonly #limits: BudgetLimits
  #spent = 0
  #held = 0
  #tokens = 0
  #turns = 0
  #unknown = 0
  #running = 0
  /** Is done when a turn has given back what it held; none where that is not waited for. */
  #given: Deferred.Deferred<void> | undefined
  /** The sessions that share the budget, and how many handles and turns of each do. */
  readonly #sessions = new Map<string, number>()
  /** How many turns at once are to come, of those that know. */
  readonly #expected = new Set<() => number>()

  constructor(limits: BudgetLimits) {
    this.#limits = limits
  }

  get spent(): Spent {
    return { usd: this.#spent / unit, tokens: this.#tokens, turns: this.#turns, unknown: this.#unknown }
  }

  get held(): number {
    return this.#held / unit
  }

  get left(): BudgetLeft {
    const { tokens, usd } = this.#limits
    return {
      usd: usd === undefined ? undefined : this.#leftOf(usd) / unit,
      tokens: tokens === undefined ? undefined : tokens - this.#tokens
    }
  }

  get isLimited(): boolean {
    return this.#limits.usd !== undefined || this.#limits.tokens !== undefined
  }

  /** Counts a session among those that share the budget, until it leaves as often as it joined. */
  join(sessionId: string) {
    this.#sessions.set(sessionId, (this.#sessions.get(sessionId) ?? 0) + 1)
  }

  leave(sessionId: string) {
    const users = (this.#sessions.get(sessionId) ?? 1) - 1
    if (users > 0) this.#sessions.set(sessionId, users)
    else this.#sessions.delete(sessionId)
  }

  /** Divides the budget among so many turns at once, where fewer sessions share it, until what is answered is called. */
  expect(turns: () => number): () => void {
    this.#expected.add(turns)
    return () => {
      this.#expected.delete(turns)
    }
  }

  /** Ends when, from now on, a turn has given back what it held. */
  given(): Effect.Effect<void> {
    this.#given ??= Deferred.makeUnsafe()
    return Deferred.await(this.#given)
  }

  get refusal(): BudgetExhausted | undefined {
    const { tokens, usd } = this.#limits
    if (usd !== undefined && this.#leftOf(usd) <= 0) {
      return exhausted("usd", "US dollars", this.#spent / unit, this.held, usd)
    }
    if (tokens !== undefined && this.#tokens >= tokens) return exhausted("tokens", "tokens", this.#tokens, 0, tokens)
    return undefined
  }

  /** What the next turn may cost, in US dollars; undefined where there is no limit. */
  get share(): number | undefined {
    const { share, usd } = this.#limits
    if (usd === undefined) return undefined
    const left = this.#leftOf(usd)
    if (share !== undefined) return Math.min(inUnits(share), left) / unit
    const expected = [...this.#expected].reduce((sum, turns) => sum + turns(), 0)
    const waiting = Math.max(this.#sessions.size, expected) - this.#running
    return Math.max(1, Math.floor(left / Math.max(1, waiting))) / unit
  }

  /** Holds what a turn may cost, if that is limited, until it is settled. */
  hold(usd: number | undefined) {
    this.#held += inUnits(usd ?? 0)
    this.#running += 1
  }

  /** Gives back what a turn held, and counts what it was instead; nothing where it was not sent. */
  settle(held: number | undefined, used: Used | undefined) {
    this.#held -= inUnits(held ?? 0)
    this.#running -= 1
    if (used !== undefined) this.#count(held, used)
    const given = this.#given
    this.#given = undefined
    if (given !== undefined) Deferred.doneUnsafe(given, Effect.void)
  }

  #count(held = 0, { isExact, tokens, usd }: Used) {
    /** What a figure adds; one that is not known what it is at most, where there is a limit. */
    const counted = (amount: number | undefined, limit: number | undefined, most: number) =>
      isExact && amount !== undefined
        ? within(amount)
        : limit === undefined
        ? 0
        : Math.min(most, within(amount ?? most))
    this.#spent += inUnits(counted(usd, this.#limits.usd, held))
    this.#tokens += counted(tokens, this.#limits.tokens, tokens ?? 0)
    this.#turns += 1
    if (!isExact || usd === undefined || tokens === undefined) this.#unknown += 1
  }

  #leftOf(usd: number): number {
    return inUnits(usd) - this.#spent - this.#held
  }
}

const exhausted = (unit: "usd" | "tokens", name: string, spent: number, held: number, limit: number) =>
  new BudgetExhausted({
    message: `the budget of ${limit} ${name} is used up: ${spent} spent, ${held} held by turns that run; ` +
      "nothing was sent. Wait for turns that run, or give a larger budget",
    spent,
    held,
    limit,
    unit
  })

/** A budget that has not been used yet. One without limits counts. */
export const makeBudget = (limits: BudgetLimits): Budget => {
  const ledger = new Ledger(limits)
  return {
    limits,
    spent: Effect.sync(() => ledger.spent),
    held: Effect.sync(() => ledger.held),
    left: Effect.sync(() => ledger.left),
    "~effect-ash/Budget": ledger
  }
}

/** Does something where all ledgers let a turn start: at once, so that no other turn comes between. */
export const ifAllowed = <A>(operation: string, ledgers: ReadonlyArray<Ledger>, then: () => A) =>
  Effect.suspend(() => {
    const reason = ledgers.map(({ refusal }) => refusal).find((refusal) => refusal !== undefined)
    return reason === undefined ? Effect.succeed(then()) : Effect.fail(new AshError({ operation, reason }))
  })

/** What the options that are {@link Budgets} must be. */
export const areBudgets = rule(
  "one of Budget.make, or a list of them",
  (given) => Arr.ensure(given).every((budget) => "~effect-ash/Budget" in Object(budget))
)

/** The ledgers of budgets, each once, though it may be given twice. */
export const ledgersOf = (...budgets: ReadonlyArray<Budgets | undefined>): ReadonlyArray<Ledger> =>
  budgets.flatMap((given) => Arr.ensure(given ?? []))
    .map((budget) => budget["~effect-ash/Budget"])
    .filter((ledger, index, all) => all.indexOf(ledger) === index)
