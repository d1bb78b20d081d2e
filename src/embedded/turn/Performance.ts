/** Performs a script: makes of its steps the messages that a real agent sends. */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Struct from "effect/Struct"
import { dirname, join } from "node:path"
import type { StoredMessage } from "../../schema/Message.ts"
import { objectionsToFormat } from "../../schema/outputSchema.ts"
import { textsOf } from "../../schema/promptText.ts"
import type { Session } from "../../schema/Session.ts"
import type { AgentStep, AgentTurn, ToolOutcome, TurnOptions, TurnResult, Workspace } from "../AgentScript.ts"
import { Settings } from "../EmbeddedOptions.ts"
import type { Sandbox } from "../sandbox/Sandbox.ts"
import * as Errors from "../wire/Errors.ts"
import * as ModelCalls from "./ModelCalls.ts"
import * as SdkMessages from "./SdkMessages.ts"

export interface AgentRequest {
  readonly content: Schema.Json
  readonly history: ReadonlyArray<StoredMessage>
  readonly options: TurnOptions
  readonly sandbox: Sandbox
  readonly session: Session
}

type Emit = (message: Schema.JsonObject) => Effect.Effect<void>

type Ending =
  | { readonly _tag: "Finished" }
  | { readonly _tag: "Failed"; readonly error: string }
  | { readonly _tag: "Crashed" }

const defaultModel = "claude-sonnet-4-6"

/** Has the agent of a sandbox perform its script, and answers how that ended. */
export const perform = ({ content, history, options, sandbox, session }: AgentRequest, emit: Emit) =>
  Effect.gen(function*() {
    const { script } = yield* Settings
    const { includePartialMessages: isPartial = false, maxBudgetUsd, maxTurns = Infinity, model = defaultModel } =
      options
    const { conversation, directory, settings: { mcpServers = {}, permissionMode } } = sandbox
    const workspace = yield* workspaceOf(sandbox)
    const systemPrompt = yield* Effect.orElseSucceed(workspace.readFile("CLAUDE.md"), () => "")
    const agent = { name: session.agentName, systemPrompt }
    const turn: AgentTurn = { prompt: textsOf(content).join(""), content, options, history, workspace, session, agent }
    const identity = { conversation, model }
    const start = yield* Clock.currentTimeMillis
    const calls: ModelCalls.ModelCalls = yield* ModelCalls.make({ identity, isPartial, emit })
    yield* calls.send(
      SdkMessages.init(identity, { cwd: directory, permissionMode, mcpServers: Object.keys(mcpServers) })
    )
    let lastText = ""

    const sendResult = Effect.fnUntraced(function*(result: TurnResult, turns: number) {
      yield* ModelCalls.close(calls, "end_turn")
      yield* calls.send(SdkMessages.result(identity, {
        turn: isIgnored(options.outputFormat) ? Struct.omit(result, ["structuredOutput"]) : result,
        answer: lastText,
        usage: result.usage ?? { input_tokens: 100 * calls.count, output_tokens: calls.pieces },
        turns,
        duration: (yield* Clock.currentTimeMillis) - start
      }))
      return { _tag: "Finished" } as const
    })

    const isSpent = (cost: number) => maxBudgetUsd !== undefined && cost >= maxBudgetUsd

    const sendOutOfBudget = (result: TurnResult) =>
      sendResult({
        ...Struct.pick(result, ["usage", "cost"]),
        subtype: "error_max_budget_usd",
        errors: [`Reached maximum budget ($${maxBudgetUsd})`]
      }, calls.count)

    /** Ends the turn where a limit of it forbids another model call. */
    const reachedLimit = Effect.suspend((): Effect.Effect<Ending | undefined> => {
      if (isSpent(0)) return sendOutOfBudget({})
      if (calls.count < maxTurns) return Effect.undefined
      const errors = [`Reached maximum number of turns (${maxTurns})`]
      // A real agent counts the turn that it does not begin.
      return sendResult({ subtype: "error_max_turns", errors }, calls.count + 1)
    })

    /** Ends the turn with a result, or for its budget where the result has spent that. */
    const finish = (result: TurnResult) =>
      (result.subtype ?? "success") === "success" && isSpent(result.cost ?? 0)
        ? sendOutOfBudget(result)
        : sendResult(result, calls.count)

    /** Performs a step, and answers how the turn ended where the step ends it. */
    const play = Effect.fnUntraced(function*(step: AgentStep): Effect.fn.Return<Ending | undefined, Error> {
      switch (step._tag) {
        case "Say":
          lastText = yield* say(calls, step)
          return
        case "Think":
          yield* think(calls, step)
          return
        case "UseTool":
          yield* useTool(calls, step)
          return yield* reachedLimit
        case "Message":
          yield* emit(step.message)
          return
        case "Log":
          yield* sandbox.log(step.level, step.text)
          return
        case "Silence":
          return yield* Effect.never
        case "Finish":
          return yield* finish(step.result)
        case "Fail":
          return { _tag: "Failed", error: step.message }
        case "Crash":
          return { _tag: "Crashed" }
      }
    })

    let ending: Ending | undefined
    yield* Stream.suspend(() => script(turn)).pipe(
      Stream.runForEachWhile((step) =>
        Effect.map(play(step), (end) => {
          ending = end
          return end === undefined
        })
      )
    )
    return ending ?? (yield* finish({}))
  }).pipe(
    // Also where the script interrupts itself. The end of the sandbox interrupts this fiber, in which nothing catches it.
    Effect.catchCause((cause) =>
      Effect.succeed<Ending>({ _tag: "Failed", error: Errors.messageOf(Cause.squash(cause)) })
    )
  )

