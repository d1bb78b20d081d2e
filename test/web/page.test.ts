/** The pages of `examples/web`, in a real browser. */
import { NodeHttpServer } from "@effect/platform-node"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import axe from "axe-core"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpStaticServer from "effect/http/HttpStaticServer"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { execFileSync, spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { createServer, get, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import type { Browser, BrowserContextOptions, Page } from "playwright-core"
import { routes } from "../../examples/web/routes.ts"
import * as AgentScript from "../../src/embedded/AgentScript.ts"
import * as AshEmbedded from "../../src/layers/AshEmbedded.ts"
import { executablePath, launch } from "../support/browser.ts"

const lost = "The connection to the server was lost. Try again when the server is back."

const folder = resolve(import.meta.dirname, "../..")
let built: string

/** Lets the tools of the turns that run come to their ends. */
let finish: () => void

/** Answers with the prompt; where it has "work" in it, behind a tool that runs until the test lets it end. */
const script: AgentScript.AgentScript = ({ prompt }) => {
  if (prompt.includes("fail")) return Stream.make(AgentScript.fail("a secret of the server"))
  const answer = AgentScript.say(`You wrote: ${prompt}`)
  if (!prompt.includes("work")) return Stream.make(answer)
  const end = Deferred.makeUnsafe<void>()
  finish = () => Effect.runSync(Deferred.succeed(end, undefined))
  const result = Effect.as(Deferred.await(end), { content: "what is in it" })
  return Stream.make(AgentScript.say("I look."), AgentScript.useTool({ name: "Read", input: {}, result }), answer)
}

/** The server of the example with an agent of the test, and the page of React beside it. */
const serve = async (all: Scope.Scope, port = 0) => {
  const life = Scope.forkUnsafe(all)
  let server: Server | undefined
  const http = NodeHttpServer.layer(() => server = createServer(), {
    host: "127.0.0.1",
    port,
    gracefulShutdownTimeout: 1
  })
  const react = HttpStaticServer.layer({ root: built, prefix: "/react" })
  await Effect.runPromise(
    HttpRouter.serve(Layer.merge(routes, react), { disableLogger: true, disableListenLog: true }).pipe(
      Layer.provide([AshEmbedded.layer({ script, quirks: { content: "intact" } }), http]),
      Layer.buildWithScope(life)
    )
  )
  const address = server!.address() as AddressInfo
  /** Takes its connections away, before any of them reports that it goes. */
  const kill = () => {
    server!.closeAllConnections()
    return Effect.runPromise(Scope.close(life, Exit.void))
  }
  return { url: `http://127.0.0.1:${address.port}`, port: address.port, kill }
}

describe.skipIf(executablePath === undefined)("the pages of examples/web (need Chromium)", { timeout: 60_000 }, () => {
  const all = Scope.makeUnsafe()
  const inScope = <A>(effect: Effect.Effect<A, never, Scope.Scope>) => Effect.runPromise(Scope.provide(effect, all))
  let browser: Browser
  let server: Awaited<ReturnType<typeof serve>>

  beforeAll(async () => {
    built = mkdtempSync(join(tmpdir(), "effect-ash-page-"))
    const { NODE_ENV: _, ...env } = process.env
    const vite = join(folder, "node_modules/.bin/vite")
    execFileSync(vite, ["build", "examples/web/react", "--outDir", built], {
      cwd: folder,
      env,
      stdio: "pipe"
    })
    browser = await inScope(launch())
    server = await serve(all)
  })

  afterAll(async () => {
    await Effect.runPromise(Scope.close(all, Exit.void))
    rmSync(built, { recursive: true })
  })

  /** A page of a chat of its own, or of that of another page. */
  const open = async (url: string, options: BrowserContextOptions = {}) => {
    const context = await browser.newContext(options)
    context.setDefaultTimeout(30_000)
    const page = await context.newPage()
    await page.goto(url)
    await isIdle(page)
    return page
  }

  const message = (page: Page) => page.getByRole("textbox", { name: /^Message/ })
  const say = async (page: Page, text: string) => {
    await message(page).fill(text)
    await page.getByRole("button", { name: "Send" }).click()
  }
  const sees = (page: Page, text: string, times = 1) => page.getByText(text, { exact: true }).nth(times - 1).waitFor()
  const isIdle = (page: Page) => page.getByRole("button", { name: "Send" }).waitFor()
  const alertOf = (page: Page, text: string) => page.getByRole("alert").filter({ hasText: text }).waitFor()
  const textsOf = (page: Page) => page.getByRole("log", { name: "Messages" }).locator("article > p").allTextContents()

  const focusedId = (page: Page) => page.evaluate(() => document.activeElement?.id)

  /** Finds what a page keeps from people. */
  const violationsOf = async (page: Page) => {
    await page.evaluate(axe.source)
    const { violations } = await page.evaluate(() => (globalThis as unknown as { axe: typeof axe }).axe.run())
    return violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`))
  }

  describe.each([["plain", "/"], ["on useChat", "/react/"]])("%s", (_, path) => {
    it("shows a turn with its tools as it runs, and has it after a reload, while it runs and later", async () => {
      const page = await open(server.url + path)
      await say(page, "work <img src=x>")
      await sees(page, "I look.")
      await page.getByText(/^Read\s+is running$/).waitFor()
      assert.deepStrictEqual(await textsOf(page), ["work <img src=x>", "I look."])
      await page.reload()
      await page.getByText(/^Read\s+is running$/).waitFor()
      assert.deepStrictEqual(await textsOf(page), ["work <img src=x>", "I look."])
      finish()
      await page.getByText(/^Read\s+is done$/).waitFor()
      await isIdle(page)
      const texts = ["work <img src=x>", "I look.", "You wrote: work <img src=x>"]
      assert.deepStrictEqual(await textsOf(page), texts)
      assert.strictEqual(await page.locator("img").count(), 0)
      await page.reload()
      await sees(page, "You wrote: work <img src=x>")
      assert.deepStrictEqual(await textsOf(page), texts)
    })

    it("stops a turn, and goes on", async () => {
      const page = await open(server.url + path)
      await say(page, "work")
      await sees(page, "I look.")
      await page.getByRole("button", { name: "Stop" }).click()
      await isIdle(page)
      await say(page, "Again")
      await sees(page, "You wrote: Again")
      assert.deepStrictEqual(await textsOf(page), [
        "work",
        "I look.",
        "Again",
        "(The agent was restarted, and has lost its memory.)",
        "You wrote: Again"
      ])
    })

    it("tells of a failure without what the server said", async () => {
      const page = await open(server.url + path)
      await say(page, "fail")
      await alertOf(page, "The agent failed. Try again.")
      assert.notInclude(await page.content(), "secret")
      await say(page, "Again")
      await sees(page, "You wrote: Again")
    })

    it("tells of a server that is lost in the middle of a turn, and sends again when it is back", async () => {
      const { kill, port, url } = await serve(all)
      const page = await open(url + path)
      await say(page, "work")
      await sees(page, "I look.")
      await kill()
      await alertOf(page, lost)
      await say(page, "Is it back?")
      await alertOf(page, lost)
      await serve(all, port)
      await say(page, "Again")
      await sees(page, "You wrote: Again")
      assert.strictEqual(await page.getByRole("alert").textContent(), "")
    })
  })

  const looks = [["/", "light"], ["/", "dark"], ["/react/", "dark"]] as const

  it.each(looks)("%s keeps nothing from people in the %s", async (path, colorScheme) => {
    const page = await open(server.url + path, { colorScheme })
    await say(page, "work")
    await page.getByText(/^Read\s+is running$/).click()
    assert.deepStrictEqual(await violationsOf(page), [])
    const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor)
    assert.strictEqual(ground === "rgb(255, 255, 255)", colorScheme === "light")
  })

  it("is used by the keyboard alone", async () => {
    const page = await open(server.url)
    const { keyboard } = page
    assert.strictEqual(await focusedId(page), "text")
    await keyboard.type("work")
    await keyboard.press("Enter")
    await page.getByRole("button", { name: "Stop" }).waitFor()
    await sees(page, "I look.")
    assert.strictEqual(await page.getByRole("log").getAttribute("aria-busy"), "true")
    await keyboard.press("Tab")
    assert.strictEqual(await focusedId(page), "stop")
    await keyboard.press("Enter")
    await page.getByRole("status").filter({ hasText: "The agent was stopped." }).waitFor()
    assert.strictEqual(await focusedId(page), "text")
    assert.strictEqual(await page.getByRole("log").getAttribute("aria-busy"), "false")
    await page.getByText(/^Read\s+was cut off$/).waitFor()
    await keyboard.press("Shift+Tab")
    await keyboard.press("Enter")
    await page.getByText("{}", { exact: true }).waitFor()
    await keyboard.press("Tab")
    await keyboard.type("more")
    await keyboard.press("Shift+Enter")
    await keyboard.type("work")
    await keyboard.press("Enter")
    await page.getByText(/^Read\s+is running$/).waitFor()
    await keyboard.press("Escape")
    await isIdle(page)
    assert.include(await textsOf(page), "more\nwork")
  })

  it("has a chat in two tabs, each of which sees what the other does", async () => {
    const first = await open(server.url)
    const second = await first.context().newPage()
    await second.goto(first.url())
    await isIdle(second)
    await say(first, "work")
    await sees(first, "I look.")
    await second.getByText(/^Read\s+is running$/).waitFor()
    finish()
    for (const page of [first, second]) await sees(page, "You wrote: work")
    await isIdle(second)
    await say(second, "Hello")
    for (const page of [first, second]) await sees(page, "You wrote: Hello")
    const texts = ["work", "I look.", "You wrote: work", "Hello", "You wrote: Hello"]
    for (const page of [first, second]) assert.deepStrictEqual(await textsOf(page), texts)
  })

  it("is refused to a site of another name that leads to this machine", async () => {
    const { port } = server
    const status = await new Promise<number | undefined>((resolve, reject) =>
      get({ port, path: "/api/chat/a", headers: { host: `evil.test:${port}` } }, (response) => {
        response.resume()
        resolve(response.statusCode)
      }).on("error", reject)
    )
    assert.strictEqual(status, 401)
  })

  it("is served by the program of the example", async () => {
    const program = spawn("node", ["--conditions=effect-ash-source", "examples/web/server.ts"], {
      cwd: folder,
      env: { ...process.env, PORT: "0" },
      stdio: ["ignore", "pipe", "inherit"]
    })
    try {
      let printed = ""
      for await (const chunk of program.stdout) {
        printed += String(chunk)
        if (/http:\S+\n/.test(printed)) break
      }
      const page = await open(/http:\S+/.exec(printed)![0])
      await say(page, "Hello")
      await page.getByText(/^Bash\s+is done$/).waitFor()
      await page.getByText(/^Bash\s+is running$/).waitFor()
      program.kill("SIGKILL")
      await alertOf(page, lost)
      assert.include(await textsOf(page), "I look at my files.")
    } finally {
      program.kill("SIGKILL")
    }
  })
})
