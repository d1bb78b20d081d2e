import { describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as References from "effect/References"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import { inspect } from "node:util"
import type { AshServices } from "../../src/layers/Ash.ts"
import { AshClient } from "../../src/services/AshClient.ts"
import { clientNames, clients } from "../support/clients.ts"
import { noSession, session, sessionId } from "../support/fixtures.ts"
import { promise } from "../support/promise.ts"
import * as Server from "../support/ScriptedServer.ts"

const canary = {
  key: "CANARY-key-4f1c",
  credential: "CANARY-credential-\"9b\\2e",
  env: "CANARY-env-7d3a",
  prompt: "CANARY-prompt: read\nmy mail",
  systemPrompt: "CANARY-system-1c9f"
}

const calls: ReadonlyArray<(ash: AshClient["Service"]) => Effect.Effect<unknown, unknown>> = [
  (_) => _.sessions.get(sessionId),
  (_) => _.sessions.create({ agent: "demo", extraEnv: { TOKEN: canary.env }, systemPrompt: canary.systemPrompt }),
  (_) => _.sessions.create({ agent: "demo", mcpServers: { a: { command: "x", env: { TOKEN: canary.env } } } }),
  (_) => _.agents.create({ name: "demo", env: { TOKEN: canary.env }, systemPrompt: canary.systemPrompt }),
  (_) => _.credentials.createCustom(Redacted.make(canary.credential)),
  (_) => Stream.runDrain(_.messages.send(sessionId, canary.prompt)),
  (_) =>
    Stream.runDrain(_.messages.send(sessionId, [{ type: "text", text: canary.prompt }, { type: "text", text: "b" }])),
  (_) => _.sessions.attach(sessionId).ask(canary.prompt),
  (_) => _.queueItems.enqueue({ agentName: "demo", prompt: canary.prompt })
]

/** Bad input that holds a secret: nothing is sent. */
const badInput: ReadonlyArray<(ash: AshClient["Service"]) => Effect.Effect<unknown, unknown>> = [
  (_) => _.sessions.create({ agent: "", extraEnv: { TOKEN: canary.env } }),
  (_) =>
    _.sessions.create({
      agent: "demo",
      extraEnv: { TOKEN: canary.env },
      systemPrompt: canary.systemPrompt.repeat(100_000)
    }),
  (_) => Stream.runDrain(_.messages.send("no-uuid", canary.prompt)),
  (_) => Stream.runDrain(_.messages.send(sessionId, canary.prompt.repeat(30_000))),
  (_) => _.agents.create({ name: "a/b", env: { TOKEN: canary.env } })
]

/** Servers that repeat whatever they were sent. */
const repeating: ReadonlyArray<readonly [name: string, script: Server.Script]> = [
  ["400", (_) => Server.json({ error: `bad: ${_.body}`, statusCode: 400 }, 400)()],
  ["401", (_) => Server.json({ error: `unknown key ${_.headers["authorization"]}` }, 401)()],
  ["404", (_) => Server.json({ error: `no ${_.body}`, code: _.headers["authorization"] }, 404)()],
  ["409", (_) => Server.json({ message: _.body, error: "x" }, 409)()],
  ["429", (_) => Server.json({ error: _.body }, 429, { "retry-after": "900" })()],
  ["500", (_) => Server.json({ error: `Failed to create session: ${_.body} ${JSON.stringify(_.headers)}` }, 500)()],
  ["502 in HTML", (_) => Server.text(`<html>${_.body} ${_.headers["authorization"]}</html>`, 502)()],
  ["200 that is none", (_) => Server.json({ echo: _.body, key: _.headers["authorization"] })()],
  ["a redirect", (_) => Server.text("", 302, { location: `http://evil.test/?key=${_.headers["authorization"]}` })()],
  [
    "an error in the stream",
    (_) => Server.sse(Server.frames(["error", { error: `cannot say ${_.body} with ${_.headers["authorization"]}` }]))()
  ],
  ["a lost connection", Server.lost],
  ["no server", Server.refused]
]

/** Everything that is logged, traced or failed with. */
const seenBy = Effect.fnUntraced(function*<A, E>(
  effect: Effect.Effect<A, E, AshServices>,
  layer: Layer.Layer<AshServices, unknown>
) {
  const seen: Array<string> = []
  const note = (value: unknown) => {
    seen.push(String(value), inspect(value, { depth: 20, showHidden: true }), JSON.stringify(value) ?? "")
  }
  const logger = Logger.make(({ cause, fiber, message }) => {
    note(message)
    seen.push(Cause.pretty(cause))
    note(fiber.getRef(References.CurrentLogAnnotations))
  })
  const spans: Array<Tracer.NativeSpan> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })
  const exit = yield* effect.pipe(
    Effect.tapCause((cause) => Effect.logError("it failed", cause)),
    Effect.provide(layer),
    Effect.provide(Logger.layer([logger])),
    Effect.provideService(Tracer.Tracer, tracer),
    Effect.exit
  )
  if (Exit.isFailure(exit)) {
    seen.push(Cause.pretty(exit.cause), inspect(exit.cause, { depth: 20 }))
    for (const reason of exit.cause.reasons) {
      note(reason)
      if (reason._tag !== "Fail") continue
      const error: unknown = reason.error
      note(error)
      if (error instanceof Error) seen.push(error.stack ?? "", error.message)
    }
  }
  for (const { attributes, events, name } of spans) seen.push(inspect([name, [...attributes], events], { depth: 20 }))
  return seen.join("\n")
})

