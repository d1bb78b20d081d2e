/**
 * In what form content reaches the agent as it was given. Servers differ (docs/ash.md 6.1), and which one is which
 * shows only in what they refuse: a server is asked before the first message, by messages to no session.
 */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { AshError } from "../../schema/AshError.ts"
import { type ContentBlock, MessageContent } from "../../schema/Message.ts"
import { besideBlock, toTwoTexts } from "../../schema/promptText.ts"
import { InvalidRequest } from "../../schema/Reasons.ts"
import { isBrowser } from "../request/connection.ts"

/**
 * - `AsGiven`: texts and blocks both arrive intact.
 * - `SeveralBlocks`: a text would arrive as a list with that text, and a single block is refused; two blocks or more
 *   arrive intact.
 * - `TextOnly`: only texts are taken, of at most 100,000 characters.
 */
export type ContentForm = "AsGiven" | "SeveralBlocks" | "TextOnly"

/** Whether it is content: of a program without types it may be anything. */
export const isContent = Schema.is(MessageContent)

const text = (text: string): ContentBlock => ({ type: "text", text })

const inSeveralBlocks = (content: MessageContent): MessageContent => {
  if (Predicate.isString(content)) return toTwoTexts(content).map(text)
  const [block, ...others] = content
  if (block === undefined || others.length > 0) return content
  return block.type === "text" ? toTwoTexts(block.text).map(text) : [block, text(besideBlock)]
}

const refuse = (message: string) => Result.fail(new InvalidRequest({ message, field: "content" }))

const asText = (content: MessageContent): Result.Result<MessageContent, InvalidRequest> => {
  const blocks = Predicate.isString(content) ? [text(content)] : content
  if (!blocks.every((block) => block.type === "text")) {
    return refuse("content must be text: this server takes no images and no documents")
  }
  const joined = blocks.map(({ text }) => text).join("")
  return joined.length > 100_000
    ? refuse("content must be at most 100,000 characters on this server")
    : Result.succeed(joined)
}

/** The form in which content arrives intact, if there is one. */
export const toForm = (content: MessageContent, form: ContentForm): Result.Result<MessageContent, InvalidRequest> => {
  switch (form) {
    case "AsGiven":
      return Result.succeed(content)
    case "SeveralBlocks":
      return Result.succeed(inSeveralBlocks(content))
    case "TextOnly":
      return asText(content)
  }
}

/** Whether a server refuses a body, as it does one in a form that it does not take; by another status it refuses something else. */
const refusesBody = ({ reason }: AshError) => reason._tag === "InvalidRequest" && reason.http?.status === 400

/** Whether a message to no session is refused for its session, so that its content is in order. */
const isAccepted = <A>(attempt: Effect.Effect<A, AshError>): Effect.Effect<boolean, AshError> =>
  attempt.pipe(
    Effect.as(true),
    Effect.catchReason("AshError", "NotFound", () => Effect.succeed(true)),
    Effect.catchIf(refusesBody, () => Effect.succeed(false))
  )

const probeForm = Effect.fnUntraced(function*<A>(attempt: (content: MessageContent) => Effect.Effect<A, AshError>) {
  const block = { type: "text", text: "-" } as const
  if (yield* isAccepted(attempt([block]))) return "AsGiven"
  return (yield* isAccepted(attempt([block, block]))) ? "SeveralBlocks" : "TextOnly"
})

export type ContentForms = Effect.Success<ReturnType<typeof makeForms>>

/** Whether a server has refused a message, as one of another release may: it pauses all sessions when it starts. */
const isRefusal = (error: AshError) =>
  refusesBody(error) || (error.reason._tag === "WrongState" && error.reason.http !== undefined)

export const makeForms = <A>(attempt: (content: MessageContent) => Effect.Effect<A, AshError>) =>
  Effect.map(
    // Shared while it is asked for, and never kept: a clock that is set back would make a time of 0 a long one.
    Effect.cachedWithTTL(probeForm(attempt), -Infinity),
    (ask) => {
      let known: ContentForm | undefined
      /** What the server has answered, while no message was taken since: a refusal of that is asked about no more. */
      let answered: ContentForm | undefined
      const asked = Effect.tap(ask, (form) =>
        Effect.sync(() => {
          known = answered = form
        }))
      return {
        /** The form, where it is known. */
        known: () => known,
        /**
         * The form, asked for until a server has answered. Those that wait for one question share its answer or its failure; it
         * goes on while any of them waits. The console of a page shows each refusal, so that a page knows none until a message
         * was taken.
         */
        find: Effect.suspend(() => isBrowser() ? Effect.succeed(undefined) : asked),
        /**
         * Sends content in a form, or where none is known in the first one that the server takes. A server that refuses what it
         * took before may be of another release by now: it is asked again, and gets the message in another form if it takes one.
         */
        send: <A, R>(form: ContentForm | undefined, sendAs: (form: ContentForm) => Effect.Effect<A, AshError, R>) => {
          const sending = (form: ContentForm) =>
            Effect.map(sendAs(form), (answer) => {
              known = form
              answered = undefined
              return answer
            })
          const askAgain = (error: AshError) =>
            Effect.flatMap(
              Effect.mapError(asked, () => error),
              (next) => next === form ? error : sending(next)
            )
          return form !== undefined
            ? Effect.catchIf(
              sending(form),
              (error) => form !== answered && !isBrowser() && isRefusal(error),
              askAgain
            )
            : sending("SeveralBlocks").pipe(
              // A server that takes no blocks does nothing with them; neither does one that refuses something else.
              Effect.catchIf(refusesBody, (error) =>
                sending("TextOnly").pipe(Effect.catchReason("AshError", "InvalidRequest", () => error)))
            )
        }
      }
    }
  )
