/** The server's part of a turn: reads the output of a sandbox, stores what is new of it, and sends it as frames. */
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import type * as Schema from "effect/Schema"
import type { Session } from "../../schema/Session.ts"
import { Settings } from "../EmbeddedOptions.ts"
import type { AgentOutput, Sandbox } from "../sandbox/Sandbox.ts"
import { Sandboxes } from "../sandbox/Sandboxes.ts"
import { Store } from "../store/Store.ts"
import * as Frames from "../wire/Frames.ts"
import type * as FrameWriter from "./FrameWriter.ts"

export interface Relay {
  readonly session: Session
  readonly sandbox: Sandbox
  readonly turn: number
  readonly subscription: PubSub.Subscription<AgentOutput>
  readonly writer: FrameWriter.FrameWriter
}

/** Relays outputs until one ends the stream: under the quirk `mixTurns` that may be one of another turn. */
export const run = Effect.fnUntraced(function*(relay: Relay) {
  const { quirks } = yield* Settings
  const isOfTurn = ({ event, turn }: AgentOutput) => quirks.mixTurns || turn === relay.turn || event._tag === "Died"
  yield* PubSub.take(relay.subscription).pipe(
    Effect.flatMap((output) => isOfTurn(output) ? pass(relay, output) : Effect.succeed(true)),
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
