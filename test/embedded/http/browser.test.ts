/** What a page of another origin, in a real browser, can do with the embedded server if it knows the port. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import type { Browser } from "playwright-core"
import * as AshEmbedded from "../../../src/layers/AshEmbedded.ts"
import { Agents } from "../../../src/services/Agents.ts"
import { executablePath, launch } from "../../support/browser.ts"

/** The host names that lead the browser to this machine, as a hostile site's does after its address was changed. */
const hostile = "evil.test"

const browser = launch([`--host-resolver-rules=MAP ${hostile} 127.0.0.1`])

/** A site on another port, with an empty page. */
const site = Effect.map(
  Effect.acquireRelease(
    Effect.callback<Http.Server>((resume) => {
      const server = Http.createServer((_, response) => {
        response.setHeader("content-type", "text/html")
        response.end("<!doctype html><title>page</title>")
      })
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.sync(() => server.close())
  ),
  (server) => String((server.address() as AddressInfo).port)
)

/** What a page receives: the text of each response that it may read, and what a script of the server leaves in it. */
const attempt = (browser: Browser, page: string, server: string, key: string) =>
  Effect.promise(async () => {
    const tab = await browser.newPage()
    await tab.goto(page)
    const got = await tab.evaluate(async ([server, key]) => {
      const read = (path: string, init: RequestInit = {}) =>
        fetch(server + path, init).then((response) => response.text()).catch(() => "")
      const authorized = { headers: { authorization: `Bearer ${key}` } }
      const texts = [
        await read("/health"),
        await read("/docs/json"),
        await read("/dashboard/config.js"),
        await read("/health", { mode: "no-cors" }),
        await read("/api/agents", authorized),
        await read("/api/agents", { headers: { authorization: "Bearer constructor" } }),
        await read("/api/agents", { method: "POST", body: JSON.stringify({ name: "planted" }), mode: "no-cors" }),
        await read("/api/agents", { ...authorized, method: "POST", body: JSON.stringify({ name: "planted" }) })
      ]
      const script = document.createElement("script")
      script.src = `${server}/dashboard/config.js`
      await new Promise((resolve) => {
        script.addEventListener("load", resolve)
        script.addEventListener("error", resolve)
        document.head.append(script)
      })
      return [...texts, JSON.stringify((window as { __ASH_CONFIG__?: unknown }).__ASH_CONFIG__ ?? "")]
    }, [server, key] as const)
    await tab.close()
    return got
  })

describe.skipIf(executablePath === undefined)("a page of another origin, with the port (needs Chromium)", () => {
  it.live("reads nothing and changes nothing, even with the key", () =>
    Effect.gen(function*() {
      const { apiKey, url } = yield* AshEmbedded.EmbeddedAddress
      const port = url.split(":").at(-1)
      const tab = yield* browser
      const page = `http://${hostile}:${yield* site}/`
      const key = Redacted.value(apiKey)
      const nothing = ["", "", "", "", "", "", "", "", "\"\""]
      assert.deepStrictEqual(yield* attempt(tab, page, url, key), nothing)
      // By the host name of the page itself, which leads to the server now.
      const refusals = yield* attempt(tab, `http://${hostile}:${port}/`, `http://${hostile}:${port}`, key)
      for (const text of refusals.slice(0, -1)) assert.include(text, "not a name of this server")
      assert.strictEqual(refusals.at(-1), "\"\"")
      assert.deepStrictEqual(yield* Effect.flatMap(Agents, ({ list }) => list()), [])
    }).pipe(Effect.provide(AshEmbedded.layerHttp()), Effect.scoped))
})
