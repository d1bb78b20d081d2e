/** What the events of a turn show of it, for its span and its metrics. */
import * as Predicate from "effect/Predicate"
import type { ClaudeMessage } from "../../schema/ClaudeMessage.ts"
import type { Turn } from "../../schema/Turn.ts"
import { present } from "../turn/agentText.ts"
import type { TurnEvent } from "../turn/turnFold.ts"

export class TurnWatch {
  firstAt: bigint | undefined
  /** The model that answers, as the last message of the agent itself names it. */
  model: string | undefined
  result: Turn["result"]
  end: "Done" | "TurnError" | undefined

  /** Takes in what was received, and counts in it the pieces of text and thinking, and the messages of the agent. */
  take(batch: ReadonlyArray<TurnEvent>, now: bigint) {
    let pieces = 0
    let messages = 0
    let hasPartial = false
    for (const event of batch) {
      if (event._tag === "TextDelta" || event._tag === "ThinkingDelta") pieces += 1
      else if (event._tag === "Partial") hasPartial = true
      else if (event._tag === "Done" || event._tag === "TurnError") this.end = event._tag
      else if (event._tag === "Message") {
        if (event.message._tag === "Assistant") messages += 1
        this.#message(event.message)
      }
    }
    if (hasPartial || pieces + messages > 0) this.firstAt ??= now
    return { pieces, messages }
  }

  #message(message: ClaudeMessage) {
    if (message._tag === "SystemInit") this.model = present(message.model) ?? this.model
    else if (message._tag === "Result") this.result = message
    else if (message._tag === "Assistant" && Predicate.isNullish(message.parent_tool_use_id)) {
      this.model = present(message.message.model) ?? this.model
    }
  }
}
