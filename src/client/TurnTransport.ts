/**
 * How a turn gets from a message to the stream of its events. One function for all that send messages, as what a server
 * takes is asked once for all of them.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { limitOrElse } from "../internal/request/eventLoop.ts"
import { exchange } from "../internal/request/exchange.ts"
import { renamed } from "../internal/request/operations.ts"
import { redactOf } from "../internal/request/secrets.ts"
import { type Answered, type Attempt, whenSent } from "../internal/request/sending.ts"
import { observe, type RunTurn, type TurnCall } from "../internal/telemetry/observedTurn.ts"
import { TurnMetrics } from "../internal/telemetry/turnMetrics.ts"
import { type ContentForm, type ContentForms, makeForms, toForm } from "../internal/turn/contentForm.ts"
import { type Budgets, ledgersOf } from "../internal/turn/ledger.ts"
import { readAhead } from "../internal/turn/readAhead.ts"
import { holdShare, keepAccount, TurnAccount } from "../internal/turn/turnAccount.ts"
import { BeforeTurn, type TurnControl } from "../internal/turn/turnControl.ts"
import { endTurn, type OnTurnError } from "../internal/turn/turnEnd.ts"
import type { TurnEvent } from "../internal/turn/turnFold.ts"
import type { TurnLimits } from "../internal/turn/turnLimits.ts"
import { initialProgress } from "../internal/turn/turnProgress.ts"
import { decodeEvents } from "../internal/turn/turnStream.ts"
import { timedOut } from "../internal/turn/turnTimers.ts"
import { AshError, type AshErrorReason } from "../schema/AshError.ts"
import type { MessageContent, SendMessageOptions } from "../schema/Message.ts"
import { objectionsToFormat } from "../schema/outputSchema.ts"
import type { StreamEvent } from "../schema/StreamEvent.ts"
import { AshApiClient } from "./AshApiClient.ts"
import { RequestOptions } from "./RequestOptions.ts"
import { RequestPolicy } from "./RequestPolicy.ts"

/** A message, and what is to become of its turn. */
export interface TurnRequest {
  /** The method that was called, for its failures. */
  readonly operation: string
  readonly sessionId: string
  readonly content: MessageContent
  readonly options: SendMessageOptions
  readonly onTurnError: OnTurnError
  /** What the turn counts in, beside the budgets of the layer. */
  readonly budgets?: Budgets | undefined
}

/** What the sending of turns needs. */
interface Parts {
  readonly api: AshApiClient["Service"]["messages"]
  readonly policy: RequestPolicy["Service"]
  readonly forms: ContentForms
}

/** A turn that a server has begun to answer. */
interface StartedTurn extends Answered<{ readonly body: Stream.Stream<Uint8Array, AshError> }> {
  readonly startedAt: bigint
}

/** The id of no session: servers give random ids. */
const noSession = "00000000-0000-0000-0000-000000000000"

const refused = ({ operation }: TurnRequest, reason: AshErrorReason) => new AshError({ operation, reason })

/** Warns of an `outputFormat` that servers ignore, as they do it silently. */
const warnOfOutputFormat = ({ operation, options: { outputFormat } }: TurnRequest) => {
  const [objection] = outputFormat === undefined ? [] : objectionsToFormat(outputFormat)
  return objection === undefined ? Effect.void : Effect.logWarning(
    `${operation}: servers ignore this outputFormat, and the turn will have no structured output: ` +
      `${objection.why} (at ${objection.at})`
  )
}

