/**
 * What an agent of the embedded server answers. A script is a function from a turn to a stream of steps: say a text,
 * think, call a tool, finish, fail, fall silent or crash. The server turns them into the messages of a real agent.
 *
 * ```ts
 * import { Stream } from "effect"
 * import { AgentScript } from "effect-ash/embedded"
 *
 * const script: AgentScript.AgentScript = (turn) => Stream.make(AgentScript.say(`You said: ${turn.prompt}`))
 * ```
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import {
  amount,
  anObject,
  finite,
  flag,
  listOf,
  oneOf,
  optionsOf,
  required,
  type Rule,
  rule,
  text
} from "../internal/request/options.ts"
import type { TokenUsage } from "../schema/ClaudeMessage.ts"
import type { SendMessageRequest, StoredMessage } from "../schema/Message.ts"
import type { ExecResult, Session, UpdateSessionConfigRequest } from "../schema/Session.ts"

/**
 * The workspace of a session: a real folder, in which a real shell runs, with an environment of its own. It is no sandbox:
 * what runs in it has the rights of the user.
 */
export interface Workspace {
  /** The folder's path on this machine. */
  readonly directory: string
  /** Runs a command with `/bin/sh -c`. A death by signal shows as exit code 1. */
  readonly exec: (command: string) => Effect.Effect<ExecResult, Error>
  /** Reads a file, its path relative to the folder. */
  readonly readFile: (path: string) => Effect.Effect<string, Error>
  /** Writes a file, and the folders on the way to it. */
  readonly writeFile: (path: string, text: string) => Effect.Effect<void, Error>
}

/** The settings of a turn: those of the message, and those of the session where the message has none. */
export type TurnOptions = Omit<SendMessageRequest, "content"> & UpdateSessionConfigRequest

/** What an agent knows when a turn begins. */
export interface AgentTurn {
  /** The text of `content`: its texts one behind the other. */
  readonly prompt: string
  /** The content of the prompt as it reached the agent: under the quirk `content: "mangled"` a text is a list of it. */
  readonly content: Schema.Json
  readonly options: TurnOptions
  /** The stored messages of the session before this turn. */
  readonly history: ReadonlyArray<StoredMessage>
  readonly workspace: Workspace
  readonly session: Session
  readonly agent: {
    readonly name: string
    /** The text of the workspace's `CLAUDE.md`; empty where there is none. */
    readonly systemPrompt: string
  }
}

/** The script of an agent. A stream that fails ends the turn as {@link fail} does; one that just ends, as {@link finish}. */
export type AgentScript = (turn: AgentTurn) => Stream.Stream<AgentStep, Error>

/** What a tool answered. */
export interface ToolOutcome {
  readonly content: string
  readonly isError?: boolean | undefined
  /** The tool's own answer, in the tool's own shape. @default `{stdout: content, stderr: "", ...}` */
  readonly raw?: Schema.Json | undefined
}

/** How a turn ended. */
export interface TurnResult {
  /** @default "success" */
  readonly subtype?: string | undefined
  /** The answer; by default the last text, and none unless the subtype is `success`. */
  readonly result?: string | undefined
  /** @default made up from the number of model calls and the length of the texts */
  readonly usage?: TokenUsage | undefined
  /**
   * US dollars, of the whole turn: earlier steps cost nothing until this result counts them. Where it reaches the
   * `maxBudgetUsd` of the message, the turn ends with `error_max_budget_usd` in place of this result.
   *
   * @default 0
   */
  readonly cost?: number | undefined
  /** The answer to `outputFormat`. It is not sent where the message has one that servers ignore (docs/ash.md 3.6). */
  readonly structuredOutput?: Schema.Json | undefined
  /** @default false */
  readonly isError?: boolean | undefined
  /** What went wrong, for a subtype other than `success`. */
  readonly errors?: ReadonlyArray<string> | undefined
}

/** A call of a tool. */
export interface ToolUse {
  readonly name: string
  readonly input: Schema.Json
  /** What the tool does. */
  readonly result: Effect.Effect<ToolOutcome, Error>
}

/** A step of a script. Made by the constructors of this module. */
export type AgentStep =
  | { readonly _tag: "Say"; readonly pieces: Stream.Stream<string, Error>; readonly delay: Duration.Duration }
  | { readonly _tag: "Think"; readonly pieces: Stream.Stream<string, Error>; readonly delay: Duration.Duration }
  | { readonly _tag: "UseTool" } & ToolUse
  | { readonly _tag: "Message"; readonly message: Schema.JsonObject }
  | { readonly _tag: "Log"; readonly level: "stdout" | "stderr"; readonly text: string }
  | { readonly _tag: "Finish"; readonly result: TurnResult }
  | { readonly _tag: "Fail"; readonly message: string }
  | { readonly _tag: "Silence" }
  | { readonly _tag: "Crash" }

/** How a text is streamed. */
export interface SpeechOptions {
  /** The text's pieces, each a delta; in place of the text. @default its words */
  readonly pieces?: ReadonlyArray<string> | Stream.Stream<string, Error> | undefined
  /** The time before each piece. @default none */
  readonly delay?: Duration.Input | undefined
}

