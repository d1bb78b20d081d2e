import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import * as RequestOptions from "../../../src/client/RequestOptions.ts"
import { AshClient } from "../../../src/services/AshClient.ts"
import { sessionId } from "../../support/fixtures.ts"
import * as Server from "../../support/ScriptedServer.ts"
import * as Tracing from "../../support/tracing.ts"
import * as Turns from "../../support/turns.ts"

const { answers, content, done, init, result, says, start, turnOf, uses, whole } = Turns

const serving = (script: Server.Script) => ({ ...Turns.serving(script), ...Tracing.make() })

/** The tree of a turn in a session that was opened for it, without the spans of its opening and its end. */
const treeOf = (
  script: Server.Script,
  run: (session: Effect.Success<ReturnType<AshClient["Service"]["sessions"]["open"]>>) => Effect.Effect<
    unknown,
    unknown
  > = (session) => Stream.runDrain(session.stream(content))
) => {
  const server = serving(script)
  return Effect.gen(function*() {
    const { sessions } = yield* AshClient
    const session = yield* sessions.open({ agent: "demo" })
    server.spans.length = 0
    yield* Effect.exit(run(session))
    return { ...server, lines: server.tree(), turn: server.named("invoke_agent demo")[0] }
  }).pipe(Effect.scoped, Effect.provide(server.layer), server.trace)
}

const failed = (what: string) => `SessionHandle.stream: ${what}`

const post = "  POST: ok"

const repeated = {
  type: "assistant",
  uuid: "1",
  message: { content: [{ type: "tool_use", id: "a", name: "Read" }] }
}

describe("the spans of a turn", () => {
  const trees: ReadonlyArray<readonly [name: string, script: Server.Script, lines: ReadonlyArray<string>]> = [
    ["one that says something", whole, ["invoke_agent demo: ok", post]],
    [
      "two tools, of which one fails",
      turnOf(
        start,
        init,
        uses(null, ["a", "Read"], ["b", "Bash"]),
        answers(null, ["a", false], ["b", true]),
        result(),
        done
      ),
      ["invoke_agent demo: ok", post, "  execute_tool Read: ok", "  execute_tool Bash: execute_tool: ToolFailed"]
    ],
    [
      "a subagent",
      turnOf(
        start,
        uses(null, ["task", "Task"]),
        uses("task", ["inner", "Grep"]),
        answers("task", ["inner", false]),
        answers(null, ["task", false]),
        result(),
        done
      ),
      ["invoke_agent demo: ok", post, "  execute_tool Task: ok", "    execute_tool Grep: ok"]
    ],
    [
      "an error of the agent, while a tool runs",
      turnOf(start, uses(null, ["a", "Read"]), ["error", { error: content }]),
      [`invoke_agent demo: ${failed("TurnFailed")}`, post, "  execute_tool Read: execute_tool: NoResult"]
    ],
    [
      "a stream that is cut off",
      turnOf(start, uses(null, ["a", "Read"])),
      [`invoke_agent demo: ${failed("StreamTruncated")}`, post, "  execute_tool Read: execute_tool: NoResult"]
    ],
    [
      "a limit that is reached",
      turnOf(start, result({ subtype: "error_max_turns" }), done),
      [`invoke_agent demo: ${failed("TurnUnsuccessful")}`, post]
    ],
    [
      "a request that fails",
      Server.json({ error: content, statusCode: 500 }, 500),
      [
        `invoke_agent demo: ${failed("ServerFailure (500)")}`,
        "  POST: POST: StatusCodeError (500)"
      ]
    ],
    [
      "a message that arrives twice",
      turnOf(
        start,
        ["message", repeated],
        [
          "message",
          repeated
        ],
        answers(null, ["a", false]),
        answers(null, ["a", false]),
        result(),
        done
      ),
      ["invoke_agent demo: ok", post, "  execute_tool Read: ok"]
    ],
    [
      "calls without ids and names",
      turnOf(
        start,
        ["message", { type: "assistant", message: { content: [{ type: "tool_use" }, { type: "tool_use" }] } }],
        ["message", { type: "user", message: { content: [{ type: "tool_result", is_error: "yes" }] } }],
        result(),
        done
      ),
      [
        "invoke_agent demo: ok",
        post,
        "  execute_tool: execute_tool: ToolFailed",
        "  execute_tool: execute_tool: NoResult"
      ]
    ]
  ]
  it.effect.each(trees)("are a tree: %s", ([, script, expected]) =>
    Effect.gen(function*() {
      const { lines, spans } = yield* treeOf(script)
      assert.deepStrictEqual(lines, expected)
      const text = JSON.stringify(spans.map(({ attributes, events, name }) => [name, [...attributes], events]))
      assert.notInclude(text, content)
    }))
})

