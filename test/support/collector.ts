/** A collector of traces and metrics, on a port: OTLP over HTTP, as JSON. */
import * as Effect from "effect/Effect"
import type * as Http from "node:http"
import * as Server from "./ScriptedServer.ts"

interface Value {
  readonly stringValue?: string
  readonly intValue?: number
  readonly doubleValue?: number
  readonly boolValue?: boolean
  readonly arrayValue?: { readonly values: ReadonlyArray<Value> }
}

type Attributes = ReadonlyArray<{ readonly key: string; readonly value: Value }>

export interface CollectedSpan {
  readonly name: string
  readonly kind: number
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly attributes: Attributes
  readonly status: { readonly code: number; readonly message?: string }
  readonly events: ReadonlyArray<{ readonly name: string; readonly attributes: Attributes }>
}

interface CollectedPoint {
  readonly attributes: Attributes
  readonly count: number
  readonly sum: number
  readonly explicitBounds: ReadonlyArray<number>
}

interface CollectedMetric {
  readonly name: string
  readonly unit: string
  readonly histogram?: { readonly dataPoints: ReadonlyArray<CollectedPoint> }
}

const plain = (value: Value): unknown =>
  value.arrayValue?.values.map(plain) ?? value.stringValue ?? value.intValue ?? value.doubleValue ?? value.boolValue

export const recordOf = (attributes: Attributes) =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, plain(value)]))

const bodyOf = async (request: Http.IncomingMessage) => {
  let body = ""
  for await (const chunk of request) body += String(chunk)
  return body
}

/** Collects as long as the scope is open. With a status other than 200 it refuses everything. */
export const make = Effect.fnUntraced(function*(status = 200) {
  const spans: Array<CollectedSpan> = []
  const bodies: Array<string> = []
  let metrics: ReadonlyArray<CollectedMetric> = []
  const url = yield* Server.serve((request, response) => {
    bodyOf(request).then((body) => {
      bodies.push(body)
      const { resourceMetrics = [], resourceSpans = [] } = JSON.parse(body)
      for (const { scopeSpans } of resourceSpans) for (const scope of scopeSpans) spans.push(...scope.spans)
      for (const { scopeMetrics } of resourceMetrics) for (const scope of scopeMetrics) metrics = scope.metrics
      response.writeHead(status, { "content-type": "application/json" }).end("{}")
    })
  })
  return { url, spans, bodies, metrics: () => metrics }
})
