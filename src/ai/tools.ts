/** The tools that a program declares: an agent runs its own, and a program can only name those that it wants to see. */
import * as AiError from "effect/ai/AiError"
import type * as LanguageModel from "effect/ai/LanguageModel"
import * as Tool from "effect/ai/Tool"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { ToolCall } from "../schema/Turn.ts"
import { textOrJson } from "../schema/Wire.ts"
import { aiError, refuse } from "./errors.ts"

const noHandler =
  "an agent runs its own tools, and calls no handler of a program. Give it an MCP server, or declare a " +
  "tool of the agent's by Tool.providerDefined without a handler"

/** Refuses tools that a program would have to run, and a choice among them. */
export const checkTools = (method: string, { toolChoice, tools }: LanguageModel.ProviderOptions) => {
  const handled = tools.find((tool) => !(Tool.isProviderDefined(tool) && !tool.requiresHandler))
  if (handled !== undefined) {
    return aiError(method, new AiError.ToolConfigurationError({ toolName: handled.name, description: noHandler }))
  }
  return toolChoice === "auto" || (toolChoice === "none" && tools.length === 0)
    ? Effect.void
    : refuse(method, "toolChoice", "an agent chooses its tools itself")
}

/** A result in the form that `effect/ai` has for one. */
interface DeclaredResult {
  readonly result: unknown
  readonly isFailure: boolean
}

export interface DeclaredTool {
  readonly name: string
  /** Whether an input is as it is declared. */
  readonly takes: (input: unknown) => Effect.Effect<boolean>
  readonly resultOf: (result: NonNullable<ToolCall["result"]>) => Effect.Effect<DeclaredResult>
}

/** Whether values are those of a schema. The services that decoding needs are those of the caller, in whose fiber this runs. */
const accepts = (schema: Schema.Constraint) => {
  const decode = Schema.decodeUnknownEffect(Schema.make<Schema.Codec<unknown>>(schema.ast))
  return (value: unknown) => Effect.isSuccess(decode(value))
}

const failure = (reason: string): DeclaredResult => ({
  result: { type: "execution-interrupted", reason } satisfies typeof Tool.ExecutionFailure.Encoded,
  isFailure: true
})

/**
 * Agents give their tools what they like. A part that is not as it is declared would fail the whole call, which has done its
 * work, with an error that programs repeat.
 */
const declared = (tool: Tool.Any): DeclaredTool => {
  const succeeds = accepts(tool.successSchema)
  const fails = accepts(tool.failureSchema)
  return {
    name: tool.name,
    takes: accepts(tool.parametersSchema),
    resultOf: ({ content, isError }) =>
      Effect.map((isError ? fails : succeeds)(content), (isAsDeclared) =>
        isAsDeclared
          ? { result: content, isFailure: isError }
          : failure(isError ? textOrJson(content) : "the result of the tool is not of its success schema"))
  }
}

/** The tools that a program declares, by the agent's names. */
export const declaredTools = (tools: ReadonlyArray<Tool.Any>): ReadonlyMap<string, DeclaredTool> =>
  new Map(tools.map((tool) => [Tool.isProviderDefined(tool) ? tool.providerName : tool.name, declared(tool)]))