const found = (text: string) => text.match(/CANARY[^"'\n]{0,20}/g)?.slice(0, 2) ?? []

describe("secrets", () => {
  promise("P15", "no secret reaches an error, a log or a span", { fast: 1, full: 1 }, () =>
    Effect.gen(function*() {
      const failures: Array<string> = []
      let cases = 0
      const check = Effect.fnUntraced(function*(
        name: string,
        call: (ash: AshClient["Service"]) => Effect.Effect<unknown, unknown>,
        layer: Layer.Layer<AshServices, unknown>
      ) {
        cases += 1
        const leaks = found(yield* seenBy(Effect.flatMap(AshClient, call), layer))
        if (leaks.length > 0) failures.push(`${name}: ${leaks.join(" and ")}`)
      })
      const apiKey = Redacted.make(canary.key)
      for (const [name, script] of repeating) {
        for (const [index, call] of calls.entries()) {
          const server = Server.make((request) =>
            request.path.includes(noSession)
              ? Server.json({ error: "Session not found" }, 404)()
              : request.method === "GET" && request.path.includes("?")
              ? Server.json({ messages: [] })()
              : script(request), { apiKey, retry: { times: 0 } })
          yield* check(`${name}, call ${index}`, call, server.layer)
        }
      }
      for (const [index, call] of badInput.entries()) {
        yield* check(`bad input ${index}`, call, Server.make(Server.json({ session }), { apiKey }).layer)
      }
      for (const key of [`${canary.key}\r\nx: y`, `${canary.key} `, `${canary.key}\n`, `${canary.key}ü`]) {
        yield* check(
          "a key that is none",
          calls[0] ?? (() => Effect.void),
          Server.make(Server.lost, { apiKey: Redacted.make(key) }).layer
        )
      }
      return { cases, failures, note: "errors, causes, logs and spans of servers that repeat what they are sent" }
    }))

  promise(
    "P15",
    "a redirect to another origin never carries the key",
    { fast: 3, full: 3 },
    () =>
      Effect.gen(function*() {
        const failures: Array<string> = []
        for (const client of clientNames) {
          const here = yield* Server.listen
          const elsewhere = yield* Server.listen
          yield* Effect.forkChild(
            Effect.forever(Effect.map(Queue.take(here.exchanges), ({ response }) =>
              response.writeHead(307, { location: `${elsewhere.url}/api/sessions/${sessionId}` }).end()))
          )
          const layer = clients[client]({ url: here.url, apiKey: Redacted.make(canary.key), retry: { times: 0 } })
          const seen = yield* seenBy(
            Effect.flatMap(AshClient, (_) =>
              _.sessions.get(sessionId)),
            layer
          )
          if (found(seen).length > 0) failures.push(`${client}: in what is seen`)
          if (!seen.includes("redirects (307)")) failures.push(`${client}: followed, or not told`)
          if ((yield* Queue.size(elsewhere.exchanges)) > 0) failures.push(`${client}: sent to the other origin`)
        }
        return { cases: 3, failures }
      }),
    it.live
  )
})
