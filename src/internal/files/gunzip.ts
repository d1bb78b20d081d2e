/** Gzip, read as `gzip` and GNU tar read it. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as ByteReader from "./byteReader.ts"
import { members } from "./inflate.ts"

const none: Uint8Array = new Uint8Array()

/** The content of the members of a gzipped file. What follows them is not read; a warning reports it unless it is padding. */
export const gunzip =
  <E2>(broken: (why: string) => E2) =>
  <E, R>(bytes: Stream.Stream<Uint8Array, E, R>): Stream.Stream<Uint8Array, E | E2, R> =>
    Stream.unwrap(Effect.map(ByteReader.make(bytes), ({ some }) => {
      const steps = members()
      let input = none
      const next = Effect.gen(function*() {
        for (;;) {
          const { value } = steps.next(input)
          input = none
          if (value instanceof Uint8Array) return [value] as const
          if (value === "more" || value === "moreOrEnd") {
            input = yield* some(Infinity)
            if (input.length > 0) continue
            return yield* value === "moreOrEnd" ? Cause.done() : Effect.fail(broken("it is cut off"))
          }
          if ("broken" in value) return yield* Effect.fail(broken(value.broken))
          if (value.trailing) yield* Effect.logWarning("what follows the gzipped data is left out")
          return yield* Cause.done()
        }
      })
      return Stream.fromPull(Effect.succeed(next))
    }))
