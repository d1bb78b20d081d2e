/** What a collector receives, by Effect's own exporter. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import { Otlp } from "effect/observability"
import * as Stream from "effect/Stream"
import * as RequestOptions from "../../../src/client/RequestOptions.ts"
import type { AshOptions } from "../../../src/layers/Ash.ts"
import { AshClient } from "../../../src/services/AshClient.ts"
import * as Collector from "../../support/collector.ts"
import { sessionId } from "../../support/fixtures.ts"
import * as Server from "../../support/ScriptedServer.ts"
import * as Turns from "../../support/turns.ts"

const { answers, content, done, init, result, says, start, turnOf, uses, whole } = Turns

/** Runs a program that is exported, and answers what the collector has when it has ended. */
const collected = Effect.fnUntraced(function*<A, E>(
  script: Server.Script,
  program: Effect.Effect<A, E, AshClient>,
  { status, ...options }: Partial<AshOptions> & { readonly status?: number } = {}
) {
  const collector = yield* Collector.make(status)
  const exporter = Otlp.layerJson({ baseUrl: collector.url, resource: { serviceName: "test" } }).pipe(
    Layer.provide(FetchHttpClient.layer),
    Layer.provideMerge(Layer.succeed(Metric.MetricRegistry, new Map()))
  )
  const exit = yield* Effect.exit(
    program.pipe(Effect.provide(Turns.serving(script, options).layer), Effect.provide(exporter))
  )
  return { ...collector, exit, metrics: collector.metrics() }
}, Effect.scoped)

const ask = Effect.scoped(Effect.gen(function*() {
  const { sessions } = yield* AshClient
  const session = yield* sessions.open({ agent: "demo" })
  return yield* session.ask(content, { model: "sonnet" })
}))

const named = (spans: ReadonlyArray<Collector.CollectedSpan>, name: string) => {
  const span = spans.find((span) => span.name === name)
  return { ...span, attributes: Collector.recordOf(span?.attributes ?? []) }
}

const client = 3
const internal = 1
const ok = 1
const error = 2

