/**
 * A proxy on a port of this machine that spoils what passes: for tests of how a program takes the faults of a network, of
 * a server and of what stands between. Which request meets which fault is told by a script, or left to chance.
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { Messages } from "effect-ash"
 * import { AshEmbedded, FaultProxy } from "effect-ash/embedded"
 * import { AshNode } from "effect-ash/node"
 *
 * const test = Effect.gen(function*() {
 *   const { apiKey, url } = yield* AshEmbedded.EmbeddedAddress
 *   const proxy = yield* FaultProxy.make({
 *     target: url,
 *     script: ({ path }) => path.endsWith("/messages") ? { kind: "endInEvent" } : undefined
 *   })
 *   const turn = Effect.flatMap(Messages, ({ send }) => Stream.runCollect(send("the id of a session", "Hello!")))
 *   return yield* Effect.flip(turn).pipe(Effect.provide(AshNode.layer({ url: proxy.url, apiKey })))
 * }).pipe(Effect.scoped, Effect.provide(AshEmbedded.layerHttp()))
 * ```
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Effect from "effect/Effect"
import * as Headers from "effect/http/Headers"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import type { HttpClientError } from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as UrlParams from "effect/http/UrlParams"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Buffer } from "node:buffer"
import * as Http from "node:http"
import type { Socket } from "node:net"
import * as Faults from "./faults.ts"

export type { Fault, FaultKind, FaultPhase } from "./faults.ts"

/** The kinds of faults. */
export const kinds: ReadonlyArray<Faults.FaultKind> = Faults.kinds

/** The phases of a fault. */
export const phases: ReadonlyArray<Faults.FaultPhase> = ["beforeHeaders", "afterHeaders", "midStream"]

/** A request as it reached the proxy. */
export interface ProxiedRequest {
  readonly method: string
  /** With the query. */
  readonly path: string
  /** Which request of the proxy it is, from 0. */
  readonly index: number
}

/** A request, and the fault that it met. */
export interface Exchange extends ProxiedRequest {
  readonly fault: Faults.Fault | undefined
}

/** Which fault a request meets; none, if nothing is answered. */
export type FaultScript = (request: ProxiedRequest) => Faults.Fault | undefined

/** How faults are left to chance. */
export interface RandomOptions {
  /** The same seed gives the same faults to the same requests in the same order. */
  readonly seed: string | number
  /** How likely a request meets a fault, 0 to 1. @default 0.2 */
  readonly probability?: number | undefined
  /** @default all kinds */
  readonly kinds?: ReadonlyArray<Faults.FaultKind> | undefined
  /** @default all phases */
  readonly phases?: ReadonlyArray<Faults.FaultPhase> | undefined
}

/** A script that leaves faults to chance. */
export const random = (
  { kinds = Faults.kinds, phases: among = phases, probability = 0.2, seed }: RandomOptions
): Effect.Effect<FaultScript> =>
  Effect.map(Random.Random, (random): FaultScript => {
    const pick = <A>(values: ReadonlyArray<A>) => values.at(Math.floor(random.nextDoubleUnsafe() * values.length))
    return () => {
      const isStruck = random.nextDoubleUnsafe() < probability
      const kind = pick(kinds)
      const phase = pick(among)
      const after = Math.floor(random.nextDoubleUnsafe() * 8)
      return isStruck && kind !== undefined ? { kind, phase, after } : undefined
    }
  }).pipe(Random.withSeed(String(seed)))

/** What a proxy stands before, and what it does. */
export interface FaultProxyOptions {
  /** The URL of the server. */
  readonly target: string | URL
  /** @default no faults */
  readonly script?: FaultScript | undefined
}

/** A running proxy. */
export interface FaultProxy {
  readonly url: string
  /** The requests so far, oldest first. */
  readonly exchanges: Effect.Effect<ReadonlyArray<Exchange>>
  /** How many connections of clients are open. */
  readonly connections: Effect.Effect<number>
}

