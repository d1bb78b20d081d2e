/**
 * A turn as telemetry has it: a span from the call to its end, with its requests and its tools below it, and metrics. By
 * the GenAI conventions; every name is in `conventions.ts`.
 */
import type * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Metric from "effect/Metric"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import type { AshError } from "../../schema/AshError.ts"
import type { MessageContent, SendMessageOptions } from "../../schema/Message.ts"
import type { ServerAddress } from "../request/connection.ts"
import { spanFailure } from "../request/traced.ts"
import { present } from "../turn/agentText.ts"
import * as TurnFold from "../turn/turnFold.ts"
import { attribute, operation, provider, usageAttribute } from "./conventions.ts"
import { inputMessages, outputMessages } from "./spanContent.ts"
import { ToolSpans } from "./toolSpans.ts"
import { type TurnFigures, turnFigures } from "./turnFigures.ts"
import type { TurnMetrics } from "./turnMetrics.ts"
import { TurnWatch } from "./turnWatch.ts"

/** A turn, as its caller knows it. */
export interface TurnCall {
  /** The method that was called. */
  readonly operation: string
  readonly sessionId: string
  /** The session's agent, where it is known. */
  readonly agentName: string | undefined
  readonly content: MessageContent
  readonly options: SendMessageOptions
}

/** What is recorded of a turn. */
export interface Recorded {
  readonly spans: boolean
  readonly content: boolean
  readonly metrics: boolean
}

/** What the turns of a layer share. */
export interface Telemetry {
  readonly server: ServerAddress
  readonly metrics: TurnMetrics
}

/** The attributes that sampling goes by, and those that find the session. */
const attributesOf = ({ address, port }: ServerAddress, { agentName, options, sessionId }: TurnCall) => ({
  [attribute.operationName]: operation.invokeAgent,
  [attribute.providerName]: provider,
  [attribute.serverAddress]: address,
  [attribute.serverPort]: port,
  [attribute.conversationId]: sessionId,
  [attribute.ashSessionId]: sessionId,
  [attribute.outputType]: options.outputFormat === undefined ? "text" : "json",
  ...(agentName === undefined ? {} : { [attribute.agentName]: agentName }),
  ...(options.model === undefined ? {} : { [attribute.requestModel]: options.model })
})

const toSeconds = (nanoseconds: bigint): number => Number(nanoseconds) / 1e9

/** How a turn ended: with a failure, or without one, or so that nothing read its end. */
type Ending = { readonly _tag: "Failed"; readonly type: string; readonly status: number | undefined } | {
  readonly _tag: "Ended" | "Interrupted"
}

class ObservedTurn {
  readonly #metrics: TurnMetrics
  readonly #call: TurnCall
  readonly #clock: Clock.Clock
  readonly #context: Context.Context<never>
  readonly #recorded: Recorded
  readonly #span: Tracer.Span | undefined
  readonly #startedAt: bigint
  readonly #watch: TurnWatch
  readonly #tools: ToolSpans | undefined
  #between: Metric.Histogram<number> | undefined
  #fold: TurnFold.State | undefined
  #failure: AshError | undefined

  constructor(
    metrics: TurnMetrics,
    call: TurnCall,
    recorded: Recorded,
    context: Context.Context<never>,
    span: Tracer.Span | undefined
  ) {
    this.#metrics = metrics
    this.#call = call
    this.#recorded = recorded
    this.#context = context
    this.#span = span
    this.#clock = Context.get(context, Clock.Clock)
    this.#startedAt = this.#clock.currentTimeNanosUnsafe()
    const onNextChunk = recorded.metrics ? (gap: bigint) => this.#nextChunk(gap) : undefined
    this.#watch = new TurnWatch(call.options.includePartialMessages === true, onNextChunk)
    this.#tools = span && new ToolSpans(span, recorded.content)
  }

  /** Keeps what the turn is folded into, which knows the turns before. */
  folding(makeFold: TurnFold.Make): TurnFold.Make {
    return (options) => this.#fold = makeFold(options)
  }

  receive<A extends TurnFold.TurnEvent>(
    batch: Arr.NonEmptyReadonlyArray<A>
  ): Effect.Effect<Arr.NonEmptyReadonlyArray<A>> {
    this.#watch.take(batch, this.#clock.currentTimeNanosUnsafe())
    const changes = this.#tools?.take(batch) ?? []
    return changes.length === 0 ? Effect.succeed(batch) : Effect.as(Effect.all(changes, { discard: true }), batch)
  }

  fail(error: AshError): AshError {
    this.#failure = error
    return error
  }

