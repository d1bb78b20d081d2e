/** Performs a script: makes of its steps the messages that a real agent sends. */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as SecureRandom from "effect/crypto/SecureRandom"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Struct from "effect/Struct"
import type { AgentScript, AgentStep, AgentTurn, ToolOutcome, TurnResult } from "../AgentScript.ts"
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
    const { includePartialMessages: isPartial = false, maxBudgetUsd, maxTurns = Infinity } = turn.options

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

    const finish = Effect.fnUntraced(function*(result: TurnResult, turns: number) {
      yield* closeCall("end_turn")
      yield* send(SdkMessages.result(voice, {
        turn: result,
        answer,
        usage: result.usage ?? { input_tokens: 100 * calls, output_tokens: pieces },
        turns,
        duration: (yield* Clock.currentTimeMillis) - start
      }))
      return finished
    })

    const isSpent = (cost: number) => maxBudgetUsd !== undefined && cost >= maxBudgetUsd
    const outOfBudget = (result: TurnResult): TurnResult => ({
      ...Struct.pick(result, ["usage", "cost"]),
      subtype: "error_max_budget_usd",
      errors: [`Reached maximum budget ($${maxBudgetUsd})`]
    })

    /** What an agent does before it calls its model again: it ends the turn that has reached one of its limits. */
    const beforeNextCall = Effect.suspend(() =>
      isSpent(0)
        ? finish(outOfBudget({}), calls)
        : calls >= maxTurns
        // A real agent counts the turn that it does not begin.
        ? finish({ subtype: "error_max_turns", errors: [`Reached maximum number of turns (${maxTurns})`] }, calls + 1)
        : Effect.undefined
    )

    const play = Effect.fnUntraced(function*(step: AgentStep): Effect.fn.Return<Ending | undefined, Error> {
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
          yield* useTool(step)
          return yield* beforeNextCall
        case "Message":
          yield* stage.emit(step.message)
          return
        case "Log":
          yield* stage.log(step.level, step.text)
          return
        case "Silence":
          return yield* Effect.never
        case "Finish": {
          const { result } = step
          const isOver = (result.subtype ?? "success") === "success" && isSpent(result.cost ?? 0)
          return yield* finish(isOver ? outOfBudget(result) : result, calls)
        }
        case "Fail":
          return { _tag: "Failed", error: step.message }
        case "Crash":
          return { _tag: "Crashed" }
      }
    })

    yield* send(SdkMessages.init(voice, { ...stage, cwd: turn.workspace.directory }))
    let ending: Ending | undefined
    yield* Stream.suspend(() => script(turn)).pipe(
      Stream.runForEachWhile((step) =>
        Effect.map(play(step), (end) => {
          ending = end
          return end === undefined
        })
      )
    )
    return ending ?? (yield* play({ _tag: "Finish", result: {} })) ?? finished
  }).pipe(
    Effect.catchCause((cause) =>
      Cause.hasInterrupts(cause) ? Effect.interrupt : Effect.succeed<Ending>({ _tag: "Failed", error: textOf(cause) })
    )
  )

const finished: Ending = { _tag: "Finished" }

const textOf = (cause: Cause.Cause<Error>): string => {
  const error = Cause.squash(cause)
  return error instanceof Error ? error.message : String(error)
}

const chunk = (text: string): ReadonlyArray<string> => text.match(/[^]{1,10}/gu) ?? []
