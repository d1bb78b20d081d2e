/** What decides on the steps of a run: a list, or a function of the turn before. */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { type AgentRunPayload, ask, type RunTurn, Step } from "./AgentRun.ts"
import { encoder } from "./AgentTurn.ts"
import { sizeLimit } from "./payloadHash.ts"
import { PlanFailed } from "./RunErrors.ts"

/** What a plan decides by. */
export interface Progress {
  readonly id: string
  readonly agent: string
  readonly input: Schema.Json | undefined
  /** The step that is to be decided on, from 0. */
  readonly step: number
  /** The turn before, if there was one. */
  readonly last: RunTurn | undefined
}

/**
 * Decides on the next step of a run; undefined where it is done. What it answers is written down, so that it is run again
 * only where a process died before that.
 */
export type Plan<R = never> = (progress: Progress) => Effect.Effect<Step | undefined, PlanFailed, R>

/** The plans of a runner, by name. */
export type Plans<R = never> = Readonly<Record<string, Plan<R>>>

const isStep = (step: NonNullable<AgentRunPayload["steps"]>[number]): step is Step =>
  Predicate.hasProperty(step, "_tag")

/** The step of a list; undefined behind the last one. */
export const stepOf = ({ steps = [] }: AgentRunPayload, index: number): Step | undefined => {
  const step = steps[index]
  return step === undefined || isStep(step) ? step : ask(step)
}

const encodeStep = Schema.encodeEffect(Schema.fromJsonString(Schema.toCodecJson(Step)))

/** Fails where a step is too large to be read back. */
const checkSize = (step: Step | undefined) =>
  step === undefined ? Effect.undefined : Effect.flatMap(Effect.orDie(encodeStep(step)), (text) => {
    const size = encoder.encode(text).length
    return size <= sizeLimit ? Effect.succeed(step) : Effect.fail(
      new PlanFailed({ message: `the step has ${size} bytes, more than ${sizeLimit}` })
    )
  })

/** The plan of a run, of those of the runner. */
export const planOf = <R>(plans: Plans<R>, { plan }: AgentRunPayload): Plan<R> | undefined => {
  if (plan === undefined) return undefined
  const decide = new Map(Object.entries(plans)).get(plan)
  if (decide !== undefined) return (progress) => Effect.flatMap(decide(progress), checkSize)
  const message = `no plan ${JSON.stringify(plan)} is on this runner; give it to all runners`
  return () => Effect.fail(new PlanFailed({ message }))
}
