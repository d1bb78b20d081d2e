import { describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { isDeepStrictEqual } from "node:util"
import { layerHttpClient } from "../../src/embedded/EmbeddedServer.ts"
import * as TurnStream from "../../src/functions/TurnStream.ts"
import * as Ash from "../../src/layers/Ash.ts"
import { AshClient } from "../../src/services/AshClient.ts"
import { assistant, result, sessionId, user } from "../support/fixtures.ts"
import { promise } from "../support/promise.ts"
import { readTurn } from "../support/readTurn.ts"
import { frames } from "../support/ScriptedServer.ts"

type Json = null | boolean | number | string | ReadonlyArray<Json> | { readonly [key: string]: Json }

const future = "value_of_the_future"

/** Fields of which a newer server may send new values. */
const open = new Set(["status", "type", "role", "level", "source", "eventType", "subtype", "stop_reason"])

const isObject = (json: Json): json is { readonly [key: string]: Json } =>
  typeof json === "object" && json !== null && !Array.isArray(json)

const withFields = (json: Json): Json =>
  Array.isArray(json)
    ? json.map(withFields)
    : isObject(json)
    ? {
      ...Object.fromEntries(
        Object.entries(json).map(([key, value]) => [
          key,
          // A map of numbers by a status is no object with fields.
          key === "byStatus" ? value : withFields(value)
        ])
      ),
      fieldOfTheFuture: { a: [1] }
    }
    : json

const withValues = (json: Json): Json =>
  Array.isArray(json)
    ? json.map(withValues)
    : isObject(json)
    ? Object.fromEntries(
      Object.entries(json).map((
        [key, value]
      ) => [key, open.has(key) && typeof value === "string" ? future : withValues(value)])
    )
    : json

/** The embedded server as a newer one, whose answers have what this client does not know. */
const newer = (change: (json: Json) => Json) =>
  Ash.layerWithClient({ url: "http://ash.test", apiKey: Redacted.make("embedded") }).pipe(
    Layer.provide(
      Layer.effect(
        HttpClient.HttpClient,
        Effect.map(HttpClient.HttpClient, (client) =>
          HttpClient.transformResponse(
            client,
            Effect.flatMap((response) =>
              response.headers["content-type"]?.startsWith("application/json") === true && response.status < 400
                ? Effect.map(response.json, (json) =>
                  HttpClientResponse.fromWeb(
                    response.request,
                    new Response(JSON.stringify(change(json as Json)), {
                      status: response.status,
                      headers: response.headers
                    })
                  ))
                : Effect.succeed(response)
            )
          ))
      ).pipe(Layer.provide(layerHttpClient()))
    )
  )

const reads: ReadonlyArray<
  readonly [name: string, read: (ash: AshClient["Service"], id: string) => Effect.Effect<unknown, unknown>]
> = [
  ["health", (_) => _.health.get()],
  ["agents", (_) => _.agents.list()],
  ["agent", (_) => _.agents.get("demo")],
  ["agent files", (_) => _.agents.listFiles("demo")],
  ["versions", (_) => _.agentVersions.list("demo")],
  ["sessions", (_) => _.sessions.list()],
  ["session", (_, id) => _.sessions.get(id)],
  ["exec", (_, id) => _.sessions.exec(id, "true")],
  ["logs", (_, id) => _.sessions.logs(id)],
  ["events", (_, id) => _.sessions.listEvents(id)],
  ["messages", (_, id) => _.messages.list(id)],
  ["session files", (_, id) => _.sessionFiles.list(id)],
  ["attachments", (_, id) => _.attachments.list(id)],
  ["credentials", (_) => _.credentials.list()],
  ["queue", (_) => _.queueItems.list()],
  ["queue stats", (_) => _.queueItems.stats()],
  ["usage", (_) => _.usage.listEvents()],
  ["usage stats", (_) => _.usage.stats()],
  ["analytics", (_) => _.analytics.get()],
  ["keys", (_) => _.apiKeys.list()],
  ["eval cases", (_) => _.evals.listCases("demo")],
  ["eval runs", (_) => _.evals.listRuns("demo")]
]

const eventsOf = (text: string) => Stream.runCollect(readTurn(Stream.succeed(new TextEncoder().encode(text))))

describe("values", () => {
  promise("P16", "what is new decodes, and is kept", { fast: 1, full: 1 }, () =>
    Effect.gen(function*() {
      const failures: Array<string> = []
      let cases = 0
      for (const [what, change] of [["fields", withFields], ["values", withValues]] as const) {
        yield* Effect.gen(function*() {
          const ash = yield* AshClient
          yield* ash.agents.create({ name: "demo" })
          yield* ash.agentVersions.create("demo", { systemPrompt: "x" })
          const { id } = yield* ash.sessions.create({ agent: "demo" })
          yield* Stream.runDrain(ash.messages.send(id, "hello"))
          yield* ash.attachments.upload(id, { filename: "a", content: "a" })
          yield* ash.queueItems.enqueue({ agentName: "demo", prompt: "x" })
          yield* ash.evals.createCase("demo", { question: "q" })
          for (const [name, read] of reads) {
            cases += 1
            const outcome = yield* Effect.result(read(ash, id))
            if (Result.isFailure(outcome)) failures.push(`${name}, new ${what}: ${outcome.failure}`)
          }
        }).pipe(
          Effect.provide(newer(change)),
          Effect.catch((error) => Effect.sync(() => failures.push(`new ${what}: ${String(error)}`)))
        )
      }
      const unknown = { type: "block_of_the_future", a: [1] }
      const kept: ReadonlyArray<readonly [event: string, data: Json, kept: unknown]> = [
        ["event_of_the_future", { a: 1 }, { a: 1 }],
        ["message", { type: "type_of_the_future", a: 1 }, { type: "type_of_the_future", a: 1 }],
        ["message", assistant([unknown]) as Json, assistant([unknown])],
        ["message", { ...result, subtype: future, fieldOfTheFuture: 1 }, {
          ...result,
          subtype: future,
          fieldOfTheFuture: 1
        }],
        ["citations_delta", { citation: null }, { citation: null }]
      ]
      for (const [event, data, expected] of kept) {
        cases += 1
        const [first] = yield* eventsOf(frames([event, data], ["done", { sessionId }]))
        const seen = first?._tag === "Unknown" ? first.data : first?._tag === "Message" ? first.message.raw : undefined
        if (!isDeepStrictEqual(seen, expected)) failures.push(`${event} is kept as ${JSON.stringify(seen)}`)
      }
      return { cases, failures }
    }))

  promise("P20", "usage and cost are not counted twice", { fast: 20, full: 20 }, () =>
    Effect.gen(function*() {
      const failures: Array<string> = []
      let cases = 0
      const usage = (tokens: number) => ({ input_tokens: tokens, output_tokens: tokens })
      const say = (text: string, uuid: string, more = {}) => assistant([{ type: "text", text }], { uuid, ...more })
      const block = (text: string) => ({ type: "text", text }) as const
      const resultOf = (tokens: number, cost: number) => ({
        ...result,
        usage: usage(tokens),
        total_cost_usd: cost,
        modelUsage: { claude: { inputTokens: tokens, outputTokens: tokens, costUSD: cost } }
      })
      const turn = (...messages: ReadonlyArray<unknown>) =>
        TurnStream.toTurn(Stream.fromIterableEffect(eventsOf(frames(
          ["session_start", { sessionId }],
          ...messages.map((message) => ["message", message] as const),
          ["done", { sessionId }]
        ))))
      const check = Effect.fnUntraced(function*(
        name: string,
        expected: { readonly text?: string; readonly tokens?: number; readonly cost?: number; readonly calls?: number },
        ...messages: ReadonlyArray<unknown>
      ) {
        cases += 1
        const seen = yield* turn(...messages)
        const actual = {
          ...expected.text === undefined ? {} : { text: seen.text },
          ...expected.tokens === undefined ? {} : { tokens: seen.usage?.input_tokens ?? 0 },
          ...expected.cost === undefined ? {} : { cost: seen.costUsd },
          ...expected.calls === undefined ? {} : { calls: seen.toolCalls.length }
        }
        if (!isDeepStrictEqual(actual, expected)) failures.push(`${name}: ${JSON.stringify(actual)}`)
      })
      const call = (id: string, uuid: string) =>
        assistant([{ type: "tool_use", id, name: "Bash", input: {} }], { uuid })
      const answer = (id: string) => user([{ type: "tool_result", tool_use_id: id, content: "ok" }])
      for (const tokens of [1, 7, 100]) {
        yield* check("one message", { text: "a", tokens, cost: 0.5 }, say("a", "1"), resultOf(tokens, 0.5))
        yield* check(
          "a message twice",
          { text: "a", tokens, cost: 0.5 },
          say("a", "1"),
          say("a", "1"),
          resultOf(tokens, 0.5)
        )
        yield* check(
          "two messages of one model call",
          { text: "ab", tokens },
          say("a", "1"),
          say("b", "2"),
          resultOf(tokens, 1)
        )
        yield* check("the result twice", { tokens, cost: 2 }, say("a", "1"), resultOf(tokens, 2), resultOf(tokens, 2))
        yield* check(
          "a tool call twice",
          { calls: 1, tokens },
          call("t", "1"),
          call("t", "1"),
          answer("t"),
          resultOf(tokens, 1)
        )
        yield* check("usage on messages and result", { tokens }, {
          ...say("a", "1"),
          message: { id: "m", role: "assistant", content: [block("a")], usage: usage(tokens * 3) }
        }, resultOf(tokens, 1))
      }
      yield* check("no result", { tokens: 0, text: "a" }, say("a", "1"))
      yield* check(
        "a subagent's text",
        { text: "a", tokens: 5 },
        say("a", "1"),
        say("sub", "2", { parent_tool_use_id: "t" }),
        resultOf(5, 1)
      )
      return { cases, failures }
    }))
})
