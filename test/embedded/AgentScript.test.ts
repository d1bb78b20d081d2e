import { assert, describe, it } from "@effect/vitest"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as AgentScript from "../../src/embedded/AgentScript.ts"
import { at, type Frame, listen, named, open, saidIn, say, textAt, withServer } from "../support/embeddedServer.ts"

const ofType = (frames: ReadonlyArray<Frame>, type: string) =>
  frames.map(({ data }) => data).filter((data) => at(data, "type") === type)
class ToolError extends Data.TaggedError("ToolError")<{ readonly message: string }> {}
const resultOf = (frames: ReadonlyArray<Frame>) => ofType(frames, "result")[0]
const scripted = (...steps: ReadonlyArray<AgentScript.AgentStep>) => ({ script: () => Stream.fromIterable(steps) })

describe("steps", () => {
  it.effect("the blocks of one model call share the id of the message, those of the next have another", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      const frames = yield* say(path, "hi")
      const blocks = ofType(frames, "assistant").map((message) => [
        textAt(message, "message", "id"),
        textAt(message, "message", "content", 0, "type")
      ])
      assert.deepStrictEqual(blocks.map(([, type]) => type), ["thinking", "text", "tool_use", "text"])
      assert.strictEqual(new Set(blocks.slice(0, 3).map(([id]) => id)).size, 1)
      assert.strictEqual(new Set(blocks.map(([id]) => id)).size, 2)
      assert.strictEqual(at(resultOf(frames), "num_turns"), 2)
      assert.strictEqual(at(resultOf(frames), "result"), "done")
    }).pipe(withServer({
      script: (turn) =>
        Stream.make(
          AgentScript.think("hm"),
          AgentScript.say("let me see"),
          AgentScript.bash(turn, "true"),
          AgentScript.say("done")
        )
    })))

  it.effect("a tool runs, and its result names its call", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      const frames = yield* say(path, "hi")
      const call = frames.find(named("tool_use"))?.data
      assert.strictEqual(at(call, "name"), "Bash")
      assert.deepStrictEqual(frames.find(named("tool_result"))?.data, { content: "out\n" })
      const [answer] = ofType(frames, "user")
      assert.deepStrictEqual(at(answer, "message", "content", 0), {
        tool_use_id: textAt(call, "id"),
        type: "tool_result",
        content: "out\nerr",
        is_error: true
      })
      assert.deepInclude(at(answer, "tool_use_result"), { stdout: "out\n", stderr: "err\n" })
    }).pipe(withServer({
      script: (turn) => Stream.make(AgentScript.bash(turn, "echo out; echo err >&2; exit 1"))
    })))

  it.effect("a tool that fails is the tool's failure, not the turn's", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      const frames = yield* say(path, "hi")
      assert.deepStrictEqual(frames.find(named("tool_result"))?.data, {})
      assert.deepInclude(at(ofType(frames, "user")[0], "message", "content", 0), { content: "no such", is_error: true })
      assert.strictEqual(frames.at(-1)?.event, "done")
    }).pipe(withServer(scripted(
      AgentScript.useTool({ name: "Read", input: {}, result: Effect.fail(new ToolError({ message: "no such" })) })
    ))))

  const tool = (result: Effect.Effect<never>) => Stream.make(AgentScript.useTool({ name: "Read", input: {}, result }))
  const interrupted = Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(Effect.never)
    yield* Fiber.interrupt(fiber)
    return yield* Fiber.join(fiber)
  })
  const broken: ReadonlyArray<readonly [what: string, script: AgentScript.AgentScript]> = [
    ["throws", () => {
      throw new Error("a bug")
    }],
    ["dies", () => Stream.die(new Error("a bug"))],
    ["interrupts itself", () => Stream.fromEffect(Effect.interrupt)],
    ["waits for a fiber that is interrupted", () => Stream.fromEffect(interrupted)],
    [
      "has a text that is interrupted",
      () => Stream.make(AgentScript.say("", { pieces: Stream.fromEffect(Effect.interrupt) }))
    ],
    ["has a tool that dies", () => tool(Effect.die(new Error("a bug")))],
    ["has a tool that interrupts itself", () => tool(Effect.interrupt)],
    ["has a tool that waits for a fiber that is interrupted", () => tool(interrupted)]
  ]
  for (const [what, script] of broken) {
    it.effect(`a script that ${what} fails its turn, which ends`, () =>
      Effect.gen(function*() {
        const { path } = yield* open()
        for (const _ of [1, 2]) assert.strictEqual((yield* say(path, "hi")).at(-1)?.event, "error")
      }).pipe(withServer({ script })))
  }

  it.effect("the input of a tool is streamed in pieces that make it up", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      const frames = yield* say(path, "hi", { includePartialMessages: true })
      const pieces = frames.filter(named("input_json_delta")).map(({ data }) => textAt(data, "partial_json"))
      assert.isAbove(pieces.length, 1)
      assert.strictEqual(pieces.join(""), "{\"file_path\":\"/a/längerer/Pfad 😀\"}")
    }).pipe(withServer(scripted(AgentScript.useTool({
      name: "Read",
      input: { file_path: "/a/längerer/Pfad 😀" },
      result: Effect.succeed({ content: "" })
    })))))

  it.effect("thinking is streamed, and sent once more as a whole", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      const deltas = (frames: ReadonlyArray<Frame>) =>
        frames.filter(named("thinking_delta")).map(({ data }) => at(data, "delta"))
      assert.deepStrictEqual(deltas(yield* say(path, "hi")), ["hm so"])
      assert.deepStrictEqual(deltas(yield* say(path, "hi", { includePartialMessages: true })), ["hm", " so", "hm so"])
    }).pipe(withServer(scripted(AgentScript.think("hm so")))))

  it.effect("the pieces of a text are those of the script, or its words", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      const frames = yield* say(path, "hi", { includePartialMessages: true })
      assert.deepStrictEqual(frames.filter(named("text_delta")).map(({ data }) => at(data, "delta")), [
        "a",
        "b c",
        " two",
        "\n words \n"
      ])
      assert.deepStrictEqual(saidIn(frames), ["ab c", " two\n words \n"])
    }).pipe(withServer(scripted(
      AgentScript.say("", { pieces: ["a", "b c"] }),
      AgentScript.say(" two\n words \n")
    ))))

  it.effect("a result has the fields that the script sets", () =>
    Effect.gen(function*() {
      const { path } = yield* open({ model: "m" })
      const frames = yield* say(path, "hi")
      assert.deepInclude(resultOf(frames), {
        subtype: "success",
        is_error: false,
        result: "other",
        total_cost_usd: 0.5,
        structured_output: { a: 1 }
      })
      assert.deepInclude(at(resultOf(frames), "usage"), { input_tokens: 7, output_tokens: 3 })
      assert.deepInclude(at(resultOf(frames), "modelUsage", "m"), { inputTokens: 7, outputTokens: 3, costUSD: 0.5 })
      assert.notInclude(saidIn(frames), "never")
    }).pipe(withServer(scripted(
      AgentScript.say("said"),
      AgentScript.finish({
        result: "other",
        usage: { input_tokens: 7, output_tokens: 3 },
        cost: 0.5,
        structuredOutput: { a: 1 }
      }),
      AgentScript.say("never")
    ))))

  it.effect("a result that is no success has no answer, and is no error", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      const frames = yield* say(path, "hi")
      assert.deepStrictEqual(frames.find(named("turn_complete"))?.data, { numTurns: 1 })
      assert.deepInclude(resultOf(frames), { subtype: "error_max_turns", is_error: false, errors: ["too many"] })
      assert.isUndefined(at(resultOf(frames), "result"))
    }).pipe(withServer(scripted(
      AgentScript.say("said"),
      AgentScript.finish({ subtype: "error_max_turns", errors: ["too many"] })
    ))))

  // A turn of three model calls, of which the first two call a tool.
  const threeCalls = { script: () => Stream.make(use("one"), use("two"), AgentScript.say("three"), costly) }
  const use = (name: string) =>
    AgentScript.useTool({ name, input: {}, result: Effect.succeed({ content: `${name} is done` }) })
  const costly = AgentScript.finish({ cost: 0.5, usage: { input_tokens: 7 }, structuredOutput: { a: 1 } })
  const ofTurns = (limit: number) => [`Reached maximum number of turns (${limit})`]
  const ofBudget = (limit: number) => [`Reached maximum budget ($${limit})`]
  const limits: ReadonlyArray<readonly [Schema.JsonObject, answers: number, Schema.JsonObject]> = [
    [{ maxTurns: 1 }, 1, { subtype: "error_max_turns", num_turns: 2, total_cost_usd: 0, errors: ofTurns(1) }],
    [{ maxTurns: 2 }, 2, { subtype: "error_max_turns", num_turns: 3, total_cost_usd: 0, errors: ofTurns(2) }],
    [{ maxTurns: 3 }, 2, { subtype: "success", num_turns: 3, result: "three" }],
    [{ maxBudgetUsd: 0 }, 1, { subtype: "error_max_budget_usd", num_turns: 1, errors: ofBudget(0) }],
    [{ maxBudgetUsd: 0.01 }, 2, { subtype: "error_max_budget_usd", total_cost_usd: 0.5, errors: ofBudget(0.01) }],
    [{ maxBudgetUsd: 0.5 }, 2, { subtype: "error_max_budget_usd", num_turns: 3, errors: ofBudget(0.5) }],
    [{ maxBudgetUsd: 0.51 }, 2, { subtype: "success", result: "three", structured_output: { a: 1 } }],
    [{ maxBudgetUsd: 0, maxTurns: 1 }, 1, { subtype: "error_max_budget_usd", num_turns: 1 }],
    [{ maxBudgetUsd: 0.1, maxTurns: 2 }, 2, { subtype: "error_max_turns", num_turns: 3 }]
  ]
  for (const [options, answers, expected] of limits) {
    it.effect(`a turn keeps within its limits: ${JSON.stringify(options)}`, () =>
      Effect.gen(function*() {
        const { id, path } = yield* open()
        const frames = yield* say(path, "hi", { ...options, includePartialMessages: true })
        const result = resultOf(frames)
        assert.deepInclude(result, { is_error: false, ...expected })
        assert.strictEqual(ofType(frames, "user").length, answers)
        assert.deepStrictEqual(frames.at(-1), { event: "done", data: { sessionId: id } })
        const calls = ofType(frames, "stream_event").map((message) => textAt(message, "event", "type"))
        assert.strictEqual(calls.lastIndexOf("message_stop"), calls.length - 1)
        if (expected["subtype"] === "success") return
        assert.isUndefined(at(result, "result"))
        assert.isUndefined(at(result, "structured_output"))
        assert.deepStrictEqual(frames.find(named("turn_complete"))?.data, { numTurns: Number(at(result, "num_turns")) })
      }).pipe(withServer(threeCalls)))
  }

  it.effect("a turn without a tool is one turn, however many texts it has", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      const frames = yield* say(path, "hi", { maxTurns: 1 })
      assert.deepInclude(resultOf(frames), { subtype: "success", num_turns: 1, result: "b" })
    }).pipe(withServer(scripted(AgentScript.say("a"), AgentScript.think("hm"), AgentScript.say("b")))))

  it.effect("a script without an end is cut at a limit", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      const frames = yield* say(path, "hi", { maxTurns: 5 })
      assert.deepInclude(resultOf(frames), { subtype: "error_max_turns", num_turns: 6 })
    }).pipe(withServer({ script: () => Stream.forever(Stream.make(use("again"))) })))

  it.effect("each message has an id of its own, and all the id of the conversation", () =>
    Effect.gen(function*() {
      const { id, path } = yield* open()
      const messages = (yield* say(path, "hi", { includePartialMessages: true })).filter(named("message"))
      assert.strictEqual(new Set(messages.map(({ data }) => textAt(data, "uuid"))).size, messages.length)
      const conversations = new Set(messages.map(({ data }) => textAt(data, "session_id")))
      assert.strictEqual(conversations.size, 1)
      assert.isFalse(conversations.has(id))
    }).pipe(withServer({ script: AgentScript.echo })))
})

