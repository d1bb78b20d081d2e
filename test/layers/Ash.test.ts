import { assert, describe, it } from "@effect/vitest"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import type { AddressInfo } from "node:net"
import * as Tls from "node:tls"
import { AshApiClient } from "../../src/client/AshApiClient.ts"
import * as Ash from "../../src/layers/Ash.ts"
import * as AshCore from "../../src/layers/AshCore.ts"
import * as AshEmbedded from "../../src/layers/AshEmbedded.ts"
import * as AshNode from "../../src/layers/AshNode.ts"
import { Agents } from "../../src/services/Agents.ts"
import { AshClient } from "../../src/services/AshClient.ts"
import { Health } from "../../src/services/Health.ts"
import { Messages } from "../../src/services/Messages.ts"
import { Sessions } from "../../src/services/Sessions.ts"
import { certificate } from "../support/certificate.ts"
import { health, session, sessionId } from "../support/fixtures.ts"
import * as Server from "../support/ScriptedServer.ts"

const getHealth = Effect.flatMap(Health, ({ get }) => get())

const withEnv = (env: Record<string, string>) =>
  Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown(env))

const healthOf = <E>(core: Layer.Layer<AshCore.AshCoreServices, E>) => Layer.provide(Health.layer, core)

const layers = [
  ["Ash", Ash.layer, Ash.layerConfig],
  ["AshNode", AshNode.layer, AshNode.layerConfig],
  ["AshCore", (options: Ash.AshOptions) => healthOf(AshCore.layer(options)), () => healthOf(AshCore.layerConfig())]
] as const

