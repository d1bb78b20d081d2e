import { assert, describe, it } from "@effect/vitest"
import * as Arr from "effect/Array"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { spawn } from "node:child_process"
import { Socket } from "node:net"
import * as Path from "node:path"
import * as Ash from "../../src/layers/Ash.ts"
import * as AshCore from "../../src/layers/AshCore.ts"
import * as AshNode from "../../src/layers/AshNode.ts"
import { Health } from "../../src/services/Health.ts"
import { Sessions } from "../../src/services/Sessions.ts"
import { clientNames, clients } from "../support/clients.ts"
import { health, session } from "../support/fixtures.ts"
import { serve } from "../support/ScriptedServer.ts"

const getHealth = Effect.flatMap(Health, ({ get }) => get())

describe("a free connection", () => {
  it.live.each<readonly [header: string]>([
    ["timeout=2"],
    ["timeout=2, max=100"]
  ])("is closed before the server closes it, by its header: %s", ([header]) =>
    Effect.gen(function*() {
      const closed = yield* Deferred.make<void>()
      const url = yield* serve((request, response) => {
        request.socket.on("close", () => Deferred.doneUnsafe(closed, Effect.void))
        response.writeHead(200, { "content-type": "application/json", "keep-alive": header, connection: "keep-alive" })
          .end(JSON.stringify(health))
      })
      yield* Effect.gen(function*() {
        yield* getHealth
        // The server keeps it: this is the client's end of it.
        yield* Deferred.await(closed)
      }).pipe(Effect.provide(AshNode.layer({ url })))
    }))

  it.live("is not used again where the server keeps none", () =>
    Effect.gen(function*() {
      const ports = new Set<number | undefined>()
      const url = yield* serve((request, response) => {
        ports.add(request.socket.remotePort)
        response.writeHead(200, {
          "content-type": "application/json",
          "keep-alive": "timeout=1",
          connection: "keep-alive"
        })
          .end(JSON.stringify(health))
      })
      yield* Effect.andThen(getHealth, getHealth).pipe(Effect.provide(AshNode.layer({ url })))
      assert.strictEqual(ports.size, 2)
    }))

  it.live.each(clientNames)(
    "is not used again where the server has closed it a moment ago (%s)",
    (client) =>
      Effect.gen(function*() {
        const sockets = new Set<Socket>()
        const url = yield* serve((request, response) => {
          sockets.add(request.socket)
          response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(health))
        })
        const closing = Effect.sync(() => sockets.forEach((socket) => socket.destroy()))
        yield* Effect.andThen(getHealth, Effect.andThen(closing, getHealth)).pipe(
          Effect.provide(clients[client]({ url, retry: { times: 0 } }))
        )
        assert.strictEqual(sockets.size, 2)
      })
  )

  it.live("is kept, and used again, however many there are", () =>
    Effect.gen(function*() {
      const count = 300
      const ports = new Set<number | undefined>()
      let waiting: Array<() => void> = []
      const url = yield* serve((request, response) => {
        ports.add(request.socket.remotePort)
        waiting.push(() => response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(health)))
        // All are open at once.
        if (waiting.length < count) return
        for (const answer of waiting) answer()
        waiting = []
      })
      const all = Effect.forEach(Arr.range(1, count), () => getHealth, { concurrency: "unbounded" })
      yield* Effect.andThen(all, all).pipe(Effect.provide(AshNode.layer({ url })))
      // The one that was answered last may be free a moment later.
      assert.isAtMost(ports.size, count + 1)
    }))
})

/** A proxy that tells what it was asked for, and forwards it. */
const proxy = Effect.gen(function*() {
  const asked: Array<string> = []
  const url = yield* serve((request, response) => {
    asked.push(`${request.method} ${request.url}`)
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(health))
  })
  return { asked, url }
})

const program = `
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Health } from "effect-ash"
import { AshNode } from "effect-ash/node"
const get = Effect.flatMap(Health, ({ get }) => get())
const layer = AshNode.layer({ url: process.argv[1], allowPlainHttp: true, retry: { times: 0 } })
console.log((await Effect.runPromise(Effect.provide(get, layer))).status)
`

const overUndici = program.replace("AshNode.layer(", "AshNode.layerUndici(")

const failing = program.replace(
  /^console.*$/m,
  "console.log((await Effect.runPromise(Effect.flip(Effect.provide(get, layer)))).message)"
)

const run = (url: string, env: Record<string, string>, flags: ReadonlyArray<string> = [], code = program) =>
  Effect.callback<string>((resume) => {
    const child = spawn(
      process.execPath,
      [...flags, "--conditions=effect-ash-source", "--input-type=module", "--eval", code, url],
      { cwd: Path.join(import.meta.dirname, "../.."), env: { PATH: process.env["PATH"], ...env } }
    )
    let output = ""
    child.stdout.on("data", (chunk) => output += chunk)
    child.stderr.on("data", (chunk) => output += chunk)
    child.on("close", () => resume(Effect.succeed(output)))
    return Effect.sync(() => child.kill())
  })

