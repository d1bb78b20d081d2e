/**
 * Effect's `HttpClient` over what Node's clients report by calls. What their parser finds in one read of a socket is one step
 * of a stream, without a `Readable` of Node between them.
 */
import * as NodeStream from "@effect/platform-node/NodeStream"
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Cookies from "effect/http/Cookies"
import * as Headers from "effect/http/Headers"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as Inspectable from "effect/Inspectable"
import * as Option from "effect/Option"
import { pipeArguments } from "effect/Pipeable"
import * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Buffer } from "node:buffer"
import type { IncomingHttpHeaders } from "node:http"
import { Readable } from "node:stream"

type Request = HttpClientRequest.HttpClientRequest
type Failure = HttpClientError.HttpClientError

interface Connection {
  readonly pause: () => void
  readonly resume: () => void
  readonly abort: (reason: Error) => void
}

/**
 * Milliseconds that an idle connection is kept. Servers close one after 72 seconds, proxies before them after 60 or more, and
 * a request sent at that moment is lost. Node obeys a server that announces less.
 */
export const idleTime = 50_000

/** Bytes that are read ahead of a consumer, before the server has to wait. */
const highWaterMark = 65_536

const leftUnread = new Error("what remains of the body is not read")

/** Waits for what a client reports, and goes on behind all that it finds in one read of a socket. */
const report = <A, E = never>(register: (resume: (end: Exit.Exit<A, E>) => void) => void): Effect.Effect<A, E> =>
  Effect.callback((resume) => {
    // V8 allocates a closure for a property among old objects, where it would keep the fiber that it resumed, and its result.
    let waiting: typeof resume | undefined = resume
    register((end) =>
      queueMicrotask(() => {
        const resume = waiting
        waiting = undefined
        resume?.(end)
      })
    )
  })

class Body {
  readonly #connection: Connection
  #pieces: Array<Uint8Array> = []
  #size = 0
  #wake: (() => void) | undefined
  /** How it ends: whole, or with what it is broken by. */
  end: Result.Result<void, Error> | undefined

  constructor(connection: Connection) {
    this.#connection = connection
  }

  /** Waits until something has come, or the end. */
  readonly filled: Effect.Effect<void> = report((resume) => {
    const wake = this.#wake
    this.#wake = () => {
      wake?.()
      resume(Exit.void)
    }
  })

  add(piece: Uint8Array) {
    this.#pieces.push(piece)
    this.#size += piece.length
    if (this.#size > highWaterMark) this.#connection.pause()
    this.#awake()
  }

  finish(end: Result.Result<void, Error>) {
    this.end ??= end
    this.#awake()
  }

  #awake() {
    const wake = this.#wake
    this.#wake = undefined
    wake?.()
  }

  /** All that has come since the last time, as one: small pieces cost more apart than together. */
  take(): Uint8Array | undefined {
    const pieces = this.#pieces
    const [first] = pieces
    if (first === undefined) return undefined
    this.#pieces = []
    this.#size = 0
    this.#connection.resume()
    return pieces.length === 1 ? first : Buffer.concat(pieces)
  }

  /** Ends the connection, unless all is read. */
  close() {
    if (this.end === undefined) this.#connection.abort(leftUnread)
  }
}

class Response extends Inspectable.Class implements HttpClientResponse.HttpClientResponse {
  readonly [HttpIncomingMessage.TypeId] = HttpIncomingMessage.TypeId
  readonly [HttpClientResponse.TypeId] = HttpClientResponse.TypeId
  readonly remoteAddress = Option.none<string>()
  readonly request: Request
  readonly url: string
  readonly status: number
  readonly headers: Headers.Headers
  readonly cookies: Cookies.Cookies
  readonly #body: Body
  #whole: Effect.Effect<Uint8Array, Failure> | undefined

  constructor(request: Request, url: string, status: number, headers: IncomingHttpHeaders, body: Body) {
    super()
    this.request = request
    this.url = url
    this.status = status
    this.headers = Headers.fromInput(headers)
    this.cookies = Cookies.fromSetCookie(headers["set-cookie"] ?? [])
    this.#body = body
  }

  /** The next bytes, or the end. */
  readonly #next: Pull.Pull<Arr.NonEmptyReadonlyArray<Uint8Array>, Failure> = Effect.suspend(() => {
    const piece = this.#body.take()
    if (piece !== undefined) return Effect.succeed([piece])
    const { end } = this.#body
    return end === undefined
      ? Effect.andThen(this.#body.filled, this.#next)
      : Result.isSuccess(end)
      ? Cause.done()
      : Effect.fail(this.#undecoded(end.failure))
  })