const workspaceOf = Effect.fnUntraced(function*({ directory, exec }: Sandbox) {
  const fileSystem = yield* FileSystem.FileSystem
  const workspace: Workspace = {
    directory,
    exec: (command) => exec(command),
    readFile: (file) => fileSystem.readFileString(join(directory, file)),
    writeFile: (file, text) =>
      Effect.andThen(
        fileSystem.makeDirectory(dirname(join(directory, file)), { recursive: true }),
        fileSystem.writeFileString(join(directory, file), text)
      )
  }
  return workspace
})

type StepOf<Tag extends AgentStep["_tag"]> = Extract<AgentStep, { readonly _tag: Tag }>

const say = (calls: ModelCalls.ModelCalls, { delay, pieces }: StepOf<"Say">) =>
  ModelCalls.write(calls, {
    empty: { type: "text", text: "" },
    pieces,
    delay,
    delta: (text) => ({ type: "text_delta", text }),
    whole: (text) => ({ type: "text", text })
  })

const signature = "ZWZmZWN0LWFzaA=="

const think = (calls: ModelCalls.ModelCalls, { delay, pieces }: StepOf<"Think">) =>
  ModelCalls.write(calls, {
    empty: { type: "thinking", thinking: "", signature: "" },
    pieces,
    delay,
    delta: (thinking) => ({ type: "thinking_delta", thinking }),
    last: { type: "signature_delta", signature },
    whole: (thinking) => ({ type: "thinking", thinking, signature })
  })

const useTool = Effect.fnUntraced(function*(calls: ModelCalls.ModelCalls, { input, name, result }: StepOf<"UseTool">) {
  const id = yield* calls.identifier("toolu")
  yield* ModelCalls.write(calls, {
    empty: { type: "tool_use", id, name, input: {} },
    pieces: Stream.fromIterable(chunk(JSON.stringify(input))),
    delta: (json) => ({ type: "input_json_delta", partial_json: json }),
    whole: () => ({ type: "tool_use", id, name, input })
  })
  yield* ModelCalls.close(calls, "tool_use")
  const { content, isError = false, raw } = yield* Effect.catch(
    result,
    // A real tool that fails answers with a text, not with an object of its own.
    (error): Effect.Effect<ToolOutcome> =>
      Effect.succeed({ content: error.message, isError: true, raw: `Error: ${error.message}` })
  )
  yield* calls.send(SdkMessages.toolResult(calls.identity, {
    id,
    content,
    isError,
    raw: raw ?? { stdout: content, stderr: "", interrupted: false, isImage: false, noOutputExpected: false }
  }))
})

const chunk = (text: string): ReadonlyArray<string> => text.match(/[^]{1,10}/gu) ?? []

/** A real agent is not offered a schema that does not compile, and so gives no structured output (docs/ash.md 3.6). */
const isIgnored = (format: AgentTurn["options"]["outputFormat"]) =>
  format !== undefined && objectionsToFormat(format).length > 0