describe("the proxies of the environment", () => {
  it.live("are used where Node is configured to, by its rules, and over undici never", () =>
    Effect.gen(function*() {
      const { asked, url } = yield* proxy
      const direct = yield* proxy
      const server = "http://ash.invalid:4100"
      const configured = { NODE_USE_ENV_PROXY: "1", HTTP_PROXY: url }
      const outputs = yield* Effect.all([
        run(server, configured),
        run(server, { HTTP_PROXY: url }, ["--use-env-proxy"]),
        run(server, { NODE_USE_ENV_PROXY: "1", http_proxy: url }),
        run(direct.url, { ...configured, NO_PROXY: "127.0.0.1" }),
        run(direct.url, { HTTP_PROXY: url }),
        run(direct.url, configured, [], overUndici)
      ], { concurrency: 2 })
      assert.deepStrictEqual(outputs.map((output) => output.trim()), ["ok", "ok", "ok", "ok", "ok", "ok"])
      assert.deepStrictEqual(asked, Array.from({ length: 3 }, () => `GET ${server}/health`))
      assert.deepStrictEqual(direct.asked, ["GET /health", "GET /health", "GET /health"])
    }))
})

describe("a proxy of the environment that makes no connection", () => {
  it.live("leaves nothing sent, however it breaks off", () =>
    Effect.gen(function*() {
      const asked: Array<string> = []
      const url = yield* serve(() => {}, ({ url = "" }, socket) => {
        asked.push(url)
        if (socket instanceof Socket) socket.resetAndDestroy()
      })
      const output = yield* run("https://ash.invalid", { NODE_USE_ENV_PROXY: "1", HTTPS_PROXY: url }, [], failing)
      assert.deepStrictEqual(asked, ["ash.invalid:443"])
      assert.include(output, "no server reached at https://ash.invalid (no connection: ECONNRESET)")
    }))
})

describe("a proxy of the environment that is dead", () => {
  it.live("is named in the failure, without its password, and only where it is used", () =>
    Effect.gen(function*() {
      const env = {
        NODE_USE_ENV_PROXY: "1",
        HTTP_PROXY: "http://user:geheim@127.0.0.1:9",
        HTTPS_PROXY: "http://user:geheim@127.0.0.1:19"
      }
      const [http, https, none] = yield* Effect.all([
        run("http://ash.invalid:4100", env, [], failing),
        run("https://ash.invalid", env, [], failing),
        run("http://127.0.0.1:9", { HTTP_PROXY: env.HTTP_PROXY }, [], failing)
      ], { concurrency: 2 })
      assert.match(http, /no server reached at http:\/\/ash.invalid:4100 \(connection refused\);.* proxy 127.0.0.1:9 /)
      assert.match(https, /https:\/\/ash.invalid .*; .* proxy 127.0.0.1:19 /)
      assert.notInclude(none, "proxy")
      assert.notInclude(http + https + none, "geheim")
    }))
})

const sessionsOf =
  <E>(core: (options: Ash.LayerConfigOptions) => Layer.Layer<AshCore.AshCoreServices, E>) =>
  (options: Ash.LayerConfigOptions) => Layer.provide(Sessions.layer, core(options))

describe.each(
  [
    ["Ash.layerConfig", Ash.layerConfig],
    ["AshNode.layerConfig", AshNode.layerConfig],
    ["AshCore.layerConfig", sessionsOf(AshCore.layerConfig)],
    ["Ash.fromConfig(AshNode.layerCore)", sessionsOf(Ash.fromConfig(AshNode.layerCore))],
    ["Ash.fromConfig(AshNode.layerUndici)", Ash.fromConfig(AshNode.layerUndici)]
  ] as const
)(
  "%s",
  (_, layerConfig) => {
    it.live("lays options over the environment", () =>
      Effect.gen(function*() {
        const seen: Array<string | undefined> = []
        const url = yield* serve((request, response) => {
          seen.push(String(request.headers["x-one"]), request.headers.authorization)
          response.writeHead(201, { "content-type": "application/json" }).end(JSON.stringify({ session }))
        })
        const env = ConfigProvider.fromUnknown({ ASH_SERVER_URL: url, ASH_API_KEY: "key" })
        const layer = layerConfig({ headers: { "x-one": "1" } })
        yield* Effect.flatMap(Sessions, ({ get }) => get(session.id)).pipe(
          Effect.provide(layer),
          Effect.provideService(ConfigProvider.ConfigProvider, env)
        )
        assert.deepStrictEqual(seen, ["1", "Bearer key"])
      }))
  }
)
