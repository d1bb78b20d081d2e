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
import type { ResultMessage, TokenUsage } from "../../schema/ClaudeMessage.ts"
import type { MessageContent, SendMessageOptions } from "../../schema/Message.ts"
import type { ServerAddress } from "../request/connection.ts"
import { spanFailure } from "../request/traced.ts"
import { present } from "../turn/agentText.ts"
import * as TurnFold from "../turn/turnFold.ts"
import { unknownBefore, usageOf } from "../turn/turnUsage.ts"
import { attribute, operation, provider, usageAttribute } from "./conventions.ts"
import { inputMessages, outputMessages } from "./spanContent.ts"
import { ToolSpans } from "./toolSpans.ts"
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

export interface Recorded {
  readonly spans: boolean
  readonly content: boolean
  readonly metrics: boolean
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
interface Ending {
  readonly errorType: string | undefined
  readonly exit: Exit.Exit<unknown, unknown>
}

/** Tokens as the conventions count them: those of caches are input, too. */
const tokensOf = (usage: TokenUsage) => {
  const [cacheRead, cacheCreation] = [usage.cache_read_input_tokens ?? 0, usage.cache_creation_input_tokens ?? 0]
  return {
    input: (usage.input_tokens ?? 0) + cacheRead + cacheCreation,
    output: usage.output_tokens ?? 0,
    cacheRead,
    cacheCreation
  }
}

/** What a turn used and cost, as far as it is known. Where that may be sums over its session, it is that of the agent alone. */
const figuresOf = (result: ResultMessage, fold: TurnFold.State | undefined) => {
  const { costUsd, scope, usage } = usageOf(result, fold?.before ?? unknownBefore)
  const own = scope === "turn" ? usage : result.usage ?? undefined
  return { tokens: own && tokensOf(own), costUsd: scope === "turn" ? costUsd : undefined }
}

type Figures = ReturnType<typeof figuresOf>

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

  receive<A extends TurnFold.TurnEvent>(batch: Arr.NonEmptyReadonlyArray<A>) {
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
    const figures = result && figuresOf(result, this.#fold)
    if (this.#span !== undefined) this.#endSpan(this.#span, now, ending, figures)
    if (this.#recorded.metrics) this.#record(now, ending, figures)
  }

  get #ending(): Ending {
    const failed = (errorType: string, status?: number): Ending => ({
      errorType,
      exit: spanFailure(this.#call.operation, errorType, status)
    })
    const { reason } = this.#failure ?? {}
    if (reason !== undefined) return failed(reason._tag, reason.http?.status)
    const { end, result } = this.#watch
    if (end === undefined) return { errorType: undefined, exit: Exit.interrupt() }
    if (end === "TurnError") return failed("TurnFailed")
    return TurnFold.outcomeOf(result)._tag === "Success"
      ? { errorType: undefined, exit: Exit.void }
      : failed("TurnUnsuccessful")
  }

  #nextChunk(gap: bigint) {
    this.#between ??= this.#series().timePerOutputChunk
    this.#between.updateUnsafe(toSeconds(gap), this.#context)
  }

  get #timeToFirstChunk(): number | undefined {
    const { firstAt } = this.#watch
    return firstAt === undefined ? undefined : toSeconds(firstAt - this.#startedAt)
  }

  #endSpan(span: Tracer.Span, now: bigint, { errorType, exit }: Ending, figures: Figures | undefined) {
    const { model, result } = this.#watch
    this.#tools?.close(now, Exit.hasInterrupts(exit))
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
      [attribute.errorType]: errorType,
      ...this.#content(result)
    }
    for (const [name, value] of Object.entries(attributes)) if (value !== undefined) span.attribute(name, value)
    span.end(now, exit)
  }

  #content(result: TurnFold.State["result"]) {
    if (!this.#recorded.content) return {}
    const text = this.#fold && TurnFold.toTurn(this.#fold).text
    return {
      [attribute.inputMessages]: inputMessages(this.#call.content),
      [attribute.outputMessages]: text && outputMessages(text, present(result?.stop_reason))
    }
  }

  #record(now: bigint, { errorType }: Ending, figures: Figures | undefined) {
    const series = this.#series()
    const { duration } = errorType === undefined ? series : this.#series(errorType)
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

export const observe = Effect.fnUntraced(function*<A extends TurnFold.TurnEvent>(
  metrics: TurnMetrics,
  call: TurnCall,
  recorded: Recorded,
  run: RunTurn<A>
) {
  const name = call.agentName === undefined ? operation.invokeAgent : `${operation.invokeAgent} ${call.agentName}`
  const span = recorded.spans
    ? yield* Effect.makeSpan(name, { kind: "client", attributes: attributesOf(metrics.server, call) })
    : undefined
  const turn = new ObservedTurn(metrics, call, recorded, yield* Effect.context<never>(), span)
  const stream = run((makeFold) => turn.folding(makeFold))
  return (span === undefined ? stream : Stream.provideService(stream, Tracer.ParentSpan, span)).pipe(
    Stream.mapArrayEffect((batch) => turn.receive(batch)),
    Stream.mapError((error) => turn.fail(error)),
    Stream.onExit(() => Effect.sync(() => turn.finish()))
  )
})