/** What is between two neighbours only (RFC 9110, section 7.6.1), and what a client of HTTP sets by itself. */
const ownHeaders = new Set(["connection", "content-length", "host", "keep-alive", "te", "transfer-encoding", "upgrade"])

const passedOn = (headers: Readonly<Record<string, string | Array<string> | undefined>>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      typeof value === "string" && !ownHeaders.has(name) ? [[name, value]] : []
    )
  )

/** Faults that answer by themselves where they come before the response. */
const answers = new Map<Faults.FaultKind, readonly [status: number, headers: Record<string, string>, body: string]>([
  ["html", [200, { "content-type": "text/html" }, Faults.page]],
  ["empty", [204, {}, ""]],
  ["rateLimited", [429, { "content-type": "application/json", "retry-after": "900" }, Faults.rateLimited]],
  ["atCapacity", [503, { "content-type": "application/json" }, Faults.atCapacity]]
])

/** Faults that answer an event stream of their own where they come before the response. */
const ownStreams: ReadonlySet<Faults.FaultKind> = new Set<Faults.FaultKind>([
  "errorOnly",
  "errorThenDone",
  "writeTimeout",
  "foreignDone",
  "comments"
])

/** Faults that break the connection, before the response where they come so early. */
const breaks: ReadonlySet<Faults.FaultKind> = new Set<Faults.FaultKind>([
  "reset",
  "limitData",
  "endAtEvent",
  "endInEvent",
  "endInCharacter"
])

/** Takes a body to its end, or to the connection's. */
const readBody = (request: Http.IncomingMessage) =>
  Effect.callback<Uint8Array>((resume) => {
    const chunks: Array<Uint8Array> = []
    request.on("data", (chunk: Uint8Array) => chunks.push(chunk))
    request.on("end", () => resume(Effect.succeed(new Uint8Array(Buffer.concat(chunks)))))
  })

const write = (response: Http.ServerResponse, bytes: Uint8Array) =>
  Effect.callback<void>((resume) => {
    if (response.write(bytes)) resume(Effect.void)
    else response.once("drain", () => resume(Effect.void))
  })

const sessionOf = (path: string) => /\/sessions\/([^/?]+)/.exec(path)?.[1] ?? ""

const eventStream = { "content-type": "text/event-stream", "cache-control": "no-cache" }

/** How long a proxy that is down refuses connections. */
const downTime = "500 millis"

const closed = (server: Http.Server) =>
  Effect.callback<void>((resume) => {
    server.close(() => resume(Effect.void))
    server.closeAllConnections()
  })

/** A port that was let go of may be taken for a moment, by a connection that goes out from it. */
const listening = (server: Http.Server, port: number) =>
  Effect.callback<number, Error>((resume) => {
    server.once("error", (error) => resume(Effect.fail(error)))
    server.listen(port, "127.0.0.1", () => {
      server.removeAllListeners("error")
      const address = server.address()
      resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : port))
    })
  }).pipe(Effect.retry({ schedule: Schedule.spaced("50 millis"), times: 200 }), Effect.orDie)

/** Starts a proxy before a server; it ends with the scope. */
export const make = (options: FaultProxyOptions): Effect.Effect<FaultProxy, never, Scope.Scope> =>
  Effect.provide(start(options), NodeHttpClient.layerNodeHttp)

