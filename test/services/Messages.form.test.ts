import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import { afterEach, beforeEach, vi } from "vitest"
import * as RequestOptions from "../../src/client/RequestOptions.ts"
import type { MessageContent } from "../../src/schema/Message.ts"
import { Messages } from "../../src/services/Messages.ts"
import { noSession, sessionId } from "../support/fixtures.ts"
import * as Server from "../support/ScriptedServer.ts"

const send = (content: MessageContent = "hello world") =>
  Effect.flatMap(Messages, ({ send }) => Stream.runCollect(send(sessionId, content)))

const image: MessageContent = [
  { type: "image", source: { type: "base64", media_type: "image/png", data: new Uint8Array([1]) } }
]

const turn = Server.sse(Server.frames(
  ["session_start", { sessionId }],
  ["message", { type: "result", subtype: "success", is_error: false }],
  ["done", { sessionId }]
))
const refusal = Server.json({ error: "Bad Request", statusCode: 400 }, 400)

const contentOf = (request: Server.Received) => (Server.jsonOf(request) as { content: unknown }).content
const isBlocks = (request: Server.Received) => Array.isArray(contentOf(request))

const takesBlocks: Server.Script = (request) => isBlocks(request) ? turn() : refusal()
const takesText: Server.Script = (request) => isBlocks(request) ? refusal() : turn()

const serving = (script: Server.Script) => {
  const server = Server.make(script, { retry: { times: 0 } })
  return { ...server, forms: () => server.requests.map((request) => isBlocks(request) ? "blocks" : "text") }
}

/** A tracer, and the names of the spans that fail. */
const tracing = () => {
  const failed: Array<string> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      const end = span.end.bind(span)
      span.end = (time, exit) => {
        if (exit._tag === "Failure") failed.push(span.name)
        end(time, exit)
      }
      return span
    }
  })
  return { failed, traced: Effect.withTracer(tracer) }
}

describe("the question for the form of content", () => {
  it.effect("is in no trace, and carries nothing of the call that came first", () => {
    const server = serving(({ path }) =>
      path.includes(noSession) ? Server.json({ error: "Session not found" }, 404)() : turn()
    )
    const { failed, traced } = tracing()
    return Effect.gen(function*() {
      yield* traced(send()).pipe(RequestOptions.withHeaders({ "x-first": "1" }))
      assert.deepStrictEqual(failed, [])
      assert.deepStrictEqual(server.requests.map(({ headers }) => headers["x-first"]), [undefined, "1"])
    }).pipe(Effect.provide(server.layer))
  })
})

/** What shows that this is a page, and of which origin. */
const stubPage = (origin: string) => {
  vi.stubGlobal("navigator", { userAgent: "Mozilla/5.0" })
  vi.stubGlobal("location", { origin })
}

describe("the form of content, beside browsers", () => {
  beforeEach(() => {
    vi.stubGlobal("navigator", { userAgent: "Deno/2.9.6" })
    vi.stubGlobal("location", undefined)
  })
  afterEach(() => vi.unstubAllGlobals())
  it.effect("is asked for where there is the global of a page, as in Deno, and no page", () => {
    const server = serving(takesText)
    return Effect.gen(function*() {
      yield* send("hello")
      assert.isAbove(server.requests.filter(({ path }) => path.includes(noSession)).length, 0)
      assert.deepStrictEqual(server.requests.slice(-1).map(contentOf), ["hello"])
    }).pipe(Effect.provide(server.layer))
  })
})

describe("a turn of a page that cannot be read", () => {
  beforeEach(() => stubPage("http://page.test"))
  afterEach(() => vi.unstubAllGlobals())

  it.effect.each([["http://ash.test", true], ["http://page.test", false]] as const)(
    "of %s has the reason",
    ([url, isForeign]) => {
      const server = Server.make(() => Effect.fail(Object.assign(new TypeError("Failed to fetch"), { inPage: true })), {
        url,
        retry: { times: 0 }
      })
      return Effect.gen(function*() {
        const error = yield* Effect.flip(send())
        assert.strictEqual(error.reason._tag, "ConnectionLost")
        assert.strictEqual(error.message.includes("another origin"), isForeign)
      }).pipe(Effect.provide(server.layer))
    }
  )
})

