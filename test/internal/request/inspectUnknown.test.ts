import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { inspect } from "node:util"
import { runInNewContext } from "node:vm"
import { errorChainOf } from "../../../src/internal/request/inspectUnknown.ts"
import * as Ash from "../../../src/layers/Ash.ts"
import { AshClient } from "../../../src/services/AshClient.ts"
import { sessionId } from "../../support/fixtures.ts"
import * as Server from "../../support/ScriptedServer.ts"

const hostile = () => {
  throw new Error("geheim")
}

const circular = new Error("round")
circular.cause = new AggregateError([circular, new Error("and round")], "and", { cause: circular })

const deep = Array.from({ length: 100_000 }).reduce<Error>((cause) => new Error("deeper", { cause }), new Error("down"))

const endless = (): object => ({
  message: "again",
  get cause() {
    return endless()
  }
})

const revoked = Proxy.revocable({}, {})
revoked.revoke()

/** What a client of other code may fail with. */
const causes: Record<string, unknown> = {
  circular,
  "very deep": deep,
  endless: endless(),
  "very wide": new AggregateError(Array.from({ length: 100_000 }, () => new Error("wide")), "many"),
  "getters that throw": Object.defineProperties({}, {
    cause: { get: hostile },
    code: { get: hostile },
    errors: { get: hostile },
    message: { get: hostile },
    name: { get: hostile }
  }),
  "a Proxy that throws": new Proxy(new Error("x"), {
    get: hostile,
    getPrototypeOf: hostile,
    has: hostile,
    ownKeys: hostile
  }),
  "a revoked Proxy": revoked.proxy,
  "a toString that throws": { toString: hostile, [Symbol.toPrimitive]: hostile, message: { toString: hostile } },
  "an error of another realm": runInNewContext("new Error('elsewhere')"),
  "a text": "text",
  "a symbol": Symbol("x"),
  "a function": hostile,
  null: null,
  undefined,
  "a number": 7n
}

describe("a cause of other code", () => {
  it.effect.each(Object.entries(causes))(
    "%s is read to some end",
    ([, cause]) => Effect.sync(() => assert.isAtMost(errorChainOf(cause).length, 1_000))
  )

  it.effect.each(Object.entries(causes))(
    "%s: the failure of a client is typed, of a request and of a turn",
    ([, cause]) => {
      // oxlint-disable-next-line prefer-promise-reject-errors
      const fetch = () => Promise.reject(cause)
      const body = () =>
        Promise.resolve(
          new Response(
            new ReadableStream({
              pull: (controller) => controller.error(cause)
            }),
            { headers: { "content-type": "text/event-stream" } }
          )
        )
      return Effect.gen(function*() {
        for (const own of [fetch, body]) {
          for (const name of ["a request", "a turn"]) {
            const exit = yield* Effect.flatMap(AshClient, (ash): Effect.Effect<unknown, unknown> =>
              name === "a turn"
                ? Stream.runDrain(ash.messages.send(sessionId, "Hello!"))
                : ash.sessions.get(sessionId)).pipe(
                Effect.flip,
                Effect.provide(
                  Ash.layer({ url: "http://localhost", retry: { times: 0 } }).pipe(
                    Layer.provide(Layer.succeed(FetchHttpClient.Fetch, own))
                  )
                ),
                Effect.exit
              )
            assert.strictEqual(exit._tag, "Success")
            assert.notInclude(inspect(exit), "geheim")
          }
        }
      }).pipe(Effect.provideService(FetchHttpClient.Fetch, fetch))
    }
  )

  it.effect.each(Object.entries(causes))(
    "%s: so is that of a client that only fails",
    ([, cause]) =>
      Effect.gen(function*() {
        const script: Server.Script = () => Effect.fail(cause as Error)
        const get = Effect.flatMap(AshClient, (ash) => ash.sessions.get(sessionId))
        const error = yield* Effect.flip(get).pipe(
          Effect.provide(Server.make(script, { retry: { times: 0 } }).layer)
        )
        assert.strictEqual(error.reason._tag, "ConnectionLost")
      })
  )

  const request = HttpClientRequest.get("http://ash.test/x")
  const failures: Record<string, unknown> = {
    ...causes,
    "something like an error of a client": { reason: {} },
    "a reason without anything": Object.assign(Object.create(HttpClientError.HttpClientError.prototype), {
      "~effect/http/HttpClientError": "~effect/http/HttpClientError",
      reason: {}
    }),
    "a reason of another kind": new HttpClientError.HttpClientError({
      reason: { _tag: "NewError", request } as unknown as HttpClientError.HttpClientErrorReason
    }),
    "a response that is none": new HttpClientError.HttpClientError({
      reason: new HttpClientError.StatusCodeError({ request, response: {} as HttpClientResponse.HttpClientResponse })
    })
  }

  it.effect.each(Object.entries(failures))(
    "%s: so is a client that fails with nothing else, of a request, a turn and a body",
    ([name, failure]) =>
      Effect.gen(function*() {
        const fail = Effect.fail(failure as HttpClientError.HttpClientError)
        const broken = (request: HttpClientRequest.HttpClientRequest, contentType: string) =>
          Object.create(
            HttpClientResponse.fromWeb(request, new Response("x", { headers: { "content-type": contentType } })),
            { stream: { value: Stream.fromEffect(fail) }, text: { value: fail }, arrayBuffer: { value: fail } }
          )
        const clients = [
          HttpClient.make(() => fail),
          HttpClient.make((request) => Effect.succeed(broken(request, "text/event-stream"))),
          HttpClient.make((request) => Effect.succeed(broken(request, "application/json")))
        ]
        // Effect itself cannot compare such a Proxy, as it does with the failures of a body.
        for (const client of name.endsWith("Proxy") || name.includes("Proxy that") ? clients.slice(0, 1) : clients) {
          const layer = Ash.layerWithClient({ url: "http://localhost", retry: { times: 0 } }).pipe(
            Layer.provide(Layer.succeed(HttpClient.HttpClient, client))
          )
          const { messages, sessions } = yield* Effect.provide(AshClient, layer)
          for (const call of [sessions.get(sessionId), Stream.runDrain(messages.send(sessionId, "Hello!"))]) {
            const error = yield* Effect.flip(Effect.asVoid(call))
            assert.include(["ConnectionLost", "StreamTruncated", "Undecodable"], error.reason._tag)
            if (client === clients[0]) assert.strictEqual(error.reason._tag, "ConnectionLost")
            assert.notInclude(inspect(error, { depth: 9 }), "geheim")
          }
        }
      })
  )
})
