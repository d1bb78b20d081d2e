/** What the tests of the embedded server share: requests without any help, and what comes back as it is. */
import * as Effect from "effect/Effect"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import type * as HttpMethod from "effect/http/HttpMethod"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import type { EmbeddedOptions } from "../../src/embedded/EmbeddedOptions.ts"
import { layerHttpClient } from "../../src/embedded/EmbeddedServer.ts"
import { jsonAt } from "../../src/schema/Wire.ts"

/** Runs a test against a server of its own. */
export const withServer = (options: EmbeddedOptions = {}) => <A, E, R>(test: Effect.Effect<A, E, R>) =>
  Effect.scoped(Effect.provide(test, layerHttpClient(options)))

export interface RequestOptions {
  readonly json?: Schema.Json
  readonly text?: string
  readonly bytes?: Uint8Array
  readonly headers?: Readonly<Record<string, string>>
  /** @default "Bearer embedded" */
  readonly authorization?: string | null
}

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly text: string
  readonly body: Schema.Json
}

/** Sends a request. */
export const send = (
  method: HttpMethod.HttpMethod,
  path: string,
  options: RequestOptions = {}
): Effect.Effect<HttpClientResponse.HttpClientResponse, unknown, HttpClient.HttpClient> => {
  const { authorization = "Bearer embedded" } = options
  const body = options.bytes !== undefined
    ? HttpBody.uint8Array(options.bytes, "application/json")
    : options.json !== undefined
    ? HttpBody.text(JSON.stringify(options.json), "application/json")
    : options.text !== undefined
    ? HttpBody.text(options.text, "application/json")
    : HttpBody.empty
  return HttpClient.execute(
    HttpClientRequest.make(method)(`http://ash.test${path}`).pipe(
      HttpClientRequest.setBody(body),
      HttpClientRequest.setHeaders(authorization === null ? {} : { authorization }),
      HttpClientRequest.setHeaders(options.headers ?? {})
    )
  )
}

const decodeJson = Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.Json))

/** Sends a request and reads the whole answer. A body that is no JSON is null. */
export const ask = Effect.fnUntraced(function*(
  method: HttpMethod.HttpMethod,
  path: string,
  options: RequestOptions = {}
) {
  const response = yield* send(method, path, options)
  const text = yield* response.text
  const body = yield* Effect.orElseSucceed(decodeJson(text), () => null)
  const answer: Answer = { status: response.status, headers: response.headers, text, body }
  return answer
})

/** A value within JSON. */
export const at = (json: Schema.Json | undefined, ...path: ReadonlyArray<string | number>): Schema.Json | undefined =>
  json === undefined ? undefined : jsonAt(json, ...path)

/** A text within JSON. */
export const textAt = (json: Schema.Json | undefined, ...path: ReadonlyArray<string | number>): string =>
  String(at(json, ...path))

/** The elements of a list within JSON. */
export const listAt = (json: Schema.Json | undefined, ...path: ReadonlyArray<string | number>) => {
  const list = at(json, ...path)
  return Array.isArray(list) ? list : []
}

/** Lets the clock run, and whatever waits for the disk, until something is what it is going to be. */
export const becomes = Effect.fnUntraced(function*(
  path: string,
  where: ReadonlyArray<string | number>,
  value: Schema.Json
) {
  while (at((yield* ask("GET", path)).body, ...where) !== value) {
    yield* TestClock.adjust("1 second")
    yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
  }
})

/** Deploys an agent. */
export const deploy = (name: string, more: Schema.JsonObject = {}) =>
  ask("POST", "/api/agents", { json: { name, ...more } })

/** Deploys an agent and opens a session with it. */
export const open = Effect.fnUntraced(function*(more: Schema.JsonObject = {}) {
  yield* deploy("demo")
  const { body } = yield* ask("POST", "/api/sessions", { json: { agent: "demo", ...more } })
  const id = textAt(body, "session", "id")
  return { id, path: `/api/sessions/${id}` }
})

export const statusOf = (path: string) => Effect.map(ask("GET", path), ({ body }) => textAt(body, "session", "status"))

/** A content as servers take it in JSON. */
export const base64 = (content: string | Uint8Array) => Buffer.from(content).toString("base64")

/** A file to write, whose content is its path unless there is another. */
export const file = (path: string, content: string | Uint8Array = path) => ({ path, content: base64(content) })

/** Writes files into the workspace of a session. */
export const writeFiles = (
  path: string,
  files: ReadonlyArray<{ readonly path: string; readonly content: string }>,
  more = {}
) => ask("POST", `${path}/files`, { json: { files: [...files], ...more } })

/** The paths of a session's files, and where they are read from. */
export const pathsOf = Effect.fnUntraced(function*(path: string, query = "") {
  const { body } = yield* ask("GET", `${path}/files${query}`)
  return { paths: listAt(body, "files").map((entry) => at(entry, "path")), source: at(body, "source") }
})

/** A frame of the stream of a turn. */
export interface Frame {
  readonly event: string
  readonly data: Schema.Json
}

/** The frames of a stream, taken apart without any leniency. */
export const framesOf = (text: string) =>
  Effect.forEach(text.split("\n\n").slice(0, -1), (frame) => {
    const [event, data, ...rest] = frame.split("\n")
    return event?.startsWith("event: ") === true && data?.startsWith("data: ") === true && rest.length === 0
      ? Effect.map(decodeJson(data.slice(6)), (data): Frame => ({ event: event.slice(7), data }))
      : Effect.die(new Error(`no frame: ${frame}`))
  })

/** Sends a message and reads the stream of its turn to the end. */
export const say = Effect.fnUntraced(function*(path: string, content: Schema.Json, more: Schema.JsonObject = {}) {
  const { text } = yield* ask("POST", `${path}/messages`, { json: { content, ...more } })
  return yield* framesOf(text)
})

/** Sends a message and reads the stream of its turn frame by frame, as the frames are taken. */
export const listen = Effect.fnUntraced(function*(path: string, content: Schema.Json, more: Schema.JsonObject = {}) {
  const response = yield* send("POST", `${path}/messages`, { json: { content, ...more } })
  const frames = yield* Queue.unbounded<Frame>()
  const fiber = yield* response.stream.pipe(
    Stream.decodeText(),
    Stream.runForEach((text) => Effect.flatMap(framesOf(text), (all) => Queue.offerAll(frames, all))),
    Effect.forkScoped
  )
  /** Takes frames until one is as wanted. */
  const until = Effect.fnUntraced(function*(isWanted: (frame: Frame) => boolean) {
    const taken: Array<Frame> = []
    while (true) {
      const frame = yield* Queue.take(frames)
      taken.push(frame)
      if (isWanted(frame)) return taken
    }
  })
  return { fiber, until, rest: Queue.clear(frames) }
})

export const named = (event: string) => (frame: Frame) => frame.event === event

/** The texts that a turn said, from the whole messages of its stream. */
export const saidIn = (frames: ReadonlyArray<Frame>): ReadonlyArray<string> =>
  frames
    .filter(({ data }) => at(data, "type") === "assistant")
    .flatMap(({ data }) => listAt(data, "message", "content"))
    .filter((block) => at(block, "type") === "text")
    .map((block) => textAt(block, "text"))