describe("the form of content, of a page", () => {
  beforeEach(() => stubPage("http://ash.test"))
  afterEach(() => vi.unstubAllGlobals())
  it.effect("a server that takes blocks is sent nothing but the messages, and nothing fails in a trace", () => {
    const server = serving(takesBlocks)
    const { failed, traced } = tracing()
    return Effect.gen(function*() {
      yield* traced(Effect.andThen(send(), send(image)))
      assert.deepStrictEqual(server.forms(), ["blocks", "blocks"])
      assert.deepStrictEqual(failed, [])
    }).pipe(Effect.provide(server.layer))
  })

  it.effect("a server that takes only text gets it when it has refused blocks, and only text from then on", () => {
    const server = serving(takesText)
    return Effect.gen(function*() {
      assert.strictEqual((yield* send("hello")).length, 3)
      yield* send([{ type: "text", text: "hello " }, { type: "text", text: "world" }])
      assert.deepStrictEqual(server.forms(), ["blocks", "text", "text"])
      assert.deepStrictEqual(server.requests.slice(1).map(contentOf), ["hello", "hello world"])
      const error = yield* Effect.flip(send(image))
      assert.match(error.message, /takes no images/)
      assert.strictEqual(server.requests.length, 3)
    }).pipe(Effect.provide(server.layer))
  })

  it.effect("once a server has taken blocks, it is sent no text for a refusal of something else", () => {
    const server = serving(Server.inOrder(turn, refusal, turn))
    return Effect.gen(function*() {
      yield* send()
      assert.strictEqual((yield* Effect.flip(send())).reason._tag, "InvalidRequest")
      yield* send()
      assert.deepStrictEqual(server.forms(), ["blocks", "blocks", "blocks"])
    }).pipe(Effect.provide(server.layer))
  })

  it.effect.each<readonly [what: string, content: MessageContent, requests: number]>([
    ["a text", "hello", 2],
    ["an image", image, 1]
  ])("of a server that refuses every form the first refusal is reported: %s", ([, content, requests]) => {
    const server = serving(Server.inOrder(Server.json({ error: "the first" }, 400), refusal))
    return Effect.gen(function*() {
      const error = yield* Effect.flip(send(content))
      assert.strictEqual(error.reason._tag, "InvalidRequest")
      assert.include(error.message, "the first")
      assert.strictEqual(server.requests.length, requests)
    }).pipe(Effect.provide(server.layer))
  })

  it.effect.each<readonly [what: string, script: Server.Script, tag: string]>([
    ["a failing server", Server.json({ error: "x" }, 500), "ServerFailure"],
    ["a refused key", Server.json({ error: "Invalid API key" }, 401), "Unauthorized"],
    ["no such session", Server.json({ error: "Session not found" }, 404), "NotFound"],
    ["a refusal of something else", Server.json({ error: "x" }, 409), "InvalidRequest"],
    ["a lost connection", Server.lost, "ConnectionLost"],
    ["a proxy's page", Server.text("<html>Bad Request</html>", 400, { "content-type": "text/html" }), "Undecodable"]
  ])("nothing else makes it another: %s", ([, script, tag]) => {
    const server = serving(script)
    return Effect.gen(function*() {
      assert.strictEqual((yield* Effect.flip(send())).reason._tag, tag)
      assert.deepStrictEqual(server.forms(), ["blocks"])
    }).pipe(Effect.provide(server.layer))
  })

  it.effect("is found anew by each layer, and by messages that begin together", () => {
    const server = serving(takesText)
    return Effect.gen(function*() {
      yield* Effect.provide(send(), server.layer)
      yield* Effect.provide(send(), server.layer)
      assert.deepStrictEqual(server.forms(), ["blocks", "text", "blocks", "text"])
    })
  })
})
