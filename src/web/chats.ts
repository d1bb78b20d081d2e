/** The chats of pages: a session for each, which lives as long as it is used, and the turn that runs in it. */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as PubSub from "effect/PubSub"
import * as RcMap from "effect/RcMap"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { AshError } from "../schema/AshError.ts"
import type { MessageContent, SendMessageOptions } from "../schema/Message.ts"
import type { CreateSessionRequest } from "../schema/Session.ts"
import type { SessionHandle } from "../services/SessionHandle.ts"
import { Sessions } from "../services/Sessions.ts"
import { type UiMessageChunk, uiMessageChunks, type UiMessageStreamOptions } from "./uiMessageStream.ts"

/** How chats are kept. */
export interface ChatsOptions extends UiMessageStreamOptions {
  /** The session that is opened for each chat. */
  readonly session: CreateSessionRequest
  /** The options of each turn. */
  readonly turn?: Omit<SendMessageOptions, "includePartialMessages"> | undefined
  /** How many chats have a session at once. A further one is refused until one ends. @default 100 */
  readonly maxChats?: number | undefined
  /** After how long without use the session of a chat is ended. @default "15 minutes" */
  readonly idleTimeToLive?: Duration.Input | undefined
  /**
   * What becomes of a turn that no page reads any more: it is stopped, and the agent loses its memory, as servers have no
   * other way; or it runs on, for who comes back.
   *
   * @default "cancel"
   */
  readonly whenLeft?: "cancel" | "detach" | undefined
}

const end = "end"

/** A turn that runs, as every page sees it that reads it: from its start. */
interface RunningTurn {
  readonly chunks: PubSub.PubSub<UiMessageChunk | typeof end>
  readonly fiber: Fiber.Fiber<void>
  readers: number
}

interface Chat {
  readonly session: SessionHandle
  /** In the order in which they run: the gate of the session lets in one after the other. */
  readonly turns: Set<RunningTurn>
}

/** The turns of a chat. */
export interface ChatTurns {
  /** Sends a message, and reads the turn from its start. */
  readonly send: (content: MessageContent) => Effect.Effect<Stream.Stream<UiMessageChunk>>
  /** Reads the turn that runs, or runs next, from its start. */
  readonly resume: Effect.Effect<Stream.Stream<UiMessageChunk> | undefined>
  /** Stops whatever runs. */
  readonly stop: Effect.Effect<void>
  readonly session: SessionHandle
}

/** Makes chats, all of which end with the scope. */
export const make = Effect.fnUntraced(function*(
  { idleTimeToLive = "15 minutes", maxChats = 100, session, turn, whenLeft = "cancel", ...options }: ChatsOptions
) {
  const sessions = yield* Sessions
  const scope = yield* Scope.Scope
  const chats = yield* RcMap.make({
    lookup: (_key: string): Effect.Effect<Chat, AshError, Scope.Scope> =>
      Effect.map(
        sessions.open(session, { recovery: "restart", keepWorkspace: true, onInterrupt: "stop" }),
        (session) => ({ session, turns: new Set() })
      ),
    idleTimeToLive,
    capacity: maxChats
  })

  const read = (running: RunningTurn): Stream.Stream<UiMessageChunk> => {
    running.readers++
    return Stream.fromPubSub(running.chunks).pipe(
      Stream.takeWhile((chunk) => chunk !== end),
      Stream.ensuring(Effect.suspend(() => {
        running.readers--
        return running.readers === 0 && whenLeft === "cancel"
          ? Effect.forkIn(Fiber.interrupt(running.fiber), scope)
          : Effect.void
      }))
    )
  }

  /** Runs a turn beside whoever reads it. It holds the chat until its end. */
  const start = Effect.fnUntraced(function*(key: string, chat: Chat, content: MessageContent) {
    const chunks = yield* PubSub.unbounded<UiMessageChunk | typeof end>({ replay: Number.MAX_SAFE_INTEGER })
    const events = chat.session.stream(content, { ...turn, includePartialMessages: true }).pipe(
      // The next message of a chat whose session is gone has a new one.
      Stream.tapError(({ reason }) =>
        reason._tag === "NotFound" || reason._tag === "WrongState" ? RcMap.invalidate(chats, key) : Effect.void
      )
    )
    const fiber = yield* RcMap.get(chats, key).pipe(
      Effect.andThen(
        Stream.runForEachArray(uiMessageChunks(events, options), (batch) => PubSub.publishAll(chunks, batch))
      ),
      Effect.ignore,
      Effect.ensuring(Effect.suspend(() => {
        chat.turns.delete(running)
        return PubSub.publish(chunks, end)
      })),
      Effect.scoped,
      Effect.forkIn(scope)
    )
    const running: RunningTurn = { chunks, fiber, readers: 0 }
    chat.turns.add(running)
    return running
  })

  const turnsOf = (key: string, chat: Chat): ChatTurns => ({
    session: chat.session,
    send: (content) => Effect.map(start(key, chat, content), read),
    resume: Effect.sync(() => {
      const [running] = chat.turns
      return running === undefined ? undefined : read(running)
    }),
    stop: Effect.suspend(() => Fiber.interruptAll([...chat.turns].map(({ fiber }) => fiber)))
  })

  return {
    /** The chat of a key, whose session is opened if there is none. */
    open: (key: string) =>
      RcMap.get(chats, key).pipe(
        // A failure is not kept: the next request tries again.
        Effect.tapError(() => RcMap.invalidate(chats, key)),
        Effect.map((chat) => turnsOf(key, chat))
      ),
    /** The chat of a key, if it has a session. */
    find: (key: string) =>
      RcMap.has(chats, key).pipe(
        Effect.flatMap((has) =>
          has ? Effect.map(RcMap.get(chats, key), (chat) => turnsOf(key, chat)) : Effect.succeed(undefined)
        )
      )
  }
})
