/** Turns over prompts, one behind the other. */
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import { over } from "../../client/over.ts"
import { refuseOption } from "../../internal/request/options.ts"
import type { AshError } from "../../schema/AshError.ts"
import type { MessageContent, SendMessageOptions } from "../../schema/Message.ts"
import type { Turn } from "../../schema/Turn.ts"
import type { HandleState } from "./handleState.ts"
import { ask } from "./handleTurn.ts"

/** Where prompts come from: a stream, or an iterable, of which each is taken when it is its turn. */
export type Prompts<A, E = never, R = never> = Stream.Stream<A, E, R> | Iterable<A>

/** A stream of prompts, each of which is taken when it is its turn. */
export const streamOf = <A, E, R>(
  operation: string,
  prompts: Prompts<A, E, R>
): Stream.Stream<A, AshError | E, R> =>
  Stream.isStream(prompts)
    ? prompts
    // A text is an iterable of its characters, and is not meant to be.
    : Predicate.isIterable(prompts) && !Predicate.isString(prompts)
    ? Stream.fromIterable(prompts, { chunkSize: 1 })
    : Stream.fromEffect(
      refuseOption(operation, "prompts", "a stream, a list or another iterable; a text is one prompt")
    )

/** A prompt, or one with options of its own turn. */
export type Prompt = MessageContent | PromptWithOptions

/** A prompt with options of its own turn, which stand before those of all. */
export interface PromptWithOptions {
  readonly content: MessageContent
  readonly options?: SendMessageOptions | undefined
}

/** The content and the options of a prompt. */
export const promptOf = (prompt: Prompt, options: SendMessageOptions | undefined): Required<PromptWithOptions> =>
  Predicate.hasProperty(prompt, "content")
    ? { content: prompt.content, options: over(options, prompt.options) }
    : { content: prompt, options }

const operation = "SessionHandle.turns"

export const turns = <E, R>(
  handle: HandleState,
  prompts: Prompts<Prompt, E, R>,
  options: SendMessageOptions | undefined
): Stream.Stream<Turn, AshError | E, R> =>
  Stream.mapEffect(streamOf(operation, prompts), (prompt) => {
    const { content, options: own } = promptOf(prompt, options)
    return ask(handle, { operation, content, options: own })
  })
