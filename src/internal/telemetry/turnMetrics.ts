/** The metrics of turns, in Effect's registry. */
import * as Metric from "effect/Metric"
import { histogram } from "./conventions.ts"

/** Attributes of a metric. */
export type Labels = Readonly<Record<string, string>>

/** The series of the histograms. Each is made once: to add attributes to a metric costs more than to record. */
export class TurnMetrics {
  readonly #series = new Map<string, Metric.Histogram<number>>()

  series(kind: keyof typeof histogram, labels: Labels): Metric.Histogram<number> {
    const key = JSON.stringify([kind, labels])
    const known = this.#series.get(key)
    if (known !== undefined) return known
    const { boundaries, description, name, unit } = histogram[kind]
    // The exporter takes the unit from this attribute, and exports it as one as well.
    const made = Metric.histogram(name, { description, boundaries, attributes: { ...labels, unit } })
    this.#series.set(key, made)
    return made
  }
}
