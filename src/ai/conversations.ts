/** The conversations of a model: sessions, each found by the history of the prompts that it has answered. */
import * as AiError from "effect/ai/AiError"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { whileFull } from "../client/RequestPolicy.ts"
import { count, oneOf, optionsOf } from "../internal/request/options.ts"
import { begun, nothingBefore, type UsageBefore } from "../internal/turn/turnUsage.ts"
import type { SessionHandle } from "../services/SessionHandle.ts"
import { Sessions } from "../services/Sessions.ts"
import { aiError, fromAsh, refuse } from "./errors.ts"
import type { AgentPrompt, History } from "./prompt.ts"

/** How conversations are kept. */
export interface ConversationOptions {
  /**
   * - `"conversation"`: a session for each conversation, until the layer of its server ends.
   * - `"call"`: a session for each call, which ends with it; a history is refused.
   *
   * @default "conversation"
   */
  readonly sessions?: "conversation" | "call" | undefined
  /** How many conversations are kept. Beyond it the one that was not continued for longest ends. @default 16 */
  readonly maxConversations?: number | undefined
}

export const areConversations = optionsOf<ConversationOptions>({
  sessions: oneOf("conversation", "call"),
  maxConversations: count(1)
})

/** A session that a call has to itself, until its scope closes. */
export interface Conversation {
  readonly session: SessionHandle
  /** What is known of the turns before. */
  readonly usageBefore: UsageBefore
  /**
   * Keeps the session for a prompt whose history has this key. Without it things are left as they were before the call: a new
   * session ends, a known one waits for the prompt again.
   */
  readonly answered: (key: string, usage: UsageBefore) => void
  /** Ends the session, as its agent remembers nothing of it, and refuses the prompt; what has begun with it may begin anew. */
  readonly forgotten: Effect.Effect<never, AiError.AiError>
}

interface Kept {
  readonly session: SessionHandle
  readonly scope: Scope.Closeable
}

interface Waits extends Kept {
  readonly agent: string
  readonly key: string
  readonly usage: UsageBefore
}

interface Waiting {
  /** Those that wait for a prompt, by the ids of their sessions, the one that waits for longest first. */
  readonly kept: Map<string, Waits>
  /** What waits for a place among the sessions of the layer, and for which none has been ended, the first first. */
  readonly wanted: Set<object>
}

/**
 * The conversations of each server. Programs provide a model call by call, and with it a layer that is made anew: a
 * conversation lives as long as the layer of its server.
 */
const waitingAt = new WeakMap<Sessions["Service"], Waiting>()

const waitingOf = (sessions: Sessions["Service"]): Waiting => {
  const known = waitingAt.get(sessions)
  if (known !== undefined) return known
  const waiting: Waiting = { kept: new Map(), wanted: new Set() }
  waitingAt.set(sessions, waiting)
  whileFull.set(sessions.layerScope, makePlaces(waiting))
  return waiting
}

const close = ({ scope }: Kept) => Scope.close(scope, Exit.void)

/** Ends the conversation that waits for longest, where a session waits for its place. */
const makePlace = ({ kept, wanted }: Waiting) =>
  Effect.suspend(() => {
    const [[id, oldest] = []] = kept
    const [place] = wanted
    if (id === undefined || oldest === undefined || place === undefined) return Effect.void
    kept.delete(id)
    wanted.delete(place)
    return close(oldest)
  })

/** Has one that waits end, now or when there is one, until a session has its place. */
const makePlaces = (waiting: Waiting) =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const place = {}
      waiting.wanted.add(place)
      return place
    }),
    () => Effect.andThen(Effect.uninterruptible(makePlace(waiting)), Effect.never),
    (place) => Effect.sync(() => waiting.wanted.delete(place))
  )

export const make = Effect.fnUntraced(function*(
  agent: string,
  { maxConversations = 16, sessions: mode = "conversation" }: ConversationOptions
) {
  const sessions = yield* Sessions
  const waiting = waitingOf(sessions)

  /** Opens a session, in a region that cannot be interrupted but where `restore` allows it. */
  const open = Effect.fnUntraced(function*(
    method: string,
    system: string,
    restore: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  ) {
    const scope = yield* Scope.fork(sessions.layerScope)
    const session = yield* restore(
      sessions.open(
        system === "" ? { agent } : { agent, systemPrompt: system },
        { requireFreshSandbox: system !== "", recovery: "restart" }
      )
    ).pipe(
      Scope.provide(scope),
      Effect.mapError(fromAsh(method)),
      Effect.onError(() => Scope.close(scope, Exit.void))
    )
    return { session, scope }
  })

  const keep = (conversation: Waits) =>
    Effect.suspend(() => {
      if (mode === "call") return close(conversation)
      waiting.kept.set(conversation.session.id, conversation)
      const [oldest, ...others] = [...waiting.kept.values()].filter((conversation) => conversation.agent === agent)
      if (oldest === undefined || others.length < maxConversations) return makePlace(waiting)
      waiting.kept.delete(oldest.session.id)
      return close(oldest)
    })

  /** Takes the conversation of a history. An answer without a mark is found by its history alone, if only one has that. */
  const take = (method: string, { key, sessionId }: History) => {
    if (mode === "call") return refuse(method, "prompt", historyOfCall)
    const [only, other] = [...waiting.kept.values()].filter((conversation) =>
      conversation.agent === agent && conversation.key === key &&
      (sessionId === undefined || conversation.session.id === sessionId)
    )
    if (only === undefined || other !== undefined) return refuse(method, "prompt", unknownHistory)
    waiting.kept.delete(only.session.id)
    return Effect.succeed(only)
  }

  /** The conversation of a prompt. While a call has it no other one finds it, so that no two branches mix. */
  return (method: string, { history, system }: AgentPrompt): Effect.Effect<
    Conversation,
    AiError.AiError,
    Scope.Scope
  > =>
    Effect.uninterruptibleMask(Effect.fnUntraced(function*(restore) {
      if (sessions.layerScope.state._tag === "Closed") {
        return yield* aiError(method, new AiError.UnknownError({ description: closedLayer }))
      }
      const known = history === undefined ? undefined : yield* take(method, history)
      const conversation = known ?? (yield* open(method, system, restore))
      const usageBefore = known?.usage ?? nothingBefore
      let next: Waits | undefined = known && { ...known, usage: begun(usageBefore) }
      yield* Effect.addFinalizer(() => next === undefined ? close(conversation) : keep(next))
      return {
        session: conversation.session,
        usageBefore,
        answered: (key, usage) => {
          next = { ...conversation, agent, key, usage }
        },
        forgotten: Effect.suspend(() => {
          next = undefined
          return known === undefined
            ? aiError(method, new AiError.InternalProviderError({ description: lostStart }))
            : refuse(method, "prompt", lostHistory)
        })
      }
    }))
})

const unknownHistory =
  "its history is of no conversation of this model that waits for a prompt. An agent keeps its own history, and can be given none " +
  "that was edited or is a second branch. Start with a prompt without answers"

const lostStart = "its session was lost before anything was sent. Call again"

const lostHistory =
  "its session was restarted or has ended, and its agent remembers nothing; nothing was sent. Start with a prompt without answers"

const historyOfCall =
  `it has a history, and the model has a session for each call. Use sessions: "conversation", or a prompt without answers`

const closedLayer = "the layer of the server is closed; nothing was sent. Make the program's calls inside of it"