  /** Nothing more comes of the turn, or nothing reads it any more. */
  finish() {
    const now = this.#clock.currentTimeNanosUnsafe()
    const ending = this.#ending
    const { result } = this.#watch
    const figures = result && turnFigures(result, this.#fold)
    if (this.#span !== undefined) this.#endSpan(this.#span, now, ending, figures)
    if (this.#recorded.metrics) this.#record(now, ending, figures)
  }

  get #ending(): Ending {
    const { reason } = this.#failure ?? {}
    if (reason !== undefined) return { _tag: "Failed", type: reason._tag, status: reason.http?.status }
    const { end, result } = this.#watch
    if (end === undefined) return { _tag: "Interrupted" }
    const failed = (type: string): Ending => ({ _tag: "Failed", type, status: undefined })
    if (end === "error") return failed("TurnFailed")
    return TurnFold.outcomeOf(result)._tag === "Success" ? { _tag: "Ended" } : failed("TurnUnsuccessful")
  }

  #nextChunk(gap: bigint) {
    this.#between ??= this.#series().timePerOutputChunk
    this.#between.updateUnsafe(toSeconds(gap), this.#context)
  }

  get #timeToFirstChunk(): number | undefined {
    const { firstAt } = this.#watch
    return firstAt === undefined ? undefined : toSeconds(firstAt - this.#startedAt)
  }

  #endSpan(span: Tracer.Span, now: bigint, ending: Ending, figures: TurnFigures | undefined) {
    const { model, result } = this.#watch
    this.#tools?.close(now, ending._tag === "Interrupted")
    const attributes = {
      [attribute.responseModel]: model,
      [attribute.timeToFirstChunk]: this.#timeToFirstChunk,
      [attribute.finishReasons]: result && [present(result.stop_reason) ?? result.subtype ?? ""],
      [usageAttribute.input]: figures?.tokens?.input,
      [usageAttribute.output]: figures?.tokens?.output,
      [usageAttribute.cacheRead]: figures?.tokens?.cacheRead,
      [usageAttribute.cacheCreation]: figures?.tokens?.cacheCreation,
      [attribute.ashTurnCost]: figures?.costUsd,
      [attribute.ashTurnOutcome]: result && TurnFold.outcomeOf(result)._tag,
      [attribute.errorType]: ending._tag === "Failed" ? ending.type : undefined,
      ...this.#content(result)
    }
    for (const [name, value] of Object.entries(attributes)) if (value !== undefined) span.attribute(name, value)
    span.end(now, this.#exit(ending))
  }

  #content(result: TurnFold.State["result"]) {
    if (!this.#recorded.content) return {}
    const text = this.#fold && TurnFold.toTurn(this.#fold).text
    return {
      [attribute.inputMessages]: inputMessages(this.#call.content),
      [attribute.outputMessages]: text && outputMessages(text, present(result?.stop_reason))
    }
  }

  #exit(ending: Ending): Exit.Exit<unknown, unknown> {
    switch (ending._tag) {
      case "Ended":
        return Exit.void
      case "Interrupted":
        return Exit.interrupt()
      case "Failed":
        return spanFailure(this.#call.operation, ending.type, ending.status)
    }
  }

  #record(now: bigint, ending: Ending, figures: TurnFigures | undefined) {
    const series = this.#series()
    const { duration } = ending._tag === "Failed" ? this.#series(ending.type) : series
    duration.updateUnsafe(toSeconds(now - this.#startedAt), this.#context)
    const first = this.#timeToFirstChunk
    if (first !== undefined) series.timeToFirstChunk.updateUnsafe(first, this.#context)
    if (figures?.tokens === undefined) return
    series.inputTokens.updateUnsafe(figures.tokens.input, this.#context)
    series.outputTokens.updateUnsafe(figures.tokens.output, this.#context)
  }

  #series(errorType?: string) {
    const { agentName, options: { model } } = this.#call
    return this.#metrics.of({ agentName, requestModel: model, responseModel: this.#watch.model, errorType })
  }
}

/** Starts a turn. What the turn is folded into is made through the function that is given. */
export type RunTurn<A> = (folding: (makeFold: TurnFold.Make) => TurnFold.Make) => Stream.Stream<A, AshError>

/** Observes a turn from its call to its end. */
export const observe = Effect.fnUntraced(function*<A extends TurnFold.TurnEvent>(
  telemetry: Telemetry,
  call: TurnCall,
  recorded: Recorded,
  run: RunTurn<A>
) {
  const name = call.agentName === undefined ? operation.invokeAgent : `${operation.invokeAgent} ${call.agentName}`
  const span = recorded.spans
    ? yield* Effect.makeSpan(name, { kind: "client", attributes: attributesOf(telemetry.server, call) })
    : undefined
  const turn = new ObservedTurn(telemetry.metrics, call, recorded, yield* Effect.context<never>(), span)
  const stream = run((makeFold) => turn.folding(makeFold))
  return (span === undefined ? stream : Stream.provideService(stream, Tracer.ParentSpan, span)).pipe(
    Stream.mapArrayEffect((batch) => turn.receive(batch)),
    Stream.mapError((error) => turn.fail(error)),
    Stream.onExit(() => Effect.sync(() => turn.finish()))
  )
})
