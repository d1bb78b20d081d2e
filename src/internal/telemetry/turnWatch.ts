/** What the events of a turn show of it, for its span and its metrics. */
import * as Predicate from "effect/Predicate"
import type { ClaudeMessage } from "../../schema/ClaudeMessage.ts"
import type { Turn } from "../../schema/Turn.ts"
import { present } from "../turn/agentText.ts"
import type { TurnEvent } from "../turn/turnFold.ts"

/** What is seen of a turn. A chunk is a piece of text or thinking where pieces are asked for, and else a whole message. */
export class TurnWatch {
  readonly #hasPieces: boolean
  readonly #onNextChunk: (nanoseconds: bigint) => void
  #lastChunkAt: bigint | undefined
  /** When the first output was received. */
  firstAt: bigint | undefined
  /** The model that answers, as the last message of the agent itself names it. */
  model: string | undefined
  result: Turn["result"]
  /** Whether the turn's last event was received. */
  end: "done" | "error" | undefined

  /** Calls back with the time before each chunk but the first. */
  constructor(hasPieces: boolean, onNextChunk: (nanoseconds: bigint) => void) {
    this.#hasPieces = hasPieces
    this.#onNextChunk = onNextChunk
  }

  take(event: TurnEvent, now: bigint) {
    switch (event._tag) {
      case "TextDelta":
      case "ThinkingDelta":
        this.#output(now, this.#hasPieces)
        break
      case "Partial":
        this.#output(now, false)
        break
      case "Message":
        this.#message(event.message, now)
        break
      case "TurnError":
        this.end = "error"
        break
      case "Done":
        this.end = "done"
        break
    }
  }

  #output(now: bigint, isChunk: boolean) {
    this.firstAt ??= now
    if (!isChunk) return
    if (this.#lastChunkAt !== undefined) this.#onNextChunk(now - this.#lastChunkAt)
    this.#lastChunkAt = now
  }

  #message(message: ClaudeMessage, now: bigint) {
    if (message._tag === "SystemInit") this.model = present(message.model) ?? this.model
    else if (message._tag === "Result") this.result = message
    else if (message._tag === "Assistant") {
      this.#output(now, !this.#hasPieces)
      if (Predicate.isNullish(message.parent_tool_use_id)) this.model = present(message.message.model) ?? this.model
    }
  }
}