const Step = Schema.Struct({
  type: Schema.Literals(["tool_use", "tool_result"]),
  ids: Schema.NonEmptyArray(Schema.Literals(["a", "b", ""])).check(Schema.isMaxLength(2)),
  /** None, one that other messages have too, or one of its own. */
  uuid: Schema.Literals(["", "same", "own"]),
  isTwice: Schema.Boolean
})

describe("the spans of tools", () => {
  it.effect.prop(
    "are those of the calls that the turn has, however often messages are delivered",
    { steps: Schema.Array(Step).check(Schema.isMaxLength(8)) },
    ({ steps }) => {
      const frames = steps.flatMap(({ ids, isTwice, type, uuid }, index) => {
        const blocks = ids.map((id) =>
          type === "tool_use" ? { type, id, name: `Tool${index}` } : { type, tool_use_id: id, content: index }
        )
        const message = {
          type: type === "tool_use" ? "assistant" : "user",
          uuid: uuid === "own" ? String(index) : uuid,
          message: { content: blocks }
        }
        return Array.from({ length: isTwice ? 2 : 1 }, () => ["message", message] as const)
      })
      const server = serving(turnOf(start, ...frames, result(), done))
      return Effect.gen(function*() {
        const { sessions } = yield* AshClient
        const { toolCalls } = yield* (yield* sessions.open({ agent: "demo" })).ask("Hello!")
        const tools = server.spans.filter(({ name }) => name.startsWith("execute_tool"))
        assert.deepStrictEqual(
          tools.map(({ attributes }) => [attributes.get("gen_ai.tool.name"), attributes.get("error.type")]),
          toolCalls.map(({ name, result }) => [name, result === undefined ? "NoResult" : undefined])
        )
      }).pipe(Effect.scoped, Effect.provide(server.layer), server.trace)
    }
  )
})

describe("a turn without an end", () => {
  const endless: Server.Script = () =>
    new Response(
      new ReadableStream({
        start: (controller) =>
          controller.enqueue(new TextEncoder().encode(Server.frames(start, init, uses(null, ["a", "Read"]), says)))
      }),
      { headers: { "content-type": "text/event-stream" } }
    )
  const interrupted = ["invoke_agent demo: interrupted", post, "  execute_tool Read: interrupted"]

  it.effect("is interrupted, with its tools, when its fiber is", () =>
    Effect.gen(function*() {
      const { lines } = yield* treeOf(endless, (session) =>
        Effect.gen(function*() {
          const hasBegun = yield* Deferred.make<void>()
          const fiber = yield* Effect.forkChild(
            Stream.runForEach(
              session.stream(content),
              ({ _tag }) => _tag === "Message" ? Deferred.succeed(hasBegun, undefined) : Effect.void
            )
          )
          yield* Deferred.await(hasBegun)
          yield* Fiber.interrupt(fiber)
        }))
      assert.deepStrictEqual(lines, interrupted)
    }))

  it.effect("is interrupted when nothing more is taken of it, and when its consumer fails", () =>
    Effect.gen(function*() {
      const taken = yield* treeOf(endless, (session) => Stream.runDrain(Stream.take(session.stream(content), 4)))
      assert.deepStrictEqual(taken.lines, interrupted)
      const left = yield* treeOf(
        endless,
        (session) =>
          Stream.runForEach(
            session.stream(content),
            ({ _tag }) => _tag === "Message" ? Effect.fail(content) : Effect.void
          )
      )
      assert.deepStrictEqual(left.lines, interrupted)
    }))

  it.effect("ends with its restart, where an interrupted turn stops its session", () =>
    Effect.gen(function*() {
      const server = serving(endless)
      yield* Effect.gen(function*() {
        const { sessions } = yield* AshClient
        const session = sessions.attach(sessionId, { onInterrupt: "stop", agentName: "demo" })
        yield* Stream.runDrain(Stream.take(session.stream(content), 4))
      }).pipe(Effect.provide(server.layer), server.trace)
      assert.deepStrictEqual(server.tree(), [...interrupted, "  Sessions.stop: ok", "    POST: ok"])
    }))
})

