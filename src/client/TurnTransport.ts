/**
 * How a turn gets from a message to the stream of its events. One function for all that send messages, as what a server
 * takes is asked once for all of them.
 */
import * as Channel from "effect/Channel"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { limitOrElse } from "../internal/request/eventLoop.ts"
import { exchange } from "../internal/request/exchange.ts"
import { exceptFixed } from "../internal/request/failures.ts"
import { safelyIs } from "../internal/request/inspectUnknown.ts"
import { anObject } from "../internal/request/options.ts"
import { redactOf } from "../internal/request/secrets.ts"
import type { Attempt } from "../internal/request/sending.ts"
import { observe, type RunTurn, type TurnCall } from "../internal/telemetry/observedTurn.ts"
import { TurnMetrics } from "../internal/telemetry/turnMetrics.ts"
import { changed } from "../internal/turn/brokenTurn.ts"
import { type ContentForm, type ContentForms, isContent, makeForms, toForm } from "../internal/turn/contentForm.ts"
import { type Budgets, ledgersOf } from "../internal/turn/ledger.ts"
import { TurnAccount } from "../internal/turn/turnAccount.ts"
import { BeforeTurn, type OnTurnError, type TurnAnswer, type TurnControl } from "../internal/turn/turnControl.ts"
import type { TurnEvent } from "../internal/turn/turnFold.ts"
import { readTurn } from "../internal/turn/turnReader.ts"
import { timedOut } from "../internal/turn/turnTimers.ts"
import { AshError } from "../schema/AshError.ts"
import type { MessageContent } from "../schema/Message.ts"
import { objectionsToFormat } from "../schema/outputSchema.ts"
import type { StreamEvent } from "../schema/StreamEvent.ts"
import { AshApiClient } from "./AshApiClient.ts"
import { RequestOptions, type RequestOptionsInput } from "./RequestOptions.ts"
import { type OptionsOver, RequestPolicy, type Settings } from "./RequestPolicy.ts"

/** A message, and what is to become of its turn. */
export interface TurnRequest extends Omit<TurnCall, "agentName"> {
  readonly onTurnError: OnTurnError
  /** What the turn counts in, beside the budgets of the layer. */
  readonly budgets?: Budgets | undefined
  /** What it changes of the options of the call. */
  readonly over?: OptionsOver | undefined
}

interface Parts {
  readonly api: AshApiClient["Service"]["messages"]
  readonly policy: RequestPolicy["Service"]
  readonly forms: ContentForms
}

/** The id of no session: servers give random ids. */
const noSession = "00000000-0000-0000-0000-000000000000"

/** Warns of an `outputFormat` that servers ignore, as they do it silently. */
const warnOfOutputFormat = ({ operation, options: { outputFormat } }: TurnRequest) => {
  const [objection] = outputFormat === undefined ? [] : objectionsToFormat(outputFormat)
  return objection === undefined ? Effect.void : Effect.logWarning(
    `${operation}: servers ignore this outputFormat, and the turn will have no structured output: ` +
      `${objection.why} (at ${objection.at})`
  )
}

/** What is kept of a response while its turn is read: not what it was asked for by. */
const answerOf = (response: HttpClientResponse.HttpClientResponse, body: TurnAnswer["body"], startedAt: bigint) => {
  const redact = exceptFixed(redactOf(response.request))
  return { body, startedAt, http: () => exchange(response, "", redact), redact }
}

/** The failure of the question that is asked before a message. */
const unasked = (error: AshError) =>
  error.nothingHappened ? error : new AshError({
    operation: error.operation,
    reason: changed(error.reason, {
      message:
        `the message was not sent, as the server was asked in what form it takes content (${error.reason.message})`,
      wasSent: false
    })
  })

