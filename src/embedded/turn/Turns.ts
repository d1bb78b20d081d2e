/** Runs the turns of sessions: an agent performs its script in a sandbox, and the server relays its messages. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as PubSub from "effect/PubSub"
import type * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { ErrorResponse } from "../../schema/ErrorResponse.ts"
import type { Session } from "../../schema/Session.ts"
import { Settings } from "../EmbeddedOptions.ts"
import type { AgentOutput, Sandbox } from "../sandbox/Sandbox.ts"
import { Sandboxes } from "../sandbox/Sandboxes.ts"
import { Store } from "../store/Store.ts"
import * as Errors from "../wire/Errors.ts"
import * as Frames from "../wire/Frames.ts"
import * as FrameWriter from "./FrameWriter.ts"
import * as Performance from "./Performance.ts"

export class TurnFailure extends Data.TaggedError("TurnFailure")<{ readonly message: string }> {}

/** The words of what ended a turn without a reader. */
export const messageOf = (error: unknown): string => {
  const words = error instanceof ErrorResponse ? error.body.error : undefined
  return words ?? Errors.messageOf(error)
}

interface StartOptions extends Omit<Performance.AgentRequest, "history"> {
  /** How many bytes may wait for the reader before the turn does. */
  readonly capacity: number
}

/** Starts a turn, and answers its frames, which end with it. The surrounding scope is that of the client's connection. */
export const start = Effect.fnUntraced(function*({ capacity, content, options, sandbox, session }: StartOptions) {
  const { quirks } = yield* Settings
  const store = yield* Store
  const settings = yield* store.settings(session.id)
  const history = yield* store.messages(session.id)
  yield* store.addMessage(session.id, "user", { type: "user", content })
  yield* store.updateSession(session.id, {})

  // The end of the connection ends the relay, and with it what is stored.
  const owner = quirks.dropAfterDisconnect ? yield* Effect.scope : (yield* Sandboxes).scope
  const relayScope = yield* Scope.fork(owner)
  const subscription = yield* Scope.provide(sandbox.subscribe, relayScope)
  const writer = yield* FrameWriter.make(quirks.cutStalledReaders ? capacity : undefined)
  yield* Effect.addFinalizer(() => writer.abandon)
  const number = yield* sandbox.nextTurn
  yield* relay({ session, sandbox, turn: number, subscription, writer }).pipe(
    Effect.ensuring(Scope.close(relayScope, Exit.void)),
    Effect.forkIn(owner)
  )

  const turn = perform({ content, history, options: { ...settings, ...options }, sandbox, session }, number)
  yield* sandbox.start(quirks.mixTurns ? turn : sandbox.turnLock.withPermit(turn))
  return writer.stream
})

interface Relay {
  readonly session: Session
  readonly sandbox: Sandbox
  readonly turn: number
  readonly subscription: PubSub.Subscription<AgentOutput>
  readonly writer: FrameWriter.FrameWriter
}

/** Relays outputs until one ends the stream: under the quirk `mixTurns` that may be one of another turn. */
const relay = Effect.fnUntraced(function*(way: Relay) {
  const { quirks } = yield* Settings
  const isOfTurn = ({ event, turn }: AgentOutput) => quirks.mixTurns || turn === way.turn || event._tag === "Died"
  yield* PubSub.take(way.subscription).pipe(
    Effect.flatMap((output) => isOfTurn(output) ? pass(way, output) : Effect.succeed(true)),
    Effect.repeat({ while: (goesOn) => goesOn })
  )
})

/** Sends an output, stores it if it is new, and answers whether others may follow. */
const pass = Effect.fnUntraced(function*({ writer, sandbox, session }: Relay, output: AgentOutput) {
  const { quirks } = yield* Settings
  const store = yield* Store
  const sandboxes = yield* Sandboxes
  const isNew = sandbox.claim(output)
  const { event } = output
  switch (event._tag) {
    case "Message": {
      const isTaken = yield* Effect.interruptible(writer.write(Frames.fromMessage(event.message)))
      // What the reader does not take is not stored, nor what follows.
      if (!isTaken) yield* writer.end([Frames.writeTimeout, Frames.done(session.id)])
      else if (yield* isNew) yield* remember(session, event.message)
      return isTaken
    }
    case "Failed":
      if (yield* isNew) yield* store.addEvent(session.id, "error", { error: event.error })
      yield* writer.end([Frames.error(event.error)])
      return false
    case "Done":
      if (yield* isNew) yield* sandboxes.persist(sandbox.id)
      yield* writer.end([Frames.done(event.sessionId)])
      return false
    case "Died":
      if (quirks.hangOnDeadSandbox) return true
      yield* writer.end([Frames.error("Sandbox died"), Frames.done(session.id)])
      return false
  }
  // What was sent is stored, even where the reader disconnects at once.
}, Effect.uninterruptible)

/** Stores what a server keeps of a message: its usage, itself, and its events of the timeline. */
const remember = Effect.fnUntraced(function*(session: Session, message: Schema.JsonObject) {
  const store = yield* Store
  if (message["type"] === "result") yield* store.usage.count(session, message)
  if (Frames.isStored(message)) yield* store.addMessage(session.id, "assistant", message)
  for (const { data, event } of Frames.timeline(message)) yield* store.addEvent(session.id, event, data)
})

/** The agent's part of a turn: it goes on whether or not a reader is connected. */
const perform = Effect.fnUntraced(function*(request: Performance.AgentRequest, number: number) {
  const { sandbox, session } = request
  const sandboxes = yield* Sandboxes
  const ending = yield* Performance.perform(request, (message) => sandbox.emit(number, { _tag: "Message", message }))
  switch (ending._tag) {
    case "Finished":
      return yield* sandbox.emit(number, { _tag: "Done", sessionId: session.id })
    case "Failed":
      return yield* sandbox.emit(number, { _tag: "Failed", error: ending.error })
    case "Crashed":
      // Not in this fiber: the end of the sandbox waits for its turns, and this is one of them.
      yield* Effect.forkIn(sandboxes.crash(sandbox.id), sandboxes.scope)
      return yield* Effect.never
  }
})

/** Runs a turn without a reader, and answers with the texts of the agent. Nothing of it is stored. */
export const ask = Effect.fnUntraced(function*(sandbox: Sandbox, session: Session, prompt: string) {
  const sandboxes = yield* Sandboxes
  const request = { content: prompt, history: [], options: {}, sandbox, session }
  let answer = ""
  const ending = yield* sandbox.run(Performance.perform(request, (message) =>
    Effect.sync(() => {
      answer += Frames.textOf(message)
    })))
  switch (ending._tag) {
    case "Finished":
      return answer
    case "Failed":
      return yield* new TurnFailure({ message: ending.error })
    case "Crashed":
      yield* sandboxes.crash(sandbox.id)
      return yield* new TurnFailure({ message: "Sandbox died" })
  }
})
