/** A tracer that keeps its spans, and shows them as a tree. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"

export const make = () => {
  const spans: Array<Tracer.NativeSpan> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })
  const named = (name: string) => spans.filter((span) => span.name === name)
  const below = (parent: Tracer.Span | undefined) =>
    spans.filter((span) => Option.getOrUndefined(span.parent)?.spanId === parent?.spanId)
  return {
    spans,
    named,
    trace: Effect.provideService(Tracer.Tracer, tracer),
    /** Names, each with how it ended, indented below its parent. */
    tree: (): ReadonlyArray<string> => {
      const lines = (parent: Tracer.Span | undefined, depth: number): ReadonlyArray<string> =>
        below(parent).flatMap((span) => [
          `${"  ".repeat(depth)}${span.name}: ${endOf(span)}`,
          ...lines(span, depth + 1)
        ])
      return lines(undefined, 0)
    }
  }
}

/** How a span ended, as an exporter has it. */
const endOf = ({ status }: Tracer.Span): string => {
  if (status._tag === "Started") return "open"
  if (status.exit._tag === "Success") return "ok"
  const { cause } = status.exit
  return Cause.hasInterruptsOnly(cause)
    ? "interrupted"
    : Cause.prettyErrors(cause).map(({ message }) => message).join("; ")
}
