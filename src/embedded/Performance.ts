/** Performs a script: makes of its steps the messages that a real agent sends. */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as SecureRandom from "effect/crypto/SecureRandom"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { AgentScript, AgentStep, AgentTurn, ToolOutcome, TurnResult } from "./AgentScript.ts"
import * as SdkMessages from "./SdkMessages.ts"

/** What a performance needs of the sandbox that it runs in. */
export interface Stage {
  readonly conversation: string
  readonly permissionMode: string
  readonly mcpServers: ReadonlyArray<string>
  readonly emit: (message: Schema.JsonObject) => Effect.Effect<void>
  readonly log: (level: "stdout" | "stderr", text: string) => Effect.Effect<void>
}

/** How a performance ended. */
export type Ending =
  | { readonly _tag: "Finished" }
  | { readonly _tag: "Failed"; readonly error: string }
  | { readonly _tag: "Crashed" }

const defaultModel = "claude-sonnet-4-6"

/** Performs a script, until it ends. */
export const perform = (script: AgentScript, turn: AgentTurn, stage: Stage) =>
  Effect.gen(function*() {
    const random = yield* SecureRandom.SecureRandom
    const start = yield* Clock.currentTimeMillis
    const voice = { conversation: stage.conversation, model: turn.options.model ?? defaultModel }
    const isPartial = turn.options.includePartialMessages === true

    const send = (message: Schema.JsonObject) =>
      Effect.flatMap(random.uuidV4(), (uuid) => stage.emit({ ...message, uuid }))
    const sendPartial = (event: Schema.JsonObject) => isPartial ? send(SdkMessages.partial(voice, event)) : Effect.void
    const identifier = (prefix: string) =>
      Effect.map(random.uuidV4(), (uuid) => `${prefix}_01${uuid.replaceAll("-", "").slice(0, 22)}`)

    let calls = 0
    let pieces = 0
    let answer = ""
    // The model call that is being written: its id, and how many blocks it has.
    let call: { readonly id: string; readonly blocks: number } | undefined

    const openCall = Effect.gen(function*() {
      if (call !== undefined) return call
      call = { id: yield* identifier("msg"), blocks: 0 }
      calls += 1
      yield* sendPartial(SdkMessages.messageStart(voice, call.id))
      return call
    })

    const closeCall = (stopReason: string) =>
      Effect.gen(function*() {
        if (call === undefined) return
        call = undefined
        yield* sendPartial(SdkMessages.messageDelta(stopReason))
        yield* sendPartial({ type: "message_stop" })
      })

    const write = <E>(options: {
      readonly empty: Schema.JsonObject
      readonly pieces: Stream.Stream<string, E>
      readonly delay?: Duration.Duration
      readonly delta: (piece: string) => Schema.JsonObject
      /** What comes behind the pieces. */
      readonly last?: Schema.JsonObject
      readonly block: (text: string) => Schema.JsonObject
    }) =>
      Effect.gen(function*() {
        const { blocks: index, id } = yield* openCall
        const sendDelta = Effect.fnUntraced(function*(delta: Schema.JsonObject) {
          if (options.delay !== undefined) yield* Effect.sleep(options.delay)
          yield* sendPartial({ type: "content_block_delta", index, delta })
          pieces += 1
        })
        let text = ""
        yield* sendPartial({ type: "content_block_start", index, content_block: options.empty })
        yield* Stream.runForEach(options.pieces, (piece) => {
          text += piece
          return sendDelta(options.delta(piece))
        })
        if (options.last !== undefined) yield* sendDelta(options.last)
        // A real agent, too, sends the whole block before it says that the block stopped.
        yield* send(SdkMessages.assistant(voice, id, options.block(text)))
        yield* sendPartial({ type: "content_block_stop", index })
        call = { id, blocks: index + 1 }
        return text
      })

    const useTool = Effect.fnUntraced(function*(step: Extract<AgentStep, { readonly _tag: "UseTool" }>) {
      const id = yield* identifier("toolu")
      const { input, name } = step
      yield* write({
        empty: { type: "tool_use", id, name, input: {} },
        pieces: Stream.fromIterable(chunk(JSON.stringify(input))),
        delta: (json) => ({ type: "input_json_delta", partial_json: json }),
        block: () => ({ type: "tool_use", id, name, input })
      })
      yield* closeCall("tool_use")
      const outcome = yield* Effect.catch(
        step.result,
        // A real tool that fails answers with a text, not with an object of its own.
        (error): Effect.Effect<ToolOutcome> =>
          Effect.succeed({ content: error.message, isError: true, raw: `Error: ${error.message}` })
      )
      yield* send(SdkMessages.toolResult(voice, {
        id,
        content: outcome.content,
        isError: outcome.isError ?? false,
        raw: outcome.raw ??
          { stdout: outcome.content, stderr: "", interrupted: false, isImage: false, noOutputExpected: false }
      }))
    })

    const finish = Effect.fnUntraced(function*(result: TurnResult) {
      yield* closeCall("end_turn")
      yield* send(SdkMessages.result(voice, {
        turn: result,
        answer,
        usage: result.usage ?? { input_tokens: 100 * calls, output_tokens: pieces },
        calls,
        duration: (yield* Clock.currentTimeMillis) - start
      }))
    })

    const play = Effect.fnUntraced(function*(step: AgentStep) {
      switch (step._tag) {
        case "Say":
          answer = yield* write({
            empty: { type: "text", text: "" },
            pieces: step.pieces,
            delay: step.delay,
            delta: (text) => ({ type: "text_delta", text }),
            block: (text) => ({ type: "text", text })
          })
          return
        case "Think": {
          const signature = "ZWZmZWN0LWFzaA=="
          yield* write({
            empty: { type: "thinking", thinking: "", signature: "" },
            pieces: step.pieces,
            delay: step.delay,
            delta: (thinking) => ({ type: "thinking_delta", thinking }),
            last: { type: "signature_delta", signature },
            block: (thinking) => ({ type: "thinking", thinking, signature })
          })
          return
        }
        case "UseTool":
          return yield* useTool(step)
        case "Message":
          return yield* stage.emit(step.message)
        case "Log":
          return yield* stage.log(step.level, step.text)
        case "Silence":
          return yield* Effect.never
        case "Finish":
          return yield* finish(step.result)
        case "Fail":
        case "Crash":
          return
      }
    })

    yield* send(SdkMessages.init(voice, { ...stage, cwd: turn.workspace.directory }))
    const last = yield* Stream.suspend(() => script(turn)).pipe(
      Stream.takeUntil(isLast),
      Stream.mapEffect((step) => Effect.as(play(step), step)),
      Stream.runLast
    )
    return yield* Option.match(Option.filter(last, isLast), {
      onNone: () => Effect.as(finish({}), finished),
      onSome: (step) => Effect.succeed(endingOf(step))
    })
  }).pipe(
    Effect.catchCause((cause) =>
      Cause.hasInterrupts(cause) ? Effect.interrupt : Effect.succeed<Ending>({ _tag: "Failed", error: textOf(cause) })
    )
  )

type LastStep = Extract<AgentStep, { readonly _tag: "Finish" | "Fail" | "Crash" }>

const isLast = (step: AgentStep): step is LastStep =>
  step._tag === "Finish" || step._tag === "Fail" || step._tag === "Crash"

const finished: Ending = { _tag: "Finished" }

const endingOf = (step: LastStep): Ending => {
  switch (step._tag) {
    case "Finish":
      return finished
    case "Fail":
      return { _tag: "Failed", error: step.message }
    case "Crash":
      return { _tag: "Crashed" }
  }
}

const textOf = (cause: Cause.Cause<Error>): string => {
  const error = Cause.squash(cause)
  return error instanceof Error ? error.message : String(error)
}

const chunk = (text: string): ReadonlyArray<string> => text.match(/[^]{1,10}/gu) ?? []
