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
import { attribute, operation, usageAttribute } from "./conventions.ts"
import { inputMessages, outputMessages } from "./spanContent.ts"
import { ToolSpans } from "./toolSpans.ts"
import { subjectOf, type TurnMetrics } from "./turnMetrics.ts"
import { TurnWatch } from "./turnWatch.ts"

export interface TurnCall {
  readonly operation: string
  readonly sessionId: string
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
const attributesOf = (server: ServerAddress, { agentName, options, sessionId }: TurnCall) => ({
  ...subjectOf(server, { agentName, requestModel: options.model }),
  [attribute.serverPort]: server.port,
  [attribute.conversationId]: sessionId,
  [attribute.ashSessionId]: sessionId,
  [attribute.outputType]: options.outputFormat === undefined ? "text" : "json"
})

const toSeconds = (nanoseconds: bigint): number => Number(nanoseconds) / 1e9

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

/** How a turn ended: with a failure, or without one, or so that nothing read its end. */
const endingOf = (operation: string, { end, result }: TurnWatch, failure: AshError | undefined) => {
  const failed = (errorType: string, status?: number) => ({
    errorType,
    exit: spanFailure(operation, errorType, status)
  })
  if (failure !== undefined) return failed(failure.reason._tag, failure.reason.http?.status)
  if (end === undefined) return { errorType: undefined, exit: Exit.interrupt() }
  if (end === "TurnError") return failed("TurnFailed")
  return TurnFold.outcomeOf(result)._tag === "Success"
    ? { errorType: undefined, exit: Exit.void }
    : failed("TurnUnsuccessful")
}

const contentAttributes = (content: unknown, { result }: TurnWatch, fold: TurnFold.State | undefined) => {
  const text = fold && TurnFold.toTurn(fold).text
  return {
    [attribute.inputMessages]: inputMessages(content),
    [attribute.outputMessages]: text && outputMessages(text, present(result?.stop_reason))
  }
}

/** Starts a turn. What the turn is folded into is made through the function that is given. */
export type RunTurn<A> = (folding: (makeFold: TurnFold.Make) => TurnFold.Make) => Stream.Stream<A, AshError>

/** Runs a turn, watches it, and records it when nothing more comes of it, or nothing reads it any more. */
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
  const context = yield* Effect.context<never>()
  const clock = Context.get(context, Clock.Clock)
  const startedAt = clock.monotonicTimeNanosUnsafe()
  const watch = new TurnWatch()
  const tools = span && new ToolSpans(span, recorded.content)
  /** What the turn is folded into, which knows the turns before. */
  let fold: TurnFold.State | undefined
  let failure: AshError | undefined
  let lastChunkAt: bigint | undefined
  let between: Metric.Histogram<number> | undefined

  const series = (errorType?: string) =>
    metrics.of({
      agentName: call.agentName,
      requestModel: call.options.model,
      responseModel: watch.model,
      errorType
    })
  const recordGap = (gap: bigint) => {
    between ??= series().timePerOutputChunk
    between.updateUnsafe(toSeconds(gap), context)
  }
  const recordChunks = (count: number, now: bigint) => {
    if (count === 0) return
    if (lastChunkAt !== undefined) recordGap(now - lastChunkAt)
    for (let index = 1; index < count; index++) recordGap(0n)
    lastChunkAt = now
  }
  const receive = (batch: Arr.NonEmptyReadonlyArray<A>) => {
    const now = clock.monotonicTimeNanosUnsafe()
    const { messages, pieces } = watch.take(batch, now)
    // A chunk is a piece where pieces are asked for, and else a whole message.
    if (recorded.metrics) recordChunks(call.options.includePartialMessages === true ? pieces : messages, now)
    const changes = tools?.take(batch) ?? []
    return changes.length === 0 ? Effect.succeed(batch) : Effect.as(Effect.all(changes, { discard: true }), batch)
  }
  const finish = Effect.sync(() => {
    const duration = clock.monotonicTimeNanosUnsafe() - startedAt
    const { firstAt, result } = watch
    const { errorType, exit } = endingOf(call.operation, watch, failure)
    const figures = result && figuresOf(result, fold)
    const timeToFirstChunk = firstAt === undefined ? undefined : toSeconds(firstAt - startedAt)
    if (span !== undefined) {
      const now = clock.currentTimeNanosUnsafe()
      tools?.close(now, Exit.hasInterrupts(exit))
      const attributes = {
        [attribute.responseModel]: watch.model,
        [attribute.timeToFirstChunk]: timeToFirstChunk,
        [attribute.finishReasons]: result && [present(result.stop_reason) ?? result.subtype ?? ""],
        [usageAttribute.input]: figures?.tokens?.input,
        [usageAttribute.output]: figures?.tokens?.output,
        [usageAttribute.cacheRead]: figures?.tokens?.cacheRead,
        [usageAttribute.cacheCreation]: figures?.tokens?.cacheCreation,
        [attribute.ashTurnCost]: figures?.costUsd,
        [attribute.ashTurnOutcome]: result && TurnFold.outcomeOf(result)._tag,
        [attribute.errorType]: errorType,
        ...recorded.content && contentAttributes(call.content, watch, fold)
      }
      for (const [name, value] of Object.entries(attributes)) if (value !== undefined) span.attribute(name, value)
      span.end(now, exit)
    }
    if (!recorded.metrics) return
    series(errorType).duration.updateUnsafe(toSeconds(duration), context)
    const { inputTokens, outputTokens, timeToFirstChunk: toFirst } = series()
    if (timeToFirstChunk !== undefined) toFirst.updateUnsafe(timeToFirstChunk, context)
    if (figures?.tokens === undefined) return
    inputTokens.updateUnsafe(figures.tokens.input, context)
    outputTokens.updateUnsafe(figures.tokens.output, context)
  })

  const stream = run((makeFold) => (options) => fold = makeFold(options))
  return (span === undefined ? stream : Stream.provideService(stream, Tracer.ParentSpan, span)).pipe(
    Stream.mapArrayEffect(receive),
    Stream.mapError((error) => failure = error),
    Stream.onExit(() => finish)
  )
})
