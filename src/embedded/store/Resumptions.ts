/** Counts warm and cold resumes, for the answer of `/health` (docs/ash.md 5.2). */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

export class Resumptions extends Context.Service<Resumptions, {
  /** Counts a resume. */
  readonly count: (path: "warm" | "cold") => Effect.Effect<void>
  /** How many there were, under their names in the answer. */
  readonly counts: Effect.Effect<{ readonly resumeWarmHits: number; readonly resumeColdHits: number }>
}>()("effect-ash/embedded/store/Resumptions") {
  static readonly layer: Layer.Layer<Resumptions> = Layer.sync(Resumptions, () => {
    const hits = { warm: 0, cold: 0 }
    return Resumptions.of({
      count: (path) =>
        Effect.sync(() => {
          if (path === "warm") hits.warm += 1
          else hits.cold += 1
        }),
      counts: Effect.sync(() => ({ resumeWarmHits: hits.warm, resumeColdHits: hits.cold }))
    })
  })
}