describe("url", () => {
  it.effect.each<readonly [given: string | URL, sent: string]>([
    ["http://ash.test", "http://ash.test/health"],
    ["http://ash.test/", "http://ash.test/health"],
    ["http://ash.test:4100", "http://ash.test:4100/health"],
    ["HTTPS://ASH.test", "https://ash.test/health"],
    ["https://proxy.test/ash", "https://proxy.test/ash/health"],
    ["https://proxy.test/a/ash//", "https://proxy.test/a/ash/health"],
    ["http://[::1]:4100", "http://[::1]:4100/health"],
    [new URL("https://proxy.test/ash/"), "https://proxy.test/ash/health"]
  ])("%s", ([url, sent]) => {
    const server = Server.make(Server.json(health), { url })
    return Effect.gen(function*() {
      yield* getHealth
      assert.deepStrictEqual(server.requests.map(({ origin, path }) => origin + path), [sent])
    }).pipe(Effect.provide(server.layer))
  })

  it.effect.each<readonly [url: string, says: RegExp]>([
    ["", /http:\/\//],
    ["localhost:4100", /http:\/\//],
    ["ash.test", /http:\/\//],
    ["ftp://ash.test", /http:\/\//],
    ["file:///etc/passwd", /http:\/\//],
    ["http://", /must be a URL/],
    ["http://ash test", /must be a URL/],
    ["http://ash.test:99999", /must be a URL/],
    ["http://user:geheim@ash.test", /user name or a password/],
    ["http://geheim@ash.test", /user name or a password/],
    ["http://ash.test/?token=geheim", /query/],
    ["http://ash.test/#geheim", /fragment/]
  ])("%s is refused, and nothing is sent", ([url, says]) =>
    Effect.gen(function*() {
      const scripted = Server.make(Server.json(health), { url })
      const built = [Layer.build(scripted.layer), ...layers.map(([, layer]) => Layer.build(layer({ url })))]
      for (const build of built) {
        const error = yield* Effect.flip(build)
        assert.strictEqual(error.operation, "Ash.layer")
        assert.strictEqual(error.reason._tag === "InvalidRequest" ? error.reason.field : error.reason._tag, "url")
        assert.match(error.message, says)
        assert.notInclude(JSON.stringify(error) + error.message, "geheim")
      }
      assert.deepStrictEqual(scripted.requests, [])
    }).pipe(Effect.scoped))
})

describe("apiKey", () => {
  it.effect.each(["", " ", "geheim\n", "geheim\r\nx-evil: 1", "two geheim", "geheim\u0000", "gehéim", "Bearer geheim"])(
    "%j is refused without being printed",
    (key) =>
      Effect.gen(function*() {
        const apiKey = Redacted.make(key)
        const scripted = Server.make(Server.json(health), { apiKey })
        const error = yield* Effect.flip(Layer.build(scripted.layer))
        assert.strictEqual(error.reason._tag === "InvalidRequest" ? error.reason.field : error.reason._tag, "apiKey")
        for (const text of [error.message, JSON.stringify(error), String(error), error.stack]) {
          assert.notMatch(text, /geh[eé]im|evil/)
        }
        assert.deepStrictEqual(scripted.requests, [])
      }).pipe(Effect.scoped)
  )

  // As one that another copy of Effect made.
  it.effect("that was wiped is refused, by each layer and before each request", () =>
    Effect.gen(function*() {
      const apiKey = Redacted.make("geheim")
      Redacted.wipeUnsafe(apiKey)
      const scripted = Server.make(Server.json({ session }), { apiKey: Effect.succeed(apiKey) })
      const asked = Effect.flatMap(Sessions, ({ get }) => get(sessionId)).pipe(Effect.provide(scripted.layer))
      const errors = yield* Effect.all([
        Effect.flip(asked),
        Effect.flip(Layer.build(Ash.layer({ url: "http://localhost", apiKey }))),
        Effect.flip(Layer.build(AshEmbedded.layer({ apiKey })))
      ])
      for (const { reason } of errors) {
        assert.strictEqual(reason._tag === "InvalidRequest" ? reason.field : reason._tag, "apiKey")
      }
      assert.deepStrictEqual(scripted.requests, [])
    }).pipe(Effect.scoped))
})

describe("layer", () => {
  it.effect("sends nothing when it is built", () => {
    const server = Server.make(Server.json(health))
    return Effect.gen(function*() {
      yield* Effect.scoped(Layer.build(server.layer))
      assert.deepStrictEqual(server.requests, [])
    })
  })

  it.effect("two of them in one program are of two servers", () => {
    const one = Server.make(Server.json({ ...health, version: "one" }))
    const two = Server.make(Server.json({ ...health, version: "two" }))
    const version = Effect.map(getHealth, ({ version }) => version)
    return Effect.gen(function*() {
      const inner = yield* Effect.provide(version, two.layer)
      assert.deepStrictEqual([yield* version, inner], ["one", "two"])
    }).pipe(Effect.provide(one.layer))
  })

  it.effect("one of them given twice is built once", () => {
    const server = Server.make(Server.json(health))
    return Effect.gen(function*() {
      const outer = yield* AshApiClient
      assert.strictEqual(yield* Effect.provide(AshApiClient, server.layer), outer)
    }).pipe(Effect.provide(server.layer))
  })

  it.effect("a service needs only the core, and what it uses of others is theirs", () => {
    const server = Server.make(Server.json({ sessions: [session] }))
    const core = AshCore.layerWithClient({ url: "http://ash.test", apiKey: "key", allowPlainHttp: true }).pipe(
      Layer.provide(server.http)
    )
    return Effect.gen(function*() {
      assert.strictEqual((yield* (yield* Sessions).list()).length, 1)
      assert.strictEqual(yield* Effect.provide(Messages, Layer.provide(Messages.layer, core)), yield* Messages)
      assert.deepStrictEqual(server.requests.map(({ path }) => path), ["/api/sessions"])
    }).pipe(Effect.provide(Layer.mergeAll(Sessions.layer, Messages.layer).pipe(Layer.provide(core))))
  })

  it.effect("AshClient holds the services themselves", () =>
    Effect.gen(function*() {
      const ash = yield* AshClient
      assert.strictEqual(ash.agents, yield* Agents)
      assert.strictEqual(ash.health, yield* Health)
      assert.strictEqual(ash.messages, yield* Messages)
      assert.strictEqual(ash.sessions, yield* Sessions)
    }).pipe(Effect.provide(Server.make(Server.json(health)).layer)))

  it.effect("whatever sends a request is a function: no service has an effect or a stream as a property", () =>
    Effect.gen(function*() {
      const ash = yield* AshClient
      const handle = (yield* Sessions).attach(sessionId)
      const properties = Object.entries({ ...ash, handle, handleFiles: handle.files }).flatMap(([name, methods]) =>
        Object.entries(methods).flatMap(([method, value]) =>
          Effect.isEffect(value) || Stream.isStream(value) ? [`${name}.${method}`] : []
        )
      )
      assert.deepStrictEqual(properties, ["handle.spent", "handle.fence"])
    }).pipe(Effect.provide(Server.make(Server.json(health)).layer)))

  it.effect("the low-level client repeats nothing and limits nothing", () =>
    Effect.gen(function*() {
      const failing = Server.make(Server.json({ error: "x" }, 500))
      const get = Effect.flatMap(AshApiClient, ({ sessions }) => sessions.get({ params: { id: sessionId } }))
      const error = yield* Effect.flip(get).pipe(Effect.provide(failing.layer))
      assert.strictEqual(error.operation, "Sessions.get")
      assert.strictEqual(failing.requests.length, 1)
      const fiber = yield* Effect.forkChild(get.pipe(Effect.provide(Server.make(Server.silent).layer)))
      yield* TestClock.adjust("10 days")
      assert.isUndefined(fiber.pollUnsafe())
      yield* Fiber.interrupt(fiber)
    }))

  it.effect("the low-level client has the methods of the contract", () => {
    const server = Server.make(Server.json({ session }, 201))
    return Effect.gen(function*() {
      const { sessions } = yield* AshApiClient
      const answer = yield* sessions.create({ payload: { agent: "demo" } })
      assert.strictEqual(answer.session.id, sessionId)
      assert.strictEqual(server.requests[0]?.headers["authorization"], `Bearer ${Server.apiKey}`)
    }).pipe(Effect.provide(server.layer))
  })

  it.effect("a custom client gets each request as it is to be sent, once", () => {
    const server = Server.make(Server.json(health), { url: "http://ash.test/base" })
    const seen: Array<string> = []
    const recorded = Layer.effect(
      HttpClient.HttpClient,
      Effect.map(
        HttpClient.HttpClient,
        HttpClient.mapRequest((request) => {
          seen.push(request.url)
          return HttpClientRequest.appendUrlParam(request, "seen", String(seen.length))
        })
      )
    ).pipe(Layer.provide(server.http))
    return Effect.gen(function*() {
      yield* getHealth
      assert.deepStrictEqual(seen, ["http://ash.test/base/health"])
      assert.deepStrictEqual(server.requests.map(({ path }) => path), ["/base/health?seen=1"])
    }).pipe(Effect.provide(Ash.layerWithClient({ url: "http://ash.test/base" }).pipe(Layer.provide(recorded))))
  })

  it.effect("Ash.layer goes through the fetch in context", () => {
    const urls: Array<string> = []
    const fetch: typeof globalThis.fetch = (input, init) => {
      urls.push(`${init?.method} ${input} ${init?.redirect}`)
      return Promise.resolve(Server.json(health)())
    }
    return Effect.gen(function*() {
      assert.strictEqual((yield* getHealth).status, "ok")
      assert.deepStrictEqual(urls, ["GET http://ash.test/health manual"])
    }).pipe(
      Effect.provide(Ash.layer({ url: "http://ash.test" })),
      Effect.provideService(FetchHttpClient.Fetch, fetch)
    )
  })

  it.live.each(layers)("%s reaches a real server", ([, layer]) =>
    Effect.gen(function*() {
      const { exchanges, url } = yield* Server.listen
      const fiber = yield* Effect.forkChild(
        getHealth.pipe(Effect.provide(layer({ url, apiKey: Redacted.make(Server.apiKey), headers: { "x-one": "1" } })))
      )
      const { request, response } = yield* Queue.take(exchanges)
      assert.strictEqual(request.headers.authorization, `Bearer ${Server.apiKey}`)
      assert.strictEqual(request.headers["x-one"], "1")
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(health))
      assert.strictEqual((yield* Fiber.join(fiber)).uptime, 17)
    }))

  it.live("AshNode uses a connection again", () =>
    Effect.gen(function*() {
      const { exchanges, url } = yield* Server.listen
      const ports: Array<number | undefined> = []
      const done = yield* Deferred.make<void>()
      yield* Effect.forkScoped(Effect.forever(Effect.gen(function*() {
        const { request, response } = yield* Queue.take(exchanges)
        ports.push(request.socket.remotePort)
        response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(health))
        if (ports.length === 3) yield* Deferred.succeed(done, undefined)
      })))
      yield* Effect.andThen(getHealth, Effect.andThen(getHealth, getHealth)).pipe(
        Effect.provide(AshNode.layer({ url }))
      )
      yield* Deferred.await(done)
      assert.strictEqual(new Set(ports).size, 1)
    }))
})

describe.each([Ash.layer, AshNode.layer, AshNode.layerUndici])("client %#", (layer) => {
  const why = (url: string) =>
    Effect.map(Effect.flip(Effect.provide(getHealth, layer({ url, retry: { times: 0 } }))), ({ message }) => message)

  it.live("tells a wrong http:// or https:// plainly", () =>
    Effect.gen(function*() {
      const plain = yield* Server.serve((_, response) => response.end())
      assert.include(yield* why(plain.replace("http:", "https:")), "; http:// is for servers without TLS")
      const secure = yield* Effect.acquireRelease(
        Effect.callback<Tls.Server>((resume) => {
          const server = Tls.createServer(certificate).listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.sync(() => server.close())
      )
      const { port } = secure.address() as AddressInfo
      assert.include(yield* why(`http://127.0.0.1:${port}`), ": http:// is for servers without TLS")
    }))
})

describe("layerConfig", () => {
  it.live.each(layers)(
    "%s takes the address and the key of the environment",
    ([, , layerConfig]) =>
      Effect.gen(function*() {
        const { exchanges, url } = yield* Server.listen
        const fiber = yield* Effect.forkChild(
          getHealth.pipe(
            Effect.provide(layerConfig()),
            withEnv({ ASH_SERVER_URL: `${url}/ash/`, ASH_API_KEY: Server.apiKey })
          )
        )
        const { request, response } = yield* Queue.take(exchanges)
        assert.strictEqual(request.url, "/ash/health")
        assert.strictEqual(request.headers.authorization, `Bearer ${Server.apiKey}`)
        response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(health))
        yield* Fiber.join(fiber)
      })
  )

  it.effect.each(layers)("%s refuses a bad address", ([, , layerConfig]) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Layer.build(layerConfig()).pipe(withEnv({ ASH_SERVER_URL: "localhost:4100" })))
      assert.include(String(error), "url must begin with http://")
    }).pipe(Effect.scoped))

  it.effect.each([{}, { ASH_SERVER_URL: "", ASH_API_KEY: "" }])(
    "defaults for %o: the port of a local server, no key",
    (env) =>
      Effect.gen(function*() {
        const options = yield* Ash.config.pipe(withEnv(env))
        assert.strictEqual(options.url, "http://localhost:4100")
        assert.isUndefined(options.apiKey)
      })
  )

  it.effect("hides the key when it is printed", () =>
    Effect.gen(function*() {
      const options = yield* Ash.config.pipe(withEnv({ ASH_API_KEY: Server.apiKey }))
      assert.strictEqual(options.apiKey === undefined ? "" : Redacted.value(options.apiKey), Server.apiKey)
      assert.notInclude(JSON.stringify(options), Server.apiKey)
    }))

  it("is a Config, for a program to build upon", () => assert.isTrue(Config.isConfig(Ash.config)))
})
