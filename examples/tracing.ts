/**
 * Traces and metrics of a turn: starts a collector, exports to it, and prints the tree of spans that it has received.
 *
 * With `ASH_SERVER_URL` (and `ASH_API_KEY`) the turn runs on that server, otherwise on an embedded one. With
 * `OTEL_EXPORTER_OTLP_ENDPOINT` a program exports to the collector of a machine: `Otlp.layerFromConfig` in the place of
 * what is here.
 */
import { NodeHttpClient, NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Config, Console, Data, Effect, Layer, Ref, Schema } from "effect"
import { Agents, Sessions } from "effect-ash"
import { AshEmbedded } from "effect-ash/embedded"
import { AshNode } from "effect-ash/node"
import { HttpServer, HttpServerRequest, HttpServerResponse } from "effect/http"
import { Otlp } from "effect/observability"
import { createServer } from "node:http"

class NothingTraced extends Data.TaggedError("NothingTraced")<{ readonly message: string }> {}

const Attributes = Schema.Array(Schema.Struct({ key: Schema.String, value: Schema.Record(Schema.String, Schema.Json) }))

const Span = Schema.Struct({
  name: Schema.String,
  spanId: Schema.String,
  parentSpanId: Schema.optionalKey(Schema.String),
  startTimeUnixNano: Schema.String,
  endTimeUnixNano: Schema.String,
  attributes: Attributes,
  status: Schema.Struct({ code: Schema.Finite, message: Schema.optionalKey(Schema.String) })
})
type Span = typeof Span.Type

const Exported = Schema.Struct({
  resourceSpans: Schema.optionalKey(
    Schema.Array(Schema.Struct({ scopeSpans: Schema.Array(Schema.Struct({ spans: Schema.Array(Span) })) }))
  ),
  resourceMetrics: Schema.optionalKey(
    Schema.Array(Schema.Struct({
      scopeMetrics: Schema.Array(Schema.Struct({
        metrics: Schema.Array(Schema.Struct({ name: Schema.String, unit: Schema.String }))
      }))
    }))
  )
})

interface Collected {
  readonly spans: ReadonlyArray<Span>
  /** The last export has every metric. */
  readonly metrics: ReadonlyArray<{ readonly name: string; readonly unit: string }>
}

/** Receives what programs export: OTLP over HTTP, as JSON. Answers its address, and what it has received. */
const startCollector = Effect.gen(function*() {
  const collected = yield* Ref.make<Collected>({ spans: [], metrics: [] })
  yield* HttpServer.serveEffect(Effect.gen(function*() {
    const { resourceMetrics = [], resourceSpans = [] } = yield* HttpServerRequest.schemaBodyJson(Exported)
    const spans = resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans))
    const metrics = resourceMetrics.flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics))
    yield* Ref.update(collected, (before) => ({
      spans: [...before.spans, ...spans],
      metrics: metrics.length > 0 ? metrics : before.metrics
    }))
    return yield* HttpServerResponse.json({})
  }))
  const { address } = yield* HttpServer.HttpServer
  return { url: HttpServer.formatAddress(address), collected: Ref.get(collected) }
})

const shown = new Set([
  "gen_ai.response.model",
  "gen_ai.response.finish_reasons",
  "gen_ai.usage.input_tokens",
  "gen_ai.usage.output_tokens",
  "gen_ai.response.time_to_first_chunk",
  "error.type",
  "http.response.status_code"
])

/** Values are objects that name their type. */
const textOf = (value: Schema.Json): string =>
  typeof value === "object" && value !== null ? Object.values(value).map(textOf).join(" ") : String(value)

const lineOf = ({ attributes, endTimeUnixNano, name, startTimeUnixNano, status }: Span) => {
  const milliseconds = Number(BigInt(endTimeUnixNano) - BigInt(startTimeUnixNano)) / 1e6
  const notes = attributes.filter(({ key }) => shown.has(key)).map(({ key, value }) => `${key}=${textOf(value)}`)
  return [name, `${milliseconds.toFixed(1)} ms`, ...(status.code === 2 ? ["failed"] : []), ...notes].join("  ")
}

/** Spans below their parents, in the order in which they began. */
const treeOf = (spans: ReadonlyArray<Span>) => {
  const ids = new Set(spans.map(({ spanId }) => spanId))
  const below = (parent: string | undefined, depth: number): ReadonlyArray<string> =>
    spans
      .filter(({ parentSpanId }) => (ids.has(parentSpanId ?? "") ? parentSpanId : undefined) === parent)
      .toSorted((a, b) => Number(BigInt(a.startTimeUnixNano) - BigInt(b.startTimeUnixNano)))
      .flatMap((span) => [`${"  ".repeat(depth)}${lineOf(span)}`, ...below(span.spanId, depth + 1)])
  return below(undefined, 0)
}

const agentName = "tracing-example"

/** What is traced: a session, and a turn in it. */
const traced = Effect.gen(function*() {
  const agents = yield* Agents
  const sessions = yield* Sessions
  yield* Effect.acquireRelease(
    agents.create({ name: agentName, systemPrompt: "You look into your workspace before you answer." }),
    () => Effect.ignore(agents.delete(agentName), { log: true })
  )
  const session = yield* sessions.open({ agent: agentName })
  yield* Effect.ignore(session.ask("What is in your workspace?"))
}).pipe(Effect.scoped, Effect.withSpan("example"))

const services = Layer.unwrap(
  Effect.map(
    Config.withDefault(Config.String("ASH_SERVER_URL"), ""),
    (url) => url === "" ? AshEmbedded.layer() : AshNode.layerConfig()
  )
)

const program = Effect.gen(function*() {
  const { collected, url } = yield* startCollector
  const exporter = Otlp.layerJson({ baseUrl: url, resource: { serviceName: agentName } })
  yield* traced.pipe(Effect.provide(services), Effect.provide(exporter))
  const { metrics, spans } = yield* collected
  yield* Effect.forEach(treeOf(spans), (line) => Console.log(line))
  yield* Console.log(metrics.map(({ name, unit }) => `${name} in ${unit}`).toSorted().join("\n"))
  const names = new Set(spans.map(({ name }) => name))
  if (!names.has(`invoke_agent ${agentName}`)) {
    return yield* new NothingTraced({ message: "the collector has received no span of the turn" })
  }
})

// A reader that closes the pipe, as `head` does, ends the program as Ctrl-C does: what it made on the server goes, too.
process.stdout.on("error", () => process.emit("SIGINT"))

program.pipe(
  Effect.scoped,
  Effect.provide([NodeHttpClient.layerNodeHttp, NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })]),
  Effect.tapError((error) => Console.error(error.message)),
  Effect.tapDefect((defect) => Console.error(String(defect))),
  NodeRuntime.runMain({ disableErrorReporting: true })
)
