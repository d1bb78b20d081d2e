/** Runs `effect-ash serve` from the packed package, in a folder where there is nothing else, on the Node of the machine. */
import assert from "node:assert/strict"
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { get } from "node:http"
import { tmpdir } from "node:os"
import { delimiter, dirname, join } from "node:path"
import { stayHere } from "./environment.ts"

stayHere()

const root = mkdtempSync(join(tmpdir(), "effect-ash-command-"))
const folder = join(root, "empty")
const temporary = join(root, "temporary")
const agent = join(root, "weather")
for (const path of [folder, temporary, agent]) mkdirSync(path)
writeFileSync(join(agent, "CLAUDE.md"), "You know the weather.\n")

const read = (file: string) => readFileSync(file, "utf8")

/** The Node of the machine comes before that of this package. */
const path = [
  ...(process.env["PATH"] ?? "").split(delimiter).filter((entry) => !entry.includes("node_modules")),
  dirname(process.execPath)
].join(delimiter)
const env = { ...process.env, PATH: path, TMPDIR: temporary }

const running = new Set<ChildProcess>()

/** Starts the command, and gathers what it prints. */
const start = (...args: ReadonlyArray<string>) => {
  const child = spawn(join(folder, "node_modules/.bin/effect-ash"), ["serve", ...args], { cwd: folder, env })
  running.add(child)
  const printed = { stdout: "", stderr: "" }
  child.stdout.setEncoding("utf8").on("data", (text: string) => printed.stdout += text)
  child.stderr.setEncoding("utf8").on("data", (text: string) => printed.stderr += text)
  const ended = once(child, "close").then(([code]) => {
    running.delete(child)
    return code
  })
  /** Waits until it has printed what fits. */
  const prints = async (pattern: RegExp) => {
    while (true) {
      const found = pattern.exec(printed.stdout)
      if (found !== null) return found
      await Promise.race([
        once(child.stdout, "data"),
        ended.then((code) => assert.fail(`ended with ${code}: ${JSON.stringify(printed)}`))
      ])
    }
  }
  return { child, ended, printed, prints }
}

/** It prints in one line why it does not run. */
const refuses = async (message: RegExp, ...args: ReadonlyArray<string>) => {
  const { ended, printed } = start(...args)
  assert.equal(await ended, 1)
  assert.match(printed.stderr, message)
  assert.equal(printed.stderr.trimEnd().split("\n").length, 1, printed.stderr)
  assert.equal(printed.stdout, "")
}