/** Makes a step. One whose options are none ends the turn with what is wrong with them. */
const made = <Options extends object>(
  name: string,
  rules: Rule,
  options: Options | undefined,
  make: (options: Partial<Options>) => AgentStep
): AgentStep => {
  const reason = rules(options, "options")
  return reason === undefined ? make(options ?? {}) : fail(`AgentScript.${name}: ${reason.message}`)
}

const aText = rule("a text", Predicate.isString)

/** What is none within it is left out, as it is in every message. */
const json = rule("JSON", Predicate.not(Predicate.isFunction))

const speechRules = optionsOf<SpeechOptions>({
  pieces: rule(
    "a list or a stream of texts",
    (pieces) => Array.isArray(pieces) ? pieces.every(Predicate.isString) : Stream.isStream(pieces)
  ),
  delay: finite
})

const speech = (name: "say" | "think", text: string, options: SpeechOptions | undefined) =>
  made(name, speechRules, options, ({ delay = 0, pieces = words(text) }) => ({
    _tag: name === "say" ? "Say" : "Think",
    pieces: Stream.isStream(pieces) ? pieces : Stream.fromIterable(pieces),
    delay: Duration.fromInputUnsafe(delay)
  }))

const words = (text: string): ReadonlyArray<string> => text.match(/\s*\S+\s*$|\s*\S+|\s+/g) ?? [text]

/** Says a text: a block of its own. Its deltas reach clients that ask for partial messages. */
export const say = (text: string, options?: SpeechOptions): AgentStep => speech("say", text, options)

/** Thinks a text. */
export const think = (text: string, options?: SpeechOptions): AgentStep => speech("think", text, options)

const toolRules = optionsOf<ToolUse>({
  name: required(text),
  input: json,
  result: required(rule("an Effect", Effect.isEffect))
})

/**
 * Calls a tool: runs `result` and gives its outcome to the agent. A failure is an error of the tool, not of the turn. The
 * steps that follow are another model call, which `maxTurns` counts as another turn. After the last of them the turn ends
 * with `error_max_turns`, and the rest of the script is not run.
 */
export const useTool = (options: ToolUse): AgentStep =>
  made("useTool", toolRules, options, () => ({ _tag: "UseTool", ...options }))

/** Runs a command in the workspace, as the tool `Bash`. */
export const bash = (turn: AgentTurn, command: string): AgentStep =>
  useTool({
    name: "Bash",
    input: { command },
    result: Effect.map(turn.workspace.exec(command), ({ exitCode, stderr, stdout }) => ({
      content: [stdout, stderr].map((text) => text.trimEnd()).filter((text) => text !== "").join("\n"),
      isError: exitCode !== 0,
      raw: { stdout, stderr, interrupted: false, isImage: false, noOutputExpected: false }
    }))
  })

/** Sends a message of the Claude Agent SDK as it is. */
export const message = (message: Schema.JsonObject): AgentStep =>
  made("message", (value) => required(anObject)(value, "message"), message, () => ({ _tag: "Message", message }))

const logRules = optionsOf<{ readonly text: string; readonly level: string }>({
  text: required(aText),
  level: oneOf("stdout", "stderr")
})

/** Writes a line to the log of the sandbox. */
export const log = (text: string, level: "stdout" | "stderr" = "stdout"): AgentStep =>
  made("log", logRules, { text, level }, () => ({ _tag: "Log", level, text }))

const resultRules = optionsOf<TurnResult>({
  subtype: text,
  result: aText,
  usage: anObject,
  cost: amount(0),
  structuredOutput: json,
  isError: flag,
  errors: listOf("texts", Predicate.isString)
})

/** Ends the turn with a result. The rest of the script is not run. */
export const finish = (result?: TurnResult): AgentStep =>
  made("finish", resultRules, result, (result) => ({ _tag: "Finish", result }))

/** Ends the turn with an `error` event, after which no `done` comes. */
export const fail = (message: string): AgentStep => ({ _tag: "Fail", message })

/** Sends nothing further: the stream stays open. */
export const silence: AgentStep = { _tag: "Silence" }

/** The process of the sandbox dies. */
export const crash: AgentStep = { _tag: "Crash" }

/** Answers with the prompt, and nothing else. */
export const echo: AgentScript = (turn) => Stream.make(say(turn.prompt))

/** The default: describes itself and the beginning of its instructions, lists the workspace with a command, and repeats the prompt. */
export const offline: AgentScript = (turn) =>
  Stream.make(
    say(
      `Hello! I am ${turn.agent.name}, on the embedded Ash server: no model is behind me. ` +
        `My instructions begin with "${beginning(turn.agent.systemPrompt)}" I look into my workspace.`,
      { delay: pause }
    ),
    bash(turn, "ls"),
    say(`You said: ${shorten(turn.prompt)}`, { delay: pause }),
    finish()
  )

/** The first sentence of a `CLAUDE.md`, behind its headings. */
const beginning = (text: string) =>
  shorten(/^[^#\s][^.!?\n]*[.!?]?/m.exec(text)?.[0] ?? text.replaceAll("#", "").trim())

const pause = Duration.millis(25)

// A long prompt must not make a long pause of it: the whole answer takes less than two seconds.
const shorten = (prompt: string) => {
  const all = words(prompt)
  return all.length <= 25 ? prompt : `${all.slice(0, 25).join("")} ...`
}
