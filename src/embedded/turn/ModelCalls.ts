/** The model calls of a turn: writes their blocks as the messages, and the partial messages, that a real agent sends. */
import * as SecureRandom from "effect/crypto/SecureRandom"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as SdkMessages from "./SdkMessages.ts"

export interface ModelCalls extends Effect.Success<ReturnType<typeof make>> {
  /** The call that is being written. */
  open?: { readonly id: string; readonly blocks: number } | undefined
}

export const make = Effect.fnUntraced(function*({ emit, isPartial, identity }: {
  readonly identity: SdkMessages.AgentIdentity
  readonly isPartial: boolean
  readonly emit: (message: Schema.JsonObject) => Effect.Effect<void>
}) {
  const random = yield* SecureRandom.SecureRandom
  const send = (message: Schema.JsonObject) => Effect.flatMap(random.uuidV4(), (uuid) => emit({ ...message, uuid }))
  return {
    identity,
    send,
    /** Sends an event of the Messages API, where the prompt asks for partial messages. */
    sendPartial: (event: Schema.JsonObject) => isPartial ? send(SdkMessages.partial(identity, event)) : Effect.void,
    /** A new id, in the form of the Messages API. */
    identifier: (prefix: string) =>
      Effect.map(random.uuidV4(), (uuid) => `${prefix}_01${uuid.replaceAll("-", "").slice(0, 22)}`),
    count: 0,
    /** How many deltas they have together. */
    pieces: 0
  }
})

export interface Block<E> {
  readonly empty: Schema.JsonObject
  readonly pieces: Stream.Stream<string, E>
  readonly delay?: Duration.Duration
  readonly delta: (piece: string) => Schema.JsonObject
  /** The delta that follows the pieces. */
  readonly last?: Schema.JsonObject
  readonly whole: (text: string) => Schema.JsonObject
}

/** Writes a block into the open call, or into a new one, and answers with its text. */
export const write = Effect.fnUntraced(function*<E>(calls: ModelCalls, block: Block<E>) {
  const { blocks: index, id } = calls.open ?? (yield* openCall(calls))
  const sendDelta = Effect.fnUntraced(function*(delta: Schema.JsonObject) {
    if (block.delay !== undefined) yield* Effect.sleep(block.delay)
    yield* calls.sendPartial({ type: "content_block_delta", index, delta })
    calls.pieces += 1
  })
  let text = ""
  yield* calls.sendPartial({ type: "content_block_start", index, content_block: block.empty })
  yield* Stream.runForEach(block.pieces, (piece) => {
    text += piece
    return sendDelta(block.delta(piece))
  })
  if (block.last !== undefined) yield* sendDelta(block.last)
  // A real agent, too, sends the whole block before the event that the block stopped.
  yield* calls.send(SdkMessages.assistant(calls.identity, id, block.whole(text)))
  yield* calls.sendPartial({ type: "content_block_stop", index })
  calls.open = { id, blocks: index + 1 }
  return text
})

const openCall = Effect.fnUntraced(function*(calls: ModelCalls) {
  const call = { id: yield* calls.identifier("msg"), blocks: 0 }
  calls.open = call
  calls.count += 1
  yield* calls.sendPartial(SdkMessages.messageStart(calls.identity, call.id))
  return call
})

export const close = Effect.fnUntraced(function*(calls: ModelCalls, stopReason: string) {
  if (calls.open === undefined) return
  calls.open = undefined
  yield* calls.sendPartial(SdkMessages.messageDelta(stopReason))
  yield* calls.sendPartial({ type: "message_stop" })
})