const send = Effect.fnUntraced(function*(
  { api, forms, policy }: Parts,
  request: TurnRequest,
  { attempt }: TurnControl,
  settings: Settings,
  account: TurnAccount | undefined,
  turn: Scope.Scope
) {
  const { content, operation, options, sessionId } = request
  const room = policy.stream(yield* Scope.Scope)
  let maxBudgetUsd = options.maxBudgetUsd
  const prepare = (content: MessageContent) =>
    api.send.prepare({ params: { id: sessionId }, payload: { ...options, maxBudgetUsd, content } })
  const prepareAs = (form: ContentForm) => {
    if (form === "AsGiven" || !safelyIs(content, isContent)) return prepare(content)
    const formed = toForm(content, form)
    return Result.isSuccess(formed)
      ? prepare(formed.success)
      : Effect.fail(new AshError({ operation, reason: formed.failure }))
  }
  // Before it waits for room, and before the server is asked for the form that it takes.
  const expected = forms.known() ?? "AsGiven"
  let prepared = yield* prepareAs(expected)
  if (account !== undefined) yield* Scope.provide(account.keep(operation), turn)
  yield* warnOfOutputFormat(request)
  yield* room
  if (account !== undefined) maxBudgetUsd = yield* account.holdShare(operation, options.maxBudgetUsd)
  if (maxBudgetUsd !== options.maxBudgetUsd) prepared = yield* prepareAs(expected)
  const known = forms.known() ?? (yield* forms.find)
  const before = yield* BeforeTurn
  const { turn: limits } = settings
  const limited = limitOrElse({
    duration: limits.turn,
    orElse: () => Effect.fail(timedOut(operation, "turn", limits.turn))
  })
  // The turn begins with the sending that is answered: what was refused before was none.
  const start: Attempt<TurnAnswer, Scope.Scope> = (sending) =>
    Clock.clockWith((clock) => {
      const startedAt = clock.monotonicTimeNanosUnsafe()
      return Effect.map(
        limited(forms.send(known, (form) =>
          Effect.flatMap(
            form === expected ? Effect.succeed(prepared) : prepareAs(form),
            (send) => send({ ...sending, before })
          ))),
        ({ response, value: { body } }) => answerOf(response, body, startedAt)
      )
    })
  return yield* policy.attempt(api.send.operation, attempt(start), { settings })
})

/** Makes what controls a turn, as the options of the call have it. */
type MakeControl = (options: RequestOptionsInput) => Effect.Effect<TurnControl, AshError, Scope.Scope>

/** What is to be read, with an account where there is a budget. */
const open = Effect.fnUntraced(function*(parts: Parts, request: TurnRequest, makeControl: MakeControl) {
  const { onTurnError, operation, sessionId } = request
  const settings = yield* parts.policy.settings(operation, request.over)
  const { options, turn: limits } = settings
  const ledgers = ledgersOf(parts.policy.budgets, request.budgets)
  const account = ledgers.length === 0 ? undefined : new TurnAccount(sessionId, ledgers)
  const made = yield* makeControl(options)
  const control = account === undefined ? made : account.keptBy(made)
  return {
    source: { operation, sessionId, onTurnError, limits, control },
    send: (turn: Scope.Scope) => send(parts, request, control, settings, account, turn)
  }
})

/** Sends messages, and reads the turns that answer them. */
export class TurnTransport extends Context.Service<TurnTransport, {
  /** Streams a turn. The message is sent when the stream is run, and never twice in one run. */
  readonly stream: (request: TurnRequest, makeControl: MakeControl) => Stream.Stream<StreamEvent, AshError>
  /** Records a turn from its call to its end, where anything is recorded. */
  readonly observed: <A extends TurnEvent>(call: TurnCall, run: RunTurn<A>) => Stream.Stream<A, AshError>
}>()("effect-ash/client/TurnTransport") {
  static readonly layer: Layer.Layer<TurnTransport, never, AshApiClient | RequestPolicy> = Layer.effect(
    TurnTransport,
    Effect.gen(function*() {
      const { messages: api, server } = yield* AshApiClient
      const metrics = new TurnMetrics(server)
      const policy = yield* RequestPolicy
      const forms = yield* makeForms((content) =>
        // Its refusals are by design, so in no trace; and it is the question of the layer, not of the first caller.
        Effect.scoped(
          policy.call(api.send, { params: { id: noSession }, payload: { content } }, { repetition: "harmless" })
        ).pipe(Effect.provideService(RequestOptions, {}), Effect.withTracerEnabled(false))
      )
      const parts: Parts = { api, policy, forms: { ...forms, find: Effect.mapError(forms.find, unasked) } }
      return {
        observed: (call, run) =>
          Stream.fromChannel(Channel.contextWith((context: Context.Context<never>) => {
            const { operation, options } = call
            const reason = anObject(options, "options")
            const recorded = policy.recorded(context)
            return Stream.toChannel(
              reason !== undefined
                ? Stream.fail(new AshError({ operation, reason }))
                : recorded === undefined
                ? run(identity)
                : Stream.unwrap(observe(metrics, call, recorded, run))
            )
          })),
        stream: (request, makeControl) => readTurn(open(parts, request, makeControl))
      }
    })
  )
}
