/** Creates sessions that end with a scope, and opens handles to them. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { within } from "../../internal/request/operations.ts"
import { checked, count, duration, flag, oneOf, optionsOf, text } from "../../internal/request/options.ts"
import { hold } from "../../internal/turn/hold.ts"
import { areBudgets, ledgersOf } from "../../internal/turn/ledger.ts"
import { turnRules } from "../../internal/turn/turnLimits.ts"
import { nothingBefore } from "../../internal/turn/turnUsage.ts"
import type { AshError } from "../../schema/AshError.ts"
import type { CreateSessionRequest, Session } from "../../schema/Session.ts"
import type { AttachSessionOptions, KnownSession, SessionHandleOptions } from "./handleState.ts"
import { ignoredSettings, settingsIgnored, warnOfIgnored } from "./ignoredSettings.ts"
import { closed, type SessionsParts } from "./sessionsParts.ts"
import { isLabel, mark } from "./sweep.ts"

/** How a session is opened and used. */
export interface OpenSessionOptions extends SessionHandleOptions {
  /**
   * Marks the session for `sweep`: 1 to 100 letters, digits, `.`, `_` or `-`. A session has no field for it, so it is kept
   * as an attachment of that name, which outlives the sandbox and restarts of the server; it costs one request, and the
   * agent sees it as `attachments/<label>`.
   */
  readonly label?: string | undefined
  /**
   * Whether a session whose sandbox ignores what the session asked for is ended, and another one opened: 3 in all at
   * most, before it fails with `SettingsIgnored`. Otherwise it is used, with a warning in the log and `ignoredSettings`. The
   * next one is created before the last is ended: for a moment there are two, which count as one of `maxSessions`.
   *
   * @default false
   */
  readonly requireFreshSandbox?: boolean | undefined
}

/** What the options of a handle must be, however it is come by. */
export const rules = optionsOf<AttachSessionOptions & OpenSessionOptions>({
  ...turnRules,
  recovery: oneOf("none", "restart"),
  keepWorkspace: flag,
  onInterrupt: oneOf("detach", "stop"),
  whenBusy: oneOf("wait", "fail"),
  waitAtMost: duration(),
  budget: areBudgets,
  after: count(0),
  agentName: text,
  label: isLabel,
  requireFreshSandbox: flag
})

export const createIn = (
  { api, creations, policy }: SessionsParts,
  payload: CreateSessionRequest,
  scope: Scope.Scope
): Effect.Effect<Session, AshError> =>
  Effect.tap(
    policy.field(api.create, { payload }, "session", { onWire: (attempt) => creations.attempt(attempt, scope) }),
    (session) => warnOfIgnored(session, ignoredSettings(payload, session))
  )

const freshTries = 3

/**
 * A session whose sandbox is as it was asked for. One that is not ends when the next is there: its end would refill what
 * the server keeps ready, of which the next would be given.
 */
const createFresh = Effect.fnUntraced(function*(
  parts: SessionsParts,
  payload: CreateSessionRequest,
  scope: Scope.Scope
) {
  let endLast: Effect.Effect<void> | undefined
  for (let tries = freshTries;; tries--) {
    const own = yield* Scope.fork(scope)
    const create = createIn(parts, payload, own)
    const session = yield* Effect.catchReason(
      create,
      "AshError",
      "AtCapacity",
      (_, error) => endLast === undefined ? Effect.fail(error) : Effect.andThen(endLast, create)
    )
    if (endLast !== undefined) yield* endLast
    const ignored = ignoredSettings(payload, session)
    if (ignored.length === 0) return session
    endLast = Scope.close(own, Exit.void)
    if (tries > 1) continue
    yield* endLast
    return yield* settingsIgnored(session, ignored)
  }
})

/** Opens a session, and answers what a handle to it has to know. */
export const open = (
  parts: SessionsParts,
  payload: CreateSessionRequest,
  options: OpenSessionOptions | undefined,
  scope: Scope.Scope
): Effect.Effect<KnownSession, AshError> =>
  Effect.gen(function*() {
    const { budget, label, requireFreshSandbox } = yield* checked("Sessions.open", rules, options)
    yield* parts.place
    const session = yield* requireFreshSandbox ? createFresh(parts, payload, scope) : createIn(parts, payload, scope)
    const { agentName, id } = session
    // Its gate, and its part of budgets, are kept until the scope closes.
    const gate = yield* parts.gates.use(id)
    for (const ledger of ledgersOf(parts.policy.budgets, budget)) {
      yield* hold(() => ledger.join(id), () => Effect.sync(() => ledger.leave(id)))
    }
    gate.remember({ lastSequence: 0, usageBefore: nothingBefore })
    const refusal = (operation: string) => scope.state._tag === "Closed" ? closed(operation, id) : undefined
    if (label !== undefined) yield* mark(parts, id, label)
    return { id, agentName, ignoredSettings: ignoredSettings(payload, session), after: 0, refusal }
  }).pipe(Scope.provide(scope), Effect.mapError(within("Sessions.open")))
