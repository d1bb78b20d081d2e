/** From a prompt of `effect/ai` to what an agent is sent, and to the key by which its conversation is found. */
import type * as AiError from "effect/ai/AiError"
import type * as Prompt from "effect/ai/Prompt"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { blockOf, isReadable } from "../internal/turn/filePart.ts"
import { type ContentBlock, MessageContent } from "../schema/Message.ts"
import { jsonAt } from "../schema/Wire.ts"
import { refuse } from "./errors.ts"

/** The messages up to the last answer. */
export interface History {
  readonly key: string
  /** The session that gave the answer, where the prompt has it: answers are marked, and stored chats keep that. */
  readonly sessionId: string | undefined
}

/** A prompt, as an agent has to take it: a conversation that it knows, and what is new. */
export interface AgentPrompt {
  readonly history: History | undefined
  /** The system messages before the first answer. */
  readonly system: string
  readonly content: MessageContent
}

const partsOf = ({ content }: Prompt.Message) =>
  Predicate.isString(content) ? [{ type: "text" as const, text: content }] : content

const textOf = (message: Prompt.Message): string =>
  partsOf(message).flatMap((part) => part.type === "text" ? [part.text] : []).join("")

const sizeOf = (data: Prompt.FilePart["data"]) => data instanceof URL ? data.href : data.length

/** Of files the type and the size: a history that was stored and read again has the same. */
const filesOf = (message: Prompt.Message) =>
  partsOf(message).flatMap((part) => part.type === "file" ? [[part.mediaType, sizeOf(part.data)]] : [])

/** What the key of a history has of its messages: who wrote which text. The parts of tools are those of the agent. */
const entriesOf = (messages: ReadonlyArray<Prompt.Message>) =>
  messages.filter(({ role }) => role !== "tool").map((message) => [message.role, textOf(message), filesOf(message)])

export const keyWith = (messages: ReadonlyArray<Prompt.Message>, answer: string): string =>
  JSON.stringify([...entriesOf(messages), ["assistant", answer, []]])

/** The mark of an answer, as the metadata of its parts. */
export const markOf = (sessionId: string) => ({ ash: { sessionId } })

export const read = Effect.fnUntraced(function*(method: string, { content: messages }: Prompt.Prompt): Effect.fn.Return<
  AgentPrompt,
  AiError.AiError
> {
  const refused = (why: string) => refuse(method, "prompt", why)
  const last = messages.findLastIndex(({ role }) => role === "assistant" || role === "tool")
  const added = messages.slice(last + 1)
  const system = added.filter(({ role }) => role === "system")
  if (last >= 0 && system.length > 0) {
    return yield* refused("an agent takes system messages before its first answer only")
  }
  const parts = added.flatMap((message) => message.role === "user" ? message.content : [])
  const blocks = yield* Effect.forEach(
    parts,
    (part): Effect.Effect<ContentBlock, AiError.AiError> =>
      part.type === "text"
        ? Effect.succeed({ type: "text", text: part.text })
        : Effect.mapError(
          Effect.fromResult(blockOf(part)),
          (why) => refused(`a file of the type ${part.mediaType} cannot be sent: ${why}`)
        )
  )
  const readable = blocks.filter(isReadable)
  const [first, ...more] = readable.length === 0 ? blocks : readable
  if (first === undefined) return yield* refused("there is no user message behind the last answer")
  const content = first.type === "text" && more.length === 0 ? first.text : [first, ...more]
  if (!Schema.is(MessageContent)(content)) {
    return yield* refused("an agent takes a text of at most 500,000 characters, or 20 texts and files")
  }
  return {
    history: last < 0 ? undefined : {
      key: JSON.stringify(entriesOf(messages.slice(0, last + 1))),
      sessionId: messages.findLast((message) => message.role === "assistant")?.content.map(({ options }) =>
        jsonAt(options, "ash", "sessionId")
      ).find(Predicate.isString)
    },
    system: system.map(textOf).join("\n\n"),
    content
  }
})
