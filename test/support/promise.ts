/**
 * Promises of the SDK, each with the number of cases that it is held to: fewer in every test run, all of them in
 * `npm run test:faults`, which makes a table of what is reported here.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Fs from "node:fs"

/** Whether the full numbers are run. */
export const isFull = process.env["FAULTS_REPORT"] !== undefined

/** What became of the cases of a promise. */
export interface Outcome {
  readonly cases: number
  readonly failures: ReadonlyArray<string>
  /** What the table says beside the numbers. */
  readonly note?: string
}

const report = (promise: string, title: string, { cases, failures, note = "" }: Outcome) => {
  const file = process.env["FAULTS_REPORT"]
  if (file === undefined) return
  Fs.appendFileSync(file, `${JSON.stringify({ promise, title, cases, failures: failures.length, note })}\n`)
}

/** Holds a promise in so many cases: `fast` in every test run, `full` in `npm run test:faults`. */
export const promise = (
  name: string,
  title: string,
  sizes: { readonly fast: number; readonly full: number },
  run: (size: number) => Effect.Effect<Outcome, unknown, Scope.Scope>,
  method: typeof it.live | typeof it.effect = it.live
) =>
  method(
    `${name}: ${title}`,
    () =>
      Effect.gen(function*() {
        const outcome = yield* run(isFull ? sizes.full : sizes.fast)
        report(name, title, outcome)
        assert.deepStrictEqual(outcome.failures.slice(0, 5), [])
        assert.isAbove(outcome.cases, 0)
      }).pipe(Effect.scoped),
    isFull ? 3_600_000 : 300_000
  )

/** A sequence of numbers between 0 and 1 that is the same for the same seed (mulberry32). */
export const chance = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
}
