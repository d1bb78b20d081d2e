/**
 * Transcripts of turns and conversations, as text and as Markdown: of events as they arrive, of stored messages, and of
 * turns. Calls of tools come with their results, and what a subagent did stands inside of the call that started it.
 */
import * as Stream from "effect/Stream"
import { Conversation, type PromptEntry, type Source } from "../internal/turn/transcript.ts"
import { type Form, markdownForm, textForm } from "../internal/turn/transcriptForms.ts"
import type { MessageContent } from "../schema/Message.ts"

export type { PromptEntry } from "../internal/turn/transcript.ts"

/** What a transcript is made of: events of turns, stored messages, turns, and prompts, in any order and mixture. */
export type TranscriptSource = Source

/** Writes a transcript: of a stream in pieces, as they can be written, and of a list as a whole. */
export interface Transcriber {
  <E, R>(source: Stream.Stream<TranscriptSource, E, R>): Stream.Stream<string, E, R>
  (source: Iterable<TranscriptSource>): string
}

/** A prompt, for transcripts of events, which do not have it. */
export const prompt = (content: MessageContent): PromptEntry => ({ _tag: "Prompt", content })

const transcriber = (form: Form): Transcriber => {
  const write = (conversation: Conversation, isAtEnd: boolean): ReadonlyArray<string> =>
    (isAtEnd ? conversation.finish() : conversation.ready()).map((entry) => `${form(entry)}\n\n`)

  function transcribe<E, R>(source: Stream.Stream<TranscriptSource, E, R>): Stream.Stream<string, E, R>
  function transcribe(source: Iterable<TranscriptSource>): string
  function transcribe<E, R>(source: Stream.Stream<TranscriptSource, E, R> | Iterable<TranscriptSource>) {
    if (!Stream.isStream(source)) {
      const conversation = new Conversation()
      for (const entry of source) conversation.take(entry)
      return write(conversation, true).join("")
    }
    return Stream.mapAccumArray(
      source,
      () => new Conversation(),
      (conversation, batch) => {
        for (const entry of batch) conversation.take(entry)
        return [conversation, write(conversation, false)]
      },
      { onHalt: (conversation) => write(conversation, true) }
    )
  }
  return transcribe
}

/**
 * The transcript as text, for a terminal or a log: prompts behind `>`, calls with their input, and indented below them what
 * is inside and the result. Control characters are escaped.
 *
 * **Example**
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { type SessionHandle, Transcript } from "effect-ash"
 *
 * const print = (session: SessionHandle) =>
 *   Stream.runForEach(Transcript.text(session.history()), (piece) => Effect.sync(() => process.stdout.write(piece)))
 * ```
 */
export const text: Transcriber = transcriber(textForm)

/**
 * The transcript as Markdown: calls of tools are folded, and what a subagent did is quoted inside of its call. Content that
 * would break it, as HTML or a code block without an end, stands in a code block.
 *
 * **Example**
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { type SessionHandle, Transcript } from "effect-ash"
 *
 * const ask = Effect.fn(function*(session: SessionHandle, question: string) {
 *   const events = yield* Stream.runCollect(session.stream(question))
 *   return Transcript.markdown([Transcript.prompt(question), ...events])
 * })
 * ```
 */
export const markdown: Transcriber = transcriber(markdownForm)