describe("a collector", () => {
  it.live("receives a turn, its requests and its tools, with the attributes of the conventions", () =>
    Effect.gen(function*() {
      const frames = [start, init, uses(null, ["a", "Read"]), answers(null, ["a", true]), says, result(), done]
      const { bodies, spans } = yield* collected(turnOf(...frames), ask)
      const turn = named(spans, "invoke_agent demo")
      assert.strictEqual(turn.kind, client)
      assert.deepStrictEqual(turn.status, { code: ok })
      const { "gen_ai.response.time_to_first_chunk": first, ...attributes } = turn.attributes
      assert.isNumber(first)
      assert.deepStrictEqual(attributes, {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.provider.name": "ash",
        "gen_ai.agent.name": "demo",
        "gen_ai.request.model": "sonnet",
        "gen_ai.response.model": "opus",
        "gen_ai.conversation.id": sessionId,
        "gen_ai.output.type": "text",
        "gen_ai.response.finish_reasons": ["end_turn"],
        "gen_ai.usage.input_tokens": 137,
        "gen_ai.usage.output_tokens": 8,
        "gen_ai.usage.cache_read.input_tokens": 100,
        "gen_ai.usage.cache_creation.input_tokens": 20,
        "server.address": "ash.test",
        "server.port": 80,
        "ash.session.id": sessionId,
        "ash.turn.cost_usd": 0.25,
        "ash.turn.outcome": "Success"
      })
      const tool = named(spans, "execute_tool Read")
      assert.strictEqual(tool.kind, internal)
      assert.strictEqual(tool.parentSpanId, turn.spanId)
      assert.deepStrictEqual(tool.status, { code: error, message: "execute_tool: ToolFailed" })
      assert.deepStrictEqual(tool.attributes, {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "Read",
        "gen_ai.tool.call.id": "a",
        "gen_ai.tool.type": "extension",
        "error.type": "ToolFailed"
      })
      assert.isTrue(spans.some((span) => span.name === "POST" && span.parentSpanId === turn.spanId))
      assert.isFalse(bodies.some((body) => body.includes(content) || body.includes(Server.apiKey)))
    }))

  it.live("receives metrics, in the units and buckets of the conventions", () =>
    Effect.gen(function*() {
      const pieces = Array.from({ length: 5 }, () => ["text_delta", { delta: "a" }] as const)
      const { metrics } = yield* collected(
        Server.inOrder(turnOf(start, init, ...pieces, result(), done), turnOf(start, ["error", { error: content }])),
        Effect.gen(function*() {
          const { sessions } = yield* AshClient
          const session = sessions.attach(sessionId, { agentName: "demo" })
          yield* session.ask(content, { includePartialMessages: true })
          yield* Effect.exit(session.ask(content))
        })
      )
      const labels = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.provider.name": "ash",
        "gen_ai.agent.name": "demo",
        "server.address": "ash.test",
        "server.port": "80"
      }
      const answered = { ...labels, "gen_ai.response.model": "opus" }
      const seen = metrics.map(({ histogram, name, unit }) => ({
        name,
        unit,
        points: histogram?.dataPoints.map(({ attributes, count, explicitBounds }) => ({
          count,
          attributes: Collector.recordOf(attributes),
          bounds: [explicitBounds.length, explicitBounds[0], explicitBounds.at(-1)]
        }))
      }))
      const point = (count: number, attributes: object, unit: string) => ({
        count,
        attributes: { ...attributes, unit },
        bounds: unit === "s" ? [14, 0.01, 81.92] : [14, 1, 67_108_864]
      })
      assert.sameDeepMembers(seen, [
        {
          name: "gen_ai.client.operation.duration",
          unit: "s",
          points: [point(1, answered, "s"), point(1, { ...labels, "error.type": "TurnFailed" }, "s")]
        },
        {
          name: "gen_ai.client.operation.time_to_first_chunk",
          unit: "s",
          points: [point(1, answered, "s")]
        },
        {
          name: "gen_ai.client.operation.time_per_output_chunk",
          unit: "s",
          points: [point(4, answered, "s")]
        },
        {
          name: "gen_ai.client.token.usage",
          unit: "{token}",
          points: [
            point(1, { ...answered, "gen_ai.token.type": "input" }, "{token}"),
            point(1, { ...answered, "gen_ai.token.type": "output" }, "{token}")
          ]
        }
      ])
    }))

  it.live("receives of failures no message: neither of an agent, nor of a server that repeats what it was sent", () =>
    Effect.gen(function*() {
      const repeats: Server.Script = ({ body, headers }) =>
        Server.json({ error: `${body} ${headers["authorization"]}`, statusCode: 400 }, 400)()
      const breaks: Server.Script = ({ body, headers }) =>
        Effect.fail(
          Object.assign(new Error(`invalid header ${headers["authorization"]} of ${body}`), { code: "EINVAL" })
        )
      for (
        const script of [
          repeats,
          breaks,
          turnOf(start, uses(null, ["a", "Read"]), ["error", { error: content }]),
          turnOf(start, result({ is_error: true }), done),
          turnOf(start, says)
        ]
      ) {
        const { bodies, exit, spans } = yield* collected(script, ask)
        assert.strictEqual(exit._tag, "Failure")
        const turn = named(spans, "invoke_agent demo")
        assert.strictEqual(turn.status?.code, error)
        assert.strictEqual(
          turn.status?.message?.replace(/ \(\d+\)$/, ""),
          `SessionHandle.ask: ${turn.attributes["error.type"]}`
        )
        assert.isFalse(bodies.some((body) => body.includes(content) || body.includes(Server.apiKey)))
      }
    }))

  it.live("receives content where that is switched on, and the key never", () =>
    Effect.gen(function*() {
      const frames = [start, init, uses(null, ["a", "Read"]), answers(null, ["a", false]), says, result(), done]
      const say = Effect.flatMap(AshClient, ({ sessions }) => sessions.attach(sessionId).ask(content))
      for (
        const { bodies, spans } of [
          yield* collected(turnOf(...frames), say, { telemetry: { content: true } }),
          yield* collected(turnOf(...frames), say.pipe(RequestOptions.withTelemetry({ content: true })))
        ]
      ) {
        const { attributes } = named(spans, "invoke_agent")
        assert.strictEqual(
          attributes["gen_ai.input.messages"],
          JSON.stringify([{ role: "user", parts: [{ type: "text", content }] }])
        )
        assert.strictEqual(
          attributes["gen_ai.output.messages"],
          JSON.stringify([{ role: "assistant", parts: [{ type: "text", content }], finish_reason: "end_turn" }])
        )
        const tool = named(spans, "execute_tool Read").attributes
        assert.strictEqual(tool["gen_ai.tool.call.arguments"], JSON.stringify({ text: content }))
        assert.strictEqual(tool["gen_ai.tool.call.result"], JSON.stringify(content))
        assert.isFalse(bodies.some((body) => body.includes(Server.apiKey)))
      }
    }))

  it.live("that refuses, or is not there, fails nothing", () =>
    Effect.gen(function*() {
      const { bodies, exit, spans } = yield* collected(whole, ask, { status: 400 })
      assert.strictEqual(exit._tag, "Success")
      assert.isAbove(bodies.length, 0)
      assert.isAbove(spans.length, 0)
      const absent = Otlp.layerJson({
        baseUrl: "http://127.0.0.1:1",
        shutdownTimeout: 0,
        resource: { serviceName: "test" }
      }).pipe(
        Layer.provide(FetchHttpClient.layer)
      )
      yield* ask.pipe(Effect.provide(Turns.serving(whole).layer), Effect.provide(absent))
    }))
})

describe("metrics", () => {
  const recorded = (telemetry: RequestOptions.TelemetryOptions | undefined) =>
    Effect.gen(function*() {
      const { messages } = yield* AshClient
      yield* Stream.runDrain(messages.send(sessionId, content))
      return (yield* Metric.snapshot).map(({ id }) => id)
    }).pipe(
      Effect.provide(Turns.serving(whole, { telemetry }).layer),
      Effect.provideService(Metric.MetricRegistry, new Map())
    )

  it.effect("are recorded without a tracer where they are switched on, and else not", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* recorded(undefined), [])
      assert.deepStrictEqual(yield* recorded({ metrics: false }), [])
      assert.sameMembers(yield* recorded({ metrics: true }), [
        "gen_ai.client.operation.duration",
        "gen_ai.client.operation.time_to_first_chunk",
        "gen_ai.client.token.usage",
        "gen_ai.client.token.usage"
      ])
    }))
})
