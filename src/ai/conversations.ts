/** The conversations of a model: sessions, each found by the history of the prompts that it has answered. */
import type * as AiError from "effect/ai/AiError"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { SessionHandle } from "../services/SessionHandle.ts"
import { Sessions } from "../services/Sessions.ts"
import { fromAsh, refuse } from "./errors.ts"
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

/** A session that a call has to itself. */
export interface Conversation {
  readonly session: SessionHandle
  /** Keeps the session for a prompt whose history has this key. */
  readonly keep: (key: string) => Effect.Effect<void>
  /** Leaves things as they were before the call: a new session ends, a known one waits for the prompt again. */
  readonly giveBack: Effect.Effect<void>
}

interface Kept {
  readonly session: SessionHandle
  readonly scope: Scope.Closeable
}

/** Those that wait for a prompt, by the ids of their sessions, the one that waits for longest first. */
type Waiting = Map<string, Kept & { readonly key: string; readonly agent: string }>

/**
 * The conversations of each server. Programs provide a model call by call, and with it a layer that is made anew: a
 * conversation lives as long as the layer of its server.
 */
const waitingAt = new WeakMap<Sessions["Service"], Waiting>()

const waitingOf = (sessions: Sessions["Service"]): Waiting => {
  const waiting: Waiting = waitingAt.get(sessions) ?? new Map()
  waitingAt.set(sessions, waiting)
  return waiting
}

/** Finds the conversations of an agent, or opens them. */
export const make = Effect.fnUntraced(function*(
  agent: string,
  { maxConversations = 16, sessions: mode = "conversation" }: ConversationOptions
) {
  const sessions = yield* Sessions
  const kept = waitingOf(sessions)

  const close = ({ scope }: Kept) => Scope.close(scope, Exit.void)

  const keep = (conversation: Kept) => (key: string) =>
    Effect.suspend(() => {
      if (mode === "call") return close(conversation)
      kept.set(conversation.session.id, { ...conversation, key, agent })
      const [oldest, ...others] = [...kept.values()].filter((conversation) => conversation.agent === agent)
      if (oldest === undefined || others.length < maxConversations) return Effect.void
      kept.delete(oldest.session.id)
      return close(oldest)
    })

  /** An answer without a mark is found by its history alone, if only one conversation has that. */
  const find = ({ key, sessionId }: History) => {
    const found = [...kept.values()].filter((conversation) =>
      conversation.agent === agent && conversation.key === key &&
      (sessionId === undefined || conversation.session.id === sessionId)
    )
    return found.length === 1 ? found[0] : undefined
  }

  const open = (method: string, system: string) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Scope.fork(sessions.layerScope), (own) =>
        restore(
          sessions.open(
            system === "" ? { agent } : { agent, systemPrompt: system },
            { requireFreshSandbox: system !== "" }
          )
        ).pipe(
          Scope.provide(own),
          Effect.mapError(fromAsh(method)),
          Effect.onError(() => Scope.close(own, Exit.void)),
          Effect.map((session): Kept => ({ session, scope: own }))
        ))
    )

  const conversationOf = (found: Kept, giveBack: Effect.Effect<void>): Conversation => ({
    session: found.session,
    keep: keep(found),
    giveBack
  })

  /** The conversation of a prompt. While a call has it no other one finds it, so that no two branches mix. */
  return Effect.fnUntraced(function*(method: string, { history, system }: AgentPrompt): Effect.fn.Return<
    Conversation,
    AiError.AiError
  > {
    if (history === undefined) {
      const opened = yield* open(method, system)
      return conversationOf(opened, close(opened))
    }
    const found = find(history)
    if (found === undefined) return yield* refuse(method, "prompt", unknownHistory)
    kept.delete(found.session.id)
    return conversationOf(found, keep(found)(found.key))
  })
})

const unknownHistory =
  "its history is of no conversation of this model that waits for a prompt. An agent keeps its own history: one that it did not " +
  "live through, one that was edited, and a second branch of one cannot be given to it. Start with a prompt without answers"