/** Sends the message, when there is room for another stream. */
const send = Effect.fnUntraced(function*(
  { api, forms, policy }: Parts,
  request: TurnRequest,
  { attempt }: TurnControl,
  limits: TurnLimits,
  account: TurnAccount | undefined
) {
  const { content, operation, options, sessionId } = request
  let maxBudgetUsd = options.maxBudgetUsd
  const prepare = (content: MessageContent) =>
    api.send.prepare({ params: { id: sessionId }, payload: { ...options, maxBudgetUsd, content } })
  // Before it waits for room, and before the server is asked for the form that it takes.
  let asGiven = yield* prepare(content)
  if (account !== undefined) yield* keepAccount(operation, account)
  yield* warnOfOutputFormat(request)
  yield* policy.stream
  if (account !== undefined) maxBudgetUsd = yield* holdShare(operation, account, options.maxBudgetUsd)
  if (maxBudgetUsd !== options.maxBudgetUsd) asGiven = yield* prepare(content)
  const known = yield* forms.find
  const before = yield* BeforeTurn
  const prepareAs = (form: ContentForm) =>
    form === "AsGiven"
      ? Effect.succeed(asGiven)
      : Effect.flatMap(
        Effect.mapError(Effect.fromResult(toForm(content, form)), (reason) => refused(request, reason)),
        prepare
      )
  const limited = limitOrElse({
    duration: limits.turn,
    orElse: () => Effect.fail(timedOut(operation, "turn", limits.turn))
  })
  // The turn begins with the sending that is answered: what was refused before was none.
  const start: Attempt<StartedTurn, Scope.Scope> = (sending) =>
    Effect.flatMap(Clock.currentTimeNanos, (startedAt) =>
      Effect.map(
        limited(forms.send(known, (form) => Effect.flatMap(prepareAs(form), (send) => send({ ...sending, before })))),
        (answered) => ({ ...answered, startedAt })
      ))
  return yield* policy.attempt(
    api.send.operation,
    attempt(account === undefined ? start : whenSent(() => account.sent())(start))
  )
})

/** Streams a turn, and keeps its account. */
const streamTurn = (
  parts: Parts,
  request: TurnRequest,
  control: TurnControl,
  account?: TurnAccount
): Stream.Stream<StreamEvent, AshError> => {
  const { onTurnError, operation, sessionId } = request
  const failed = (error: AshError) => {
    account?.failed(error)
    return renamed(operation)(error)
  }
  return Stream.unwrap(Effect.gen(function*() {
    const { abort } = control
    const { turn: limits } = yield* parts.policy.settings(operation)
    const start = send(parts, request, control, limits, account)
    const { response, startedAt, value: { body } } = yield* abort === undefined
      ? start
      : Effect.raceFirst(start, abort)
    const makeFold = account === undefined ? control.makeFold : account.knowing(control.makeFold)
    const redact = redactOf(response.request)
    const http = exchange(response, "", redact)
    const progress = initialProgress()
    return body.pipe(
      readAhead({ abort, operation, sessionId, limits, startedAt, progress }),
      decodeEvents(operation, limits.maxEventSize),
      endTurn(operation, sessionId, { account, http, makeFold, onTurnError, progress, redact })
    )
  })).pipe(Stream.mapError(failed))
}

/** Sends messages, and reads the turns that answer them. */
export class TurnTransport extends Context.Service<TurnTransport, {
  /** Streams a turn. The message is sent when the stream is run, and never twice in one run. */
  readonly stream: (request: TurnRequest, control: TurnControl) => Stream.Stream<StreamEvent, AshError>
  /** Records a turn from its call to its end, where anything is recorded. */
  readonly observed: <A extends TurnEvent>(call: TurnCall, run: RunTurn<A>) => Stream.Stream<A, AshError>
}>()("effect-ash/client/TurnTransport") {
  static readonly layer: Layer.Layer<TurnTransport, never, AshApiClient | RequestPolicy> = Layer.effect(
    TurnTransport,
    Effect.gen(function*() {
      const { messages: api, server } = yield* AshApiClient
      const telemetry = { server, metrics: new TurnMetrics(server) }
      const policy = yield* RequestPolicy
      const forms = yield* makeForms((content) =>
        // Its refusals are by design, so in no trace; and it is the question of the layer, not of the first caller.
        Effect.scoped(
          policy.call(api.send, { params: { id: noSession }, payload: { content } }, { repetition: "harmless" })
        ).pipe(Effect.provideService(RequestOptions, {}), Effect.withTracerEnabled(false))
      )
      return {
        observed: (call, run) =>
          Stream.unwrap(Effect.withFiber(({ context }) => {
            const recorded = policy.recorded(context)
            return recorded === undefined ? run(identity) : observe(telemetry, call, recorded, run)
          })),
        stream: (request, control) => {
          const ledgers = ledgersOf(policy.budgets, request.budgets)
          const turn = (account?: TurnAccount) => streamTurn({ api, forms, policy }, request, control, account)
          return ledgers.length === 0
            ? turn()
            : Stream.suspend(() => turn(new TurnAccount(request.sessionId, ledgers)))
        }
      }
    })
  )
}
