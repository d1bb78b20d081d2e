/**
 * What turns may cost. A budget is given to a layer, for all turns of its services, to a session's handle or to a batch; where
 * several apply, each holds. The figures are the vendor's estimates.
 */
import * as Effect from "effect/Effect"
import { checked, optionsOf, rule } from "../internal/request/options.ts"
import * as Ledger from "../internal/turn/ledger.ts"
import type { AshError } from "../schema/AshError.ts"

export type { Budget, BudgetLeft, BudgetLimits, Spent } from "../internal/turn/ledger.ts"

const operation = "Budget.make"

const isFinite = (value: unknown): value is number => Number.isFinite(value)

const figure = rule("a finite number of 0 or more", (value) => isFinite(value) && value >= 0)

const rules = optionsOf<Ledger.BudgetLimits>({
  usd: figure,
  tokens: figure,
  share: rule("a finite number above 0", (value) => isFinite(value) && value > 0)
})

/**
 * A budget that is not used yet; without limits it only counts. Of each turn the share is held before the turn starts, and
 * sent as its `maxBudgetUsd`: the turn ends there, at most one model call beyond it. What it did not use is given back when
 * it ends; one that broke off counts as all that it held. A turn for which nothing is left fails with `BudgetExhausted`.
 *
 * Fails with `InvalidRequest` for a limit that is no number of 0 or more.
 *
 * **Example** (A layer that spends 5 US dollars at most, and a session one of them)
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Ash, Budget, Sessions } from "effect-ash"
 *
 * const layer = Layer.unwrap(
 *   Effect.map(Budget.make({ usd: 5 }), (budget) => Ash.layerConfig({ budget }))
 * )
 *
 * const work = Effect.gen(function*() {
 *   const budget = yield* Budget.make({ usd: 1, tokens: 500_000 })
 *   const session = yield* (yield* Sessions).open({ agent: "helper" }, { budget })
 *   const turn = yield* session.ask("Read the report.")
 *   return { answer: turn.text, spent: yield* session.spent, left: yield* budget.left }
 * }).pipe(Effect.scoped, Effect.provide(layer))
 * ```
 */
export const make = (limits: Ledger.BudgetLimits): Effect.Effect<Ledger.Budget, AshError> =>
  Effect.map(
    checked(operation, rules, limits),
    ({ share, tokens, usd }) => Ledger.makeBudget({ share, tokens, usd })
  )
