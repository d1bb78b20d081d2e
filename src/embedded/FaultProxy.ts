/**
 * A proxy on a port of this machine that spoils what passes, for tests of a program under the faults of a network, of a
 * server and of what stands between. A script decides which request meets which fault, or chance does.
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
import * as NodeStream from "@effect/platform-node/NodeStream"
import * as Effect from "effect/Effect"
import * as Headers from "effect/http/Headers"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import type { HttpClientError } from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as UrlParams from "effect/http/UrlParams"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Random from "effect/Random"
import * as Record from "effect/Record"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Http from "node:http"
import * as Process from "node:process"
import { aFunction, checked, count, listOf, oneOf, optionsOf, required, rule } from "../internal/request/options.ts"
import type { AshError } from "../schema/AshError.ts"
import * as Faults from "./faults.ts"
import { closed } from "./http/closed.ts"

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

/** Decides which fault a request meets; `undefined` is none. */
export type FaultScript = (request: ProxiedRequest) => Faults.Fault | undefined

/** How chance decides on faults. */
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

const aKind = oneOf(...kinds)

const aPhase = oneOf(...phases)

const areRandom = required(optionsOf<RandomOptions>({
  seed: required(rule("a text or a number", (seed) => Predicate.isString(seed) || Predicate.isNumber(seed))),
  probability: rule("a number of 0 to 1", (likely) => Predicate.isNumber(likely) && likely >= 0 && likely <= 1),
  kinds: listOf("kinds of faults", (kind) => aKind(kind ?? null, "") === undefined),
  phases: listOf("phases of faults", (phase) => aPhase(phase ?? null, "") === undefined)
}))

/** A script by which chance decides on faults. */
export const random = (options: RandomOptions): Effect.Effect<FaultScript, AshError> =>
  Effect.andThen(checked("FaultProxy.random", areRandom, options), Effect.suspend(() => scriptOf(options)))

const scriptOf = ({ kinds = Faults.kinds, phases: among = phases, probability = 0.2, seed }: RandomOptions) =>
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
  Record.filter(headers, (value, name): value is string => typeof value === "string" && !ownHeaders.has(name))

const write = (response: Http.ServerResponse, bytes: Uint8Array) =>
  Effect.callback<void>((resume) => {
    if (response.write(bytes)) resume(Effect.void)
    else response.once("drain", () => resume(Effect.void))
  })

const end = (response: Http.ServerResponse) => Effect.sync(() => void response.end())

const reset = (response: Http.ServerResponse) => Effect.sync(() => void response.socket?.resetAndDestroy())

const sessionOf = (path: string) => /\/sessions\/([^/?]+)/.exec(path)?.[1] ?? ""

const plain = { "content-type": "text/plain" }

const eventStream = { "content-type": "text/event-stream", "cache-control": "no-cache" }

/** How long a proxy that is down refuses connections. */
const downTime = "500 millis"

/** Listens on a port. One that was closed may be in use for a moment, by a connection that goes out from it. */
const listening = (server: Http.Server, port: number) =>
  Effect.callback<number, Error>((resume) => {
    server.once("error", (error) => resume(Effect.fail(error)))
    server.listen(port, "127.0.0.1", () => {
      server.removeAllListeners("error")
      const address = server.address()
      resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : port))
    })
  }).pipe(Effect.retry({ schedule: Schedule.spaced("50 millis"), times: 200 }), Effect.orDie)

const proxyRules = required(optionsOf<FaultProxyOptions>({
  target: required(
    rule(
      "a URL that begins with http:// or https://",
      (url) =>
        (Predicate.isString(url) || url instanceof URL) && /^https?:\/\//i.test(String(url)) &&
        URL.canParse(String(url))
    )
  ),
  script: aFunction
}))

const faultRules = required(optionsOf<Faults.Fault>({ kind: required(aKind), phase: aPhase, after: count(0) }))

/** Starts a proxy before a server; it ends with the scope. A fault that is none is told in the place of an answer. */
export const make = (options: FaultProxyOptions): Effect.Effect<FaultProxy, AshError, Scope.Scope> =>
  Effect.andThen(
    checked("FaultProxy.make", proxyRules, options),
    Effect.provide(start(options), NodeHttpClient.layerNodeHttp)
  )

/** A server that refuses a request by its rate limit has done nothing: such an answer never follows a turn that runs. */
const isEarly = ({ kind, phase }: Faults.Fault) =>
  phase === "beforeHeaders" || (kind === "rateLimited" && phase === "afterHeaders")