describe("a turn", () => {
  it.effect("knows the agent, the session and the workspace", () =>
    Effect.gen(function*() {
      const { id, path } = yield* open({ systemPrompt: "be brief" })
      const [text] = saidIn(yield* say(path, "hi"))
      assert.strictEqual(text, `demo|be brief|${id}|be brief|written|written`)
    }).pipe(withServer({
      script: ({ agent, session, workspace }) =>
        Stream.fromEffect(Effect.gen(function*() {
          yield* workspace.writeFile("a/b.txt", "written")
          const { stdout } = yield* workspace.exec("cat a/b.txt")
          return AgentScript.say([
            agent.name,
            agent.systemPrompt,
            session.id,
            yield* workspace.readFile("CLAUDE.md"),
            yield* workspace.readFile("a/b.txt"),
            stdout
          ].join("|"))
        }))
    })))
})

describe("the default script", () => {
  it.effect("streams in many pieces, in time, and looks into the workspace", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      const turn = yield* listen(path, "Good morning", { includePartialMessages: true })
      yield* turn.until(({ data }) => at(data, "event", "type") === "content_block_start")
      yield* TestClock.adjust("25 millis")
      assert.deepStrictEqual((yield* turn.until(named("text_delta"))).at(-1)?.data, { delta: "Hello!" })
      const rest = yield* Effect.forkChild(turn.until(named("done")))
      yield* Effect.repeat(
        // The command takes real time, in which the clock may tick as well.
        Effect.andThen(
          TestClock.adjust("25 millis"),
          Effect.andThen(Effect.yieldNow, Effect.sync(() => rest.pollUnsafe()))
        ),
        { until: (exit) => exit !== undefined }
      )
      const frames = yield* Fiber.join(rest)
      assert.isAbove(frames.filter(named("text_delta")).length, 14)
      assert.deepStrictEqual(frames.find(named("tool_use"))?.data, {
        id: textAt(frames.find(named("tool_use"))?.data, "id"),
        name: "Bash",
        input: { command: "ls" }
      })
      assert.deepStrictEqual(frames.find(named("tool_result"))?.data, { content: "CLAUDE.md\n" })
      assert.deepStrictEqual(saidIn(frames).at(-1), "You said: Good morning")
    }).pipe(withServer()))

  it.live("takes less than two seconds for a long prompt, at 25 milliseconds a piece", () =>
    Effect.gen(function*() {
      const { path } = yield* open()
      const frames = yield* say(path, "word ".repeat(10_000), { includePartialMessages: true })
      assert.isBelow(frames.filter(named("text_delta")).length, 80)
      assert.match(saidIn(frames).at(-1) ?? "", /^You said: word .* \.\.\.$/)
    }).pipe(withServer()))
})
