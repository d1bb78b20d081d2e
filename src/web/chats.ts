/** The chats of pages: a session for each, which lives as long as it is used, and the turns that run in it. */
import type * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as RcMap from "effect/RcMap"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { AshError } from "../schema/AshError.ts"
import type { MessageContent, SendMessageOptions } from "../schema/Message.ts"
import type { CreateSessionRequest } from "../schema/Session.ts"
import type { SessionHandle } from "../services/SessionHandle.ts"
import { type OpenSessionOptions, Sessions } from "../services/Sessions.ts"
import { Refusal } from "./chatRequest.ts"
import * as SharedTurn from "./sharedTurn.ts"
import { type UiMessage, uiMessagesOf, withRunning } from "./uiMessages.ts"
import { chunksOfTurn, type UiMessageStreamOptions } from "./uiMessageStream.ts"

/** How chats are kept. */
export interface ChatsOptions extends UiMessageStreamOptions {
  /** The session that is opened for each chat. */
  readonly session: CreateSessionRequest
  /** How the sessions are used, such as with a `label`, by which `Sessions.sweep` finds those of a process that was killed. */
  readonly handle?: Omit<OpenSessionOptions, "keepWorkspace" | "onInterrupt" | "recovery" | "whenBusy"> | undefined
  /** The options of each turn. */
  readonly turn?: Omit<SendMessageOptions, "includePartialMessages"> | undefined
  /** How many chats have a session at once. A further one is refused until one ends. @default 100 */
  readonly maxChats?: number | undefined
  /** How many turns of a chat run and wait at once. A further message is refused. @default 10 */
  readonly maxTurns?: number | undefined
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

interface Chat {
  readonly key: string
  readonly session: SessionHandle
  /** What runs and waits, in the order of the gate of the session, which lets in one turn after the other. */
  readonly turns: Map<SharedTurn.SharedTurn, MessageContent>
  /** Whether the server has the session no more, so that the next message opens another. */
  isGone: boolean
}

const tooManyTurns = new Refusal({ status: 429, text: "Too many messages wait for the agent. Try again later." })

/** Makes chats, all of which end with the scope. */
export const make = Effect.fnUntraced(function*(options: ChatsOptions) {
  const { idleTimeToLive = "15 minutes", maxChats = 100, maxTurns = 10, whenLeft = "cancel" } = options
  const sessions = yield* Sessions
  const scope = yield* Scope.Scope
  const map: RcMap.RcMap<string, Chat, AshError | Cause.ExceededCapacityError> = yield* RcMap.make({
    lookup: (key: string): Effect.Effect<Chat, AshError, Scope.Scope> =>
      sessions.open(options.session, {
        ...options.handle,
        recovery: "restart",
        keepWorkspace: true,
        onInterrupt: "stop",
        whenBusy: "wait"
      }).pipe(
        Effect.map((session) => ({ key, session, turns: new Map(), isGone: false })),
        // A failure is not kept: the next request tries again. It is taken out beside this fiber, which it may end.
        Effect.tapCause(() => Effect.forkIn(RcMap.invalidate(map, key), scope, { startImmediately: true }))
      ),
    idleTimeToLive,
    capacity: maxChats
  })

  /** Does something with the chat of a key, if it has a session. */
  const find = <A, E, R>(key: string, use: (chat: Chat) => Effect.Effect<A, E, R>) =>
    Effect.flatMap(RcMap.getOption(map, key), (chat) => Option.isNone(chat) ? Effect.undefined : use(chat.value))

  /** Takes a chat out whose session is gone: once, as another may have its key by then. */
  const leaveGone = (chat: Chat) => ({ reason }: AshError) => {
    if (chat.isGone || reason._tag !== "NotFound" && reason._tag !== "WrongState") return Effect.void
    chat.isGone = true
    return RcMap.invalidate(map, chat.key)
  }

  /** Starts a turn, which holds its chat until its end, also where it has no reader. */
  const startTurn = Effect.fnUntraced(function*(chat: Chat, content: MessageContent, hold: Scope.Closeable) {
    if (chat.turns.size >= maxTurns) return yield* tooManyTurns
    const events = chat.session.stream(content, { ...options.turn, includePartialMessages: true }).pipe(
      Stream.tapError((error) => Effect.andThen(Effect.logWarning(error.message), leaveGone(chat)(error)))
    )
    const turn: SharedTurn.SharedTurn = yield* SharedTurn.start(chunksOfTurn(events, options), {
      stopsUnread: whenLeft === "cancel",
      onEnd: Effect.suspend(() => {
        chat.turns.delete(turn)
        return Scope.close(hold, Exit.void)
      })
    }).pipe(Scope.provide(scope))
    chat.turns.set(turn, content)
    return turn
  })

  /** The messages of a chat. The turn that runs is there as its prompt alone: who reads it has it from its start. */
  const history = Effect.fnUntraced(function*(chat: Chat) {
    // Before the messages are read: what ends meanwhile is then missing, and a page that finds it over reads again.
    const [running] = chat.turns.keys()
    const hasAnswered = running?.hasAnswered() ?? false
    const prompts = [...chat.turns.values()]
    const stored = yield* Stream.runCollect(chat.session.history()).pipe(
      Effect.tapError(leaveGone(chat)),
      Effect.catchIf(() => chat.isGone, () => Effect.succeed([]))
    )
    return withRunning(uiMessagesOf(stored), prompts, hasAnswered)
  })

  return {
    /** Sends a message to a chat, whose session is opened if there is none, and reads its turn from its start. */
    send: (key: string, content: MessageContent) =>
      Effect.uninterruptibleMask(Effect.fnUntraced(function*(restore) {
        const hold = yield* Scope.make()
        const turn = yield* restore(RcMap.get(map, key)).pipe(
          Scope.provide(hold),
          Effect.flatMap((chat) => startTurn(chat, content, hold)),
          Effect.onError(() => Scope.close(hold, Exit.void))
        )
        return yield* turn.read
      })),
    /** Reads the turn that runs, or runs next, from its start. */
    resume: (key: string) =>
      find(key, ({ turns }) => {
        const [running] = turns.keys()
        return running === undefined ? Effect.undefined : running.read
      }),
    stop: (key: string) =>
      find(key, ({ turns }) => Effect.forEach(turns.keys(), ({ stop }) => stop, { concurrency: "unbounded" })),
    /** The messages of a chat, none where it has no session. */
    history: (key: string) => Effect.map(find(key, history), (messages): ReadonlyArray<UiMessage> => messages ?? [])
  }
})