const start = Effect.fnUntraced(function*({ script, target }: FaultProxyOptions) {
  const client = yield* HttpClient.HttpClient
  const random = yield* Random.Random
  const scope = yield* Effect.scope
  const run = Effect.runForkWith(yield* Effect.context<never>())
  const base = String(target).replace(/\/+$/, "")
  const exchanges: Array<Exchange> = []
  const sockets = new Set<Socket>()

  const server = Http.createServer()
  server.on("connection", (socket) => {
    sockets.add(socket)
    socket.on("close", () => sockets.delete(socket))
  })
  const port = yield* Effect.acquireRelease(listening(server, 0), () => closed(server))

  const goDown = Effect.uninterruptible(
    Effect.andThen(closed(server), Effect.andThen(Effect.sleep(downTime), listening(server, port)))
  ).pipe(Effect.forkIn(scope), Effect.asVoid)

  const reset = (response: Http.ServerResponse) =>
    Effect.sync(() => {
      response.socket?.resetAndDestroy()
    })

  const end = (response: Http.ServerResponse) =>
    Effect.sync(() => {
      response.end()
    })

  const send = (response: Http.ServerResponse, body: Stream.Stream<Uint8Array, Faults.Cut | HttpClientError>) =>
    Stream.runForEach(body, (bytes) => write(response, bytes)).pipe(
      Effect.matchEffect({
        onFailure: (error) =>
          error._tag === "Cut" && error.by === "end"
            ? end(response)
            : error._tag === "Cut" && error.by === "down"
            ? goDown
            : reset(response),
        onSuccess: () => end(response)
      })
    )

  const passOn = (
    { headers, method, path }: ProxiedRequest & { readonly headers: Http.IncomingHttpHeaders },
    body: Uint8Array
  ) =>
    client.execute(HttpClientRequest.makeWith(
      method,
      `${base}${path}`,
      UrlParams.empty,
      Option.none(),
      Headers.fromInput(passedOn(headers)),
      body.length === 0 ? HttpBody.empty : HttpBody.uint8Array(body, headers["content-type"])
    ))

  const answer = (response: Http.ServerResponse, kind: Faults.FaultKind) =>
    Effect.sync(() => {
      const [status, headers, body] = answers.get(kind) ?? [502, {}, ""]
      response.writeHead(status, headers).end(body)
    })

  const serve = Effect.fnUntraced(function*(
    request: Http.IncomingMessage,
    response: Http.ServerResponse
  ): Effect.fn.Return<void, never, Scope.Scope> {
    const body = yield* readBody(request)
    const proxied = { method: request.method ?? "GET", path: request.url ?? "/", index: exchanges.length }
    const fault = script?.(proxied)
    exchanges.push({ ...proxied, fault })
    // A server that refuses a request for its number has done nothing: such an answer is never that of a turn that runs.
    const isEarly = fault !== undefined &&
      (fault.phase === "beforeHeaders" || (fault.kind === "rateLimited" && fault.phase === "afterHeaders"))
    const strike = { sessionId: sessionOf(proxied.path), delay: 50 + random.nextDoubleUnsafe() * 100 }
    if (isEarly) {
      const { kind } = fault
      if (answers.has(kind)) return yield* answer(response, kind)
      if (kind === "down") return yield* goDown
      if (kind === "timeout") return yield* Effect.never
      if (kind === "reset") return yield* reset(response)
      if (breaks.has(kind)) {
        response.socket?.destroy()
        return
      }
      if (ownStreams.has(kind)) {
        response.writeHead(200, eventStream)
        return yield* send(response, Faults.spoil(fault, strike)(Stream.make(new Uint8Array(0))))
      }
      if (kind === "latency") yield* Effect.sleep(strike.delay)
    }
    const received = yield* Effect.result(passOn({ ...proxied, headers: request.headers }, body))
    if (Result.isFailure(received)) {
      response.writeHead(502, { "content-type": "text/plain" }).end(`no answer from ${base}`)
      return
    }
    const { headers, status, stream } = received.success
    if (fault?.phase === "afterHeaders" && answers.has(fault.kind)) return yield* answer(response, fault.kind)
    response.writeHead(status, passedOn(headers))
    response.flushHeaders()
    const frames = headers["content-type"]?.startsWith("text/event-stream") === true
      ? Faults.splitFrames(stream)
      : stream
    yield* send(response, fault === undefined ? stream : Faults.spoil(fault, strike)(frames))
  })

  server.on("request", (request, response) => {
    const fiber = run(Effect.scoped(serve(request, response)))
    response.on("close", () => fiber.interruptUnsafe())
  })

  return {
    url: `http://127.0.0.1:${port}`,
    exchanges: Effect.sync(() => [...exchanges]),
    connections: Effect.sync(() => sockets.size)
  }
})