  #undecoded(cause: unknown) {
    const reason = new HttpClientError.DecodeError({ request: this.request, response: this, cause })
    return new HttpClientError.HttpClientError({ reason })
  }

  get stream() {
    return Stream.fromChannel(
      Channel.fromTransform((_, scope: Scope.Scope) =>
        Effect.as(Scope.addFinalizer(scope, Effect.sync(() => this.#body.close())), this.#next)
      )
    )
  }

  /** All bytes, which are read once. */
  get #bytes() {
    const pieces: Array<Uint8Array> = []
    const read = Effect.forever(Effect.map(this.#next, (more) => pieces.push(...more)), { disableYield: true })
    return this.#whole ??= Effect.runSync(
      Effect.cached(Pull.catchDone(read, () => Effect.sync(() => Buffer.concat(pieces.splice(0)))))
    )
  }

  get arrayBuffer() {
    return Effect.map(this.#bytes, (bytes) => new Uint8Array(bytes).buffer)
  }

  get text() {
    return Effect.map(this.#bytes, (bytes) => new TextDecoder().decode(bytes))
  }

  /** As the Web reads it, for what is rarely asked for. Its status is left out, as the Web has no body for some. */
  #read<A>(member: (web: HttpClientResponse.HttpClientResponse) => Effect.Effect<A, Failure>) {
    return Effect.flatMap(this.arrayBuffer, (bytes) => {
      const web = HttpClientResponse.fromWeb(this.request, new globalThis.Response(bytes, { headers: this.headers }))
      return Effect.mapError(member(web), ({ cause }) => this.#undecoded(cause))
    })
  }

  get json() {
    return this.#read(({ json }) => json)
  }

  get urlParamsBody() {
    return this.#read(({ urlParamsBody }) => urlParamsBody)
  }

  get formData() {
    return this.#read(({ formData }) => formData)
  }

  get upgrade() {
    const reason = new HttpClientError.StatusCodeError({ request: this.request, response: this })
    return Effect.fail(new HttpClientError.HttpClientError({ reason }))
  }

  toJSON() {
    return HttpIncomingMessage.inspect(this, {
      _id: "effect/http/HttpClientResponse",
      request: this.request.toJSON(),
      status: this.status
    })
  }

  pipe() {
    return pipeArguments(this, arguments)
  }
}

/** A body as Node's clients send it. */
type Sent = Uint8Array | Readable | null

const sentOf = (request: Request): Effect.Effect<Sent, Failure> => {
  const { body } = request
  switch (body._tag) {
    case "Empty":
      return Effect.succeed(null)
    case "Uint8Array":
      return Effect.succeed(body.body)
    case "Stream":
      return NodeStream.toReadable(body.stream)
    default: {
      const description = `a body of the kind ${body._tag} is not sent`
      const reason = new HttpClientError.EncodeError({ request, description })
      return Effect.fail(new HttpClientError.HttpClientError({ reason }))
    }
  }
}

/**
 * What a client reports of one request. It holds nothing of what has been answered, as a connection is closed once the answer
 * to it is no longer reachable.
 */
class Exchange {
  readonly #request: Request
  readonly #url: URL
  #answer: ((answer: Exit.Exit<Response, Failure>) => void) | undefined
  #body: Body | undefined

  constructor(request: Request, url: URL, answer: (answer: Exit.Exit<Response, Failure>) => void) {
    this.#request = request
    this.#url = url
    this.#answer = answer
  }

  begin(connection: Connection, status: number, headers: IncomingHttpHeaders) {
    this.#body = new Body(connection)
    this.#resume(Exit.succeed(new Response(this.#request, this.#url.href, status, headers, this.#body)))
  }

  add(piece: Uint8Array) {
    this.#body?.add(piece)
  }

  end() {
    this.#body?.finish(Result.void)
  }

  fail(cause: Error) {
    this.refuse(cause)
    this.#body?.finish(Result.fail(cause))
  }

  /** Fails what has no answer yet. */
  refuse(cause: Error) {
    const reason = new HttpClientError.TransportError({ request: this.#request, cause })
    this.#resume(Exit.fail(new HttpClientError.HttpClientError({ reason })))
  }

  #resume(answer: Exit.Exit<Response, Failure>) {
    this.#answer?.(answer)
    this.#answer = undefined
  }
}

/** The failure of a connection as one of making it: nothing was sent over it, whatever call of the system failed. */
export const notConnected = (cause: Error): Error => Object.assign(cause, { syscall: "connect" })

/** Aborts by a signal, which may have been given before. */
export const onAbort = (signal: AbortSignal, abort: (reason: Error) => void) => {
  if (signal.aborted) abort(signal.reason)
  else signal.addEventListener("abort", () => abort(signal.reason), { once: true })
}

/** Sends a request, until the signal aborts it, and reports what becomes of it. */
type Send = (request: Request, url: URL, body: Sent, signal: AbortSignal, exchange: Exchange) => void

/** A client that sends so, once it is ready to. */
export const make = (send: Send, ready: Effect.Effect<void> = Effect.void): HttpClient.HttpClient =>
  HttpClient.make((request, url, signal) =>
    Effect.flatMap(Effect.andThen(ready, sentOf(request)), (body) =>
      report((resume) => {
        const exchange = new Exchange(request, url, resume)
        // Clients report another cause, and listen no longer where a request is aborted: that would end the process.
        if (body instanceof Readable) body.on("error", (cause) => exchange.refuse(cause))
        send(request, url, body, signal, exchange)
      }))
  )