describe("requests of a turn", () => {
  it.effect("are its children, each attempt of one that is sent again, and none of the question for the form", () =>
    Effect.gen(function*() {
      const server = serving(Server.inOrder(Server.json({ error: "Too Many" }, 429, { "retry-after": "5" }), whole))
      yield* Effect.gen(function*() {
        const { messages } = yield* AshClient
        const fiber = yield* Effect.forkChild(Stream.runDrain(messages.send(sessionId, content)))
        yield* TestClock.adjust("1 minute")
        yield* Fiber.join(fiber)
      }).pipe(Effect.provide(server.layer), server.trace)
      assert.deepStrictEqual(server.tree(), [
        "invoke_agent: ok",
        `  POST: POST: StatusCodeError (429)`,
        "  POST: ok"
      ])
      assert.strictEqual(server.requests.length, 3)
    }))

  it.effect("are none for a turn that is refused before: a fenced session, an option that cannot be", () =>
    Effect.gen(function*() {
      const { lines } = yield* treeOf(turnOf(start), (session) =>
        Effect.gen(function*() {
          yield* Effect.exit(session.ask(content))
          yield* Effect.exit(session.ask(content))
          yield* Effect.exit(session.ask(content, { maxTurns: 0 }))
        }))
      assert.deepStrictEqual(lines, [
        "invoke_agent demo: SessionHandle.ask: StreamTruncated",
        post,
        "invoke_agent demo: SessionHandle.ask: SessionFenced",
        "invoke_agent demo: SessionHandle.ask: SessionFenced"
      ])
    }))

  const noContents: ReadonlyArray<unknown> = [
    undefined,
    null,
    7,
    7n,
    Symbol("content"),
    {},
    [],
    [null],
    [{}],
    [{ type: "image" }],
    [{ type: "image", source: null }],
    [{ type: "document", source: { type: "odd" } }],
    [{ type: "text", text: 7n }]
  ]
  it.effect.each([false, true])(
    "are none for content that is none, whose turn fails as it is and ends its span, with content recorded: %s",
    (content) =>
      Effect.gen(function*() {
        for (const none of noContents) {
          const { spans, requests, lines } = yield* treeOf(whole, (session) =>
            Reflect.apply(session.ask, undefined, [none]).pipe(RequestOptions.withTelemetry({ content })))
          assert.deepStrictEqual(lines, ["invoke_agent demo: SessionHandle.ask: InvalidRequest"])
          assert.isFalse(
            requests.some(({ path, body }) =>
              path.endsWith("/messages") && body !== ""
            ),
            String(none)
          )
          assert.isTrue(spans.every(({ status }) => status._tag === "Ended"))
        }
      })
  )

  it.effect("carry a valid traceparent with a tracer, and none without one or where tracing is switched off", () =>
    Effect.gen(function*() {
      const server = serving(whole)
      const calls = Effect.gen(function*() {
        const { messages, sessions } = yield* AshClient
        yield* sessions.get(sessionId)
        yield* Stream.runDrain(messages.send(sessionId, content))
        yield* sessions.end(sessionId)
      })
      yield* Effect.gen(function*() {
        yield* calls
        yield* calls.pipe(Effect.withTracerEnabled(false), server.trace)
        yield* calls.pipe(Effect.withTracerEnabled(false), Effect.withSpan("outside"), server.trace)
        assert.deepStrictEqual(
          server.requests.map(({ headers }) => headers["traceparent"] ?? headers["b3"]).filter(Boolean),
          []
        )
        assert.deepStrictEqual(server.spans.map(({ name }) => name), ["outside"])
        server.requests.length = 0
        yield* server.trace(calls)
      }).pipe(Effect.provide(server.layer))
      assert.strictEqual(server.requests.length, 3)
      for (const { headers } of server.requests) {
        assert.match(headers["traceparent"] ?? "", /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/)
      }
    }))
})

describe("the other ways to a turn", () => {
  it.effect("are spans, too: an error that is an event fails its span", () =>
    Effect.gen(function*() {
      const server = serving(Server.inOrder(turnOf(start, ["error", { error: content }]), whole))
      yield* Effect.gen(function*() {
        const { messages, sessions } = yield* AshClient
        yield* Stream.runDrain(messages.sendWithErrors(sessionId, content))
        yield* Stream.runDrain(messages.send(sessionId, content)).pipe(
          Effect.updateService(RequestOptions.RequestOptions, RequestOptions.merge({ exclusive: false }))
        )
        yield* sessions.attach(sessionId).ask(content)
      }).pipe(Effect.provide(server.layer), server.trace)
      assert.deepStrictEqual(server.tree(), [
        "invoke_agent: Messages.sendWithErrors: TurnFailed",
        post,
        "invoke_agent: ok",
        post,
        "invoke_agent: ok",
        post
      ])
    }))
})