const check = async () => {
  const [{ filename }] = JSON.parse(
    execFileSync("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", root], { encoding: "utf8" })
  )
  execFileSync(
    "npm",
    [
      "install",
      "--prefer-offline",
      "--legacy-peer-deps",
      "--no-audit",
      "--no-fund",
      "--no-package-lock",
      join(root, filename)
    ],
    { cwd: folder, stdio: "pipe" }
  )
  const { dependencies } = JSON.parse(read("package.json"))
  assert.deepEqual(
    readdirSync(join(folder, "node_modules")).filter((name) => !name.startsWith(".")),
    ["effect-ash", ...Object.keys(dependencies)].toSorted()
  )

  const licences = read(join(folder, "node_modules/effect-ash/dist/bin/effect-ash.js.LICENSES.txt"))
  for (const name of ["effect", "ws"]) assert.match(licences, new RegExp(`^${name} \\d.*\n\n[^-]*Copyright`, "m"))

  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    const flags = ["--key", "a-key-of-mine", "--quirks", "content=intact", "--host-name", "ash.test"]
    const server = start("--port", "0", "--agent", agent, ...flags)
    const [, url] = await server.prints(/^ASH_SERVER_URL=(\S+)\nASH_API_KEY=a-key-of-mine$/m)
    const ask = (path: string, authorization: string, body?: object) =>
      fetch(`${url}${path}`, {
        headers: { authorization, "content-type": "application/json" },
        ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) })
      })
    const key = "Bearer a-key-of-mine"
    assert.equal((await ask("/api/agents?secret=1", "Bearer another")).status, 401)
    for (const [host, status] of [["ash.test", 200], ["other.test", 403]] as const) {
      const [response] = await once(get(`${url}/api/agents`, { headers: { authorization: key, host } }), "response")
      assert.equal(response.resume().statusCode, status, host)
    }
    const { session } = await (await ask("/api/sessions", key, { agent: "weather" })).json()
    const turn = await (await ask(`/api/sessions/${session.id}/messages`, key, { content: "Good day" })).text()
    assert.match(turn, /You said: Good day/)
    assert.match(turn, /event: done/)

    appendFileSync(join(agent, "CLAUDE.md"), "Be brief.\n")
    await server.prints(/^Agent weather, version 2, /m)
    writeFileSync(join(root, "new.md"), "You know the weather.\n")
    renameSync(join(root, "new.md"), join(agent, "CLAUDE.md"))
    await server.prints(/^Agent weather, version 3, /m)
    appendFileSync(join(agent, "CLAUDE.md"), "Be brief.\n")
    await server.prints(/^Agent weather, version 4, /m)
    const next = join(root, "next")
    mkdirSync(next)
    writeFileSync(join(next, "CLAUDE.md"), "You know the weather.\n")
    renameSync(agent, join(root, `before ${signal}`))
    renameSync(next, agent)
    await server.prints(/^Agent weather, version 5, /m)
    appendFileSync(join(agent, "CLAUDE.md"), "Be brief.\n")
    await server.prints(/^Agent weather, version 6, /m)

    // What runs is ended as well.
    const command = ask(`/api/sessions/${session.id}/exec`, key, { command: "echo begun > begun; sleep 600" })
    while (!(await (await ask(`/api/sessions/${session.id}/files`, key)).text()).includes("begun"));
    server.child.kill(signal)
    assert.equal(await server.ended, 0)
    await command.catch(() => undefined)
    assert.match(server.printed.stdout, /^GET \/api\/agents 401 \d+ ms$/m)
    assert.match(server.printed.stdout, /^POST \/api\/sessions\/\S+\/messages 200 \d+ ms$/m)
    assert.equal(server.printed.stdout.split("a-key-of-mine").length, 2, server.printed.stdout)
    assert.equal(server.printed.stderr, "")
    assert.deepEqual(readdirSync(temporary), [])
  }

  const foreign = ["--port", "0", "--key", "key", "--host", "192.0.2.1"]
  const server = start("--port", "0")
  const [, port] = await server.prints(/:(\d+)\nASH_API_KEY=/)
  await refuses(
    /^effect-ash: .*cannot listen on port \d+ of 127\.0\.0\.1: it is in use; choose another port \(--port\)\n$/,
    "--port",
    port!
  )
  await refuses(/--what/, "--what")
  for (const outside of ["65536", "-1"]) await refuses(/--port: "-?\d+"\. Expected: 0 to 65535/, "--port", outside)
  await refuses(/--key/, "--port", "0", "--host", "0.0.0.0")
  await refuses(
    /^effect-ash: .*cannot listen on port 0 of 192\.0\.2\.1: .*; choose another host \(--host\)\n$/,
    ...foreign
  )
  await refuses(/^effect-ash: --quirks takes .*mixTurns/, "--port", "0", "--quirks", "mix=true")
  await refuses(/is no agent: it has no CLAUDE\.md/, "--port", "0", "--agent", folder)
  await refuses(/could not be read/, "--port", "0", "--agent", join(root, "nowhere"))
  server.child.kill()
  assert.equal(await server.ended, 0)
  assert.deepEqual(readdirSync(temporary), [])
  const node = execFileSync("node", ["--version"], { encoding: "utf8", env }).trim()
  console.log(`effect-ash serve runs from only the package, on Node ${node}`)
}

const killAll = () => {
  for (const child of running) child.kill("SIGKILL")
}

// What hangs is ended, and fails.
const limit = setTimeout(killAll, 300_000)
await check().finally(() => {
  clearTimeout(limit)
  killAll()
  rmSync(root, { recursive: true, force: true })
})