const answer = (response: Http.ServerResponse, [status, headers, body]: Faults.Answer) => {
  response.writeHead(status, headers).end(body)
}

const start = Effect.fnUntraced(function*(options: FaultProxyOptions) {
  const { script = () => undefined } = options
  const target = String(options.target).replace(/\/+$/, "")
  const client = yield* HttpClient.HttpClient
  const scope = yield* Effect.scope
  const server = Process.getBuiltinModule("node:http").createServer()
  const port = yield* Effect.acquireRelease(listening(server, 0), () => closed(server))
  const exchanges: Array<Exchange> = []

  /** Closes every connection, and refuses new ones for a while. */
  const goDown = Effect.uninterruptible(
    Effect.andThen(closed(server), Effect.andThen(Effect.sleep(downTime), listening(server, port)))
  ).pipe(Effect.forkIn(scope), Effect.asVoid)

  const forward = ({ method, path }: ProxiedRequest, headers: Http.IncomingHttpHeaders, body: Uint8Array) =>
    client.execute(HttpClientRequest.makeWith(
      method,
      `${target}${path}`,
      UrlParams.empty,
      Option.none(),
      Headers.fromInput(passedOn(headers)),
      body.length === 0 ? HttpBody.empty : HttpBody.uint8Array(body, headers["content-type"])
    ))

  /** Sends a body, and ends it as its cut demands. */
  const send = (response: Http.ServerResponse, body: Stream.Stream<Uint8Array, Faults.Cut | HttpClientError>) =>
    Effect.matchEffect(Stream.runForEach(body, (bytes) => write(response, bytes)), {
      onFailure: (error) => {
        const by = error._tag === "Cut" ? error.by : "reset"
        return by === "end" ? end(response) : by === "down" ? goDown : reset(response)
      },
      onSuccess: () => end(response)
    })

  /** Lets a fault strike before the response, and answers whether it takes the place of the response. */
  const answerEarly = Effect.fnUntraced(
    function*(response: Http.ServerResponse, fault: Faults.Fault, strike: Faults.StrikeOptions) {
      const { kind } = fault
      const { answer: own, early } = Faults.behaviorOf(kind)
      if (kind === "timeout") return yield* Effect.never
      if (own !== undefined) answer(response, own)
      else if (kind === "down") yield* goDown
      else if (kind === "reset") yield* reset(response)
      else if (early === "breaks") response.socket?.destroy()
      else if (early === "streams") {
        response.writeHead(200, eventStream)
        yield* send(response, Faults.spoil(fault, strike)(Stream.make(new Uint8Array(0))))
      } else {
        if (kind === "latency") yield* Effect.sleep(strike.delay)
        return false
      }
      return true
    }
  )

  const serve = Effect.fnUntraced(function*(request: Http.IncomingMessage, response: Http.ServerResponse) {
    const body = yield* NodeStream.toUint8Array(() => request)
    const proxied = { method: request.method ?? "GET", path: request.url ?? "/", index: exchanges.length }
    const fault = script(proxied)
    exchanges.push({ ...proxied, fault })
    const wrong = fault === undefined ? undefined : faultRules(fault, "fault")
    if (wrong !== undefined) return answer(response, [500, plain, wrong.message])
    const strike = { sessionId: sessionOf(proxied.path), delay: yield* Random.nextBetween(50, 150) }
    if (fault !== undefined && isEarly(fault) && (yield* answerEarly(response, fault, strike))) return
    const received = yield* Effect.result(forward(proxied, request.headers, body))
    if (Result.isFailure(received)) return answer(response, [502, plain, `no answer from ${target}`])
    const { headers, status, stream } = received.success
    const own = fault?.phase === "afterHeaders" ? Faults.behaviorOf(fault.kind).answer : undefined
    if (own !== undefined) return answer(response, own)
    response.writeHead(status, passedOn(headers))
    response.flushHeaders()
    const isEvents = headers["content-type"]?.startsWith("text/event-stream") === true
    const frames = isEvents ? Faults.splitFrames(stream) : stream
    yield* send(response, fault === undefined ? stream : Faults.spoil(fault, strike)(frames))
  }, Effect.scoped)

  const run = Effect.runForkWith(yield* Effect.context<never>())
  server.on("request", (request, response) => {
    const fiber = run(serve(request, response))
    response.on("close", () => fiber.interruptUnsafe())
  })
  return {
    url: `http://127.0.0.1:${port}`,
    exchanges: Effect.sync(() => [...exchanges]),
    connections: Effect.callback<number>((resume) => {
      server.getConnections((_, count) => resume(Effect.succeed(count)))
    })
  }
})
