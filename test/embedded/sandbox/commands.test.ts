/** What commands see of the machine, and what they leave on it. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Stream from "effect/Stream"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { homedir, hostname, tmpdir } from "node:os"
import { join, resolve } from "node:path"
import * as AgentScript from "../../../src/embedded/AgentScript.ts"
import { ask, deploy, listAt, open, textAt, withServer } from "../../support/embeddedServer.ts"
import { isAlive, isGone } from "../../support/processes.ts"

const exec = (path: string, command: string) =>
  Effect.map(ask("POST", `${path}/exec`, { json: { command } }), ({ body }) => textAt(body, "stdout"))

/** The variables that `env` prints, but for those that a shell sets for itself. */
const variablesIn = (text: string) =>
  new Map(
    text.trimEnd().split("\n").map((line) =>
      [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)] as const
    )
      .filter(([name]) => !["PWD", "OLDPWD", "SHLVL", "_"].includes(name))
  )

const isLocale = (name: string) => /^(?:LANG|LANGUAGE|LC_[A-Z]+)$/.test(name)

const withSecrets = Effect.acquireRelease(
  Effect.sync(() => Object.assign(process.env, { AWS_SECRET: "canary", NPM_TOKEN: "canary", LC_TIME: "C" })),
  () => Effect.sync(() => ["AWS_SECRET", "NPM_TOKEN", "LC_TIME"].forEach((name) => delete process.env[name]))
)

describe("the environment of a command", () => {
  it.effect("has PATH, the language, the ids and folders of the session, and what agent and session add", () =>
    Effect.gen(function*() {
      yield* withSecrets
      yield* Effect.gen(function*() {
        yield* deploy("demo", { env: { A: "agent", B: "agent" } })
        const credential = yield* ask("POST", "/api/credentials", { json: { type: "openai", key: "k" } })
        const { body } = yield* ask("POST", "/api/sessions", {
          json: {
            agent: "demo",
            extraEnv: { B: "session" },
            credentialId: textAt(credential.body, "credential", "id"),
            permissionMode: "default"
          }
        })
        const id = textAt(body, "session", "id")
        const variables = variablesIn(yield* exec(`/api/sessions/${id}`, "env"))
        const workspace = variables.get("ASH_WORKSPACE_DIR") ?? ""
        const agent = yield* ask("GET", "/api/agents/demo")
        assert.deepInclude(Object.fromEntries(variables), {
          A: "agent",
          B: "session",
          OPENAI_API_KEY: "k",
          PATH: process.env["PATH"] ?? "",
          LC_TIME: "C",
          HOME: workspace,
          ASH_AGENT_DIR: textAt(agent.body, "agent", "path"),
          ASH_PERMISSION_MODE: "default",
          ASH_SANDBOX_ID: id,
          ASH_SESSION_ID: id
        })
        assert.match(workspace, new RegExp(`${id}/workspace$`))
        assert.strictEqual((yield* exec(`/api/sessions/${id}`, "cd ~; pwd")).trim(), workspace)
        const known = ["A", "B", "OPENAI_API_KEY", "PATH", "HOME", "ASH_AGENT_DIR", "ASH_PERMISSION_MODE"]
        const others = [...variables.keys()].filter((name) =>
          !isLocale(name) && !known.includes(name) && !/^ASH_(?:SANDBOX_ID|SESSION_ID|WORKSPACE_DIR)$/.test(name)
        )
        assert.deepStrictEqual(others, [])
      }).pipe(withServer())
    }).pipe(Effect.scoped))

  it.effect("names the session also in a later sandbox of it", () =>
    Effect.gen(function*() {
      const { id, path } = yield* open()
      yield* ask("POST", `${path}/stop`)
      const { body } = yield* ask("POST", `${path}/resume`)
      const variables = variablesIn(yield* exec(path, "env"))
      assert.strictEqual(variables.get("ASH_SESSION_ID"), id)
      assert.strictEqual(variables.get("ASH_SANDBOX_ID"), textAt(body, "session", "sandboxId"))
    }).pipe(withServer()))

  it.effect("is the same for commands of a script: they see no variable of the developer, and not their home", () =>
    Effect.gen(function*() {
      yield* withSecrets
      const command = "echo secret=$AWS_SECRET$NPM_TOKEN > ~/effect-ash-canary; cat ~/effect-ash-canary; env"
      let seen = ""
      const script: AgentScript.AgentScript = (turn) =>
        Stream.make(AgentScript.bash(turn, command)).pipe(Stream.concat(Stream.drain(Stream.fromEffect(
          Effect.map(turn.workspace.exec(command), ({ stdout }) => {
            seen = stdout
          })
        ))))
      yield* Effect.gen(function*() {
        const { path } = yield* open()
        yield* ask("POST", `${path}/messages`, { json: { content: "go" } })
        const { body } = yield* ask("GET", `${path}/files`)
        assert.include(listAt(body, "files").map((file) => textAt(file, "path")), "effect-ash-canary")
      }).pipe(withServer({ script }))
      assert.include(seen, "secret=\n")
      assert.notInclude(seen, "canary\n")
      assert.isFalse(existsSync(join(homedir(), "effect-ash-canary")))
    }).pipe(Effect.scoped))
})

describe("a command that goes into the background", () => {
  const ways = [
    ["", "sleep 1000 >/dev/null 2>&1 & echo $!"],
    ["nohup", "nohup sleep 1000 >/dev/null 2>&1 & echo $!"],
    ["a session of its own", "$(command -v setsid) sleep 1000 >/dev/null 2>&1 & echo $!"],
    [
      "a grandchild",
      "($(command -v setsid) sh -c 'echo $$; exec sleep 1000' &) 2>/dev/null > pid; until [ -s pid ]; do :; done; cat pid"
    ],
    ["an environment that it emptied", "env -i $(command -v setsid) sleep 1000 >/dev/null 2>&1 & echo $!"],
    ["a workspace that it made up", "ASH_WORKSPACE_DIR=/x $(command -v setsid) sleep 1000 >/dev/null 2>&1 & echo $!"]
  ] as const
  const ends = [
    ["stopped", (path: string) => ask("POST", `${path}/stop`)],
    ["ended", (path: string) => ask("DELETE", path)]
  ] as const

  it.live.each(ways.flatMap((way) => ends.map((end) => [way[0], end[0], way[1], end[1]] as const)))(
    "(%s) runs on after it, and ends when the session is %s",
    ([, , command, end]) =>
      Effect.gen(function*() {
        const { path } = yield* open()
        const pid = Number(yield* exec(path, command))
        yield* exec(path, "true")
        assert.isTrue(isAlive(pid))
        yield* end(path)
        yield* isGone(pid)
      }).pipe(withServer())
  )
})

describe("a program that ends", () => {
  const program = resolve(import.meta.dirname, "../../support/embeddedProgram.ts")

  const start = (...args: ReadonlyArray<string>) => startIn({}, ...args)

  const startIn = (env: NodeJS.ProcessEnv, ...args: ReadonlyArray<string>) =>
    Effect.promise(async () => {
      const child = spawn(process.execPath, ["--conditions=effect-ash-source", program, ...args], {
        env: { ...process.env, ...env },
        stdio: ["ignore", "pipe", "ignore"]
      })
      const ended = once(child, "exit")
      let text = ""
      for await (const chunk of child.stdout) {
        text += String(chunk)
        if (text.includes("\n")) break
      }
      const { folder, pid } = JSON.parse(text) as { readonly folder: string; readonly pid: number }
      return { child, ended, pid, folder: folder.slice(0, folder.indexOf("/sandboxes/")) }
    })

  it.live.each<readonly [run: string, end: string]>([
    ["runPromise", "SIGINT"],
    ["runPromise", "SIGTERM"],
    ["runPromise", "SIGHUP"],
    ["runPromise", "SIGQUIT"],
    ["runPromise", "exit"],
    ["runPromise", "throw"],
    ["runMain", "SIGINT"],
    ["runMain", "SIGTERM"],
    ["once", "SIGTERM"]
  ])("(%s, %s) leaves no folder and no command", ([run, end]) =>
    Effect.gen(function*() {
      const { child, ended, folder, pid } = yield* start(run, end)
      if (end.startsWith("SIG")) child.kill(end as NodeJS.Signals)
      const [code, signal] = yield* Effect.promise(() => ended)
      if (run === "runPromise" && end.startsWith("SIG")) assert.strictEqual(signal, end)
      if (end === "exit") assert.strictEqual(code, 3)
      if (run === "once") assert.deepStrictEqual([code, signal], [4, null])
      assert.match(folder, /effect-ash-/)
      assert.isFalse(existsSync(folder))
      yield* isGone(pid)
    }))

  it.live("by a kill leaves a folder that the next start removes, and no other folder is removed", () =>
    Effect.gen(function*() {
      const { child, ended, folder, pid } = yield* start("runPromise", "never")
      const other = yield* start("runPromise", "never")
      child.kill("SIGKILL")
      yield* Effect.promise(() => ended)
      assert.isTrue(existsSync(folder))
      const foreign = join(tmpdir(), `effect-ash-not-${hostname()}-${child.pid}-foreign`)
      mkdirSync(foreign)
      yield* withServer()(open())
      assert.isFalse(existsSync(folder))
      yield* isGone(pid)
      assert.isTrue(existsSync(other.folder))
      assert.isTrue(isAlive(other.pid))
      assert.isTrue(existsSync(foreign))
      rmSync(foreign, { recursive: true })
      other.child.kill("SIGTERM")
      yield* Effect.promise(() => other.ended)
    }))

  it.live("by a kill ends no further start of a user that the system has no name for, as in containers", () =>
    Effect.gen(function*() {
      // A folder of its own: every other server of this machine removes what was left behind.
      const TMPDIR = mkdtempSync(join(tmpdir(), "nameless-"))
      const { child, ended, folder } = yield* startIn({ TMPDIR }, "runPromise", "never")
      child.kill("SIGKILL")
      yield* Effect.promise(() => ended)
      const nameless = `import os from "node:os"; import { syncBuiltinESMExports } from "node:module"
        os.userInfo = () => { throw new Error("uv_os_get_passwd returned ENOENT") }; syncBuiltinESMExports()`
      const NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(nameless)}`
      const next = yield* startIn({ TMPDIR, NODE_OPTIONS }, "runPromise", "exit")
      yield* Effect.promise(() => next.ended)
      assert.isFalse(existsSync(folder))
      rmSync(TMPDIR, { recursive: true })
    }))
})

describe("the folder of a server", () => {
  it.effect("is open to its user only", () =>
    Effect.gen(function*() {
      const fileSystem = yield* FileSystem.FileSystem
      const { path } = yield* open()
      const folder = (yield* exec(path, "pwd")).replace(/\/sandboxes\/.*$/s, "")
      assert.strictEqual((yield* fileSystem.stat(folder)).mode & 0o777, 0o700)
    }).pipe(withServer(), Effect.provide(NodeFileSystem.layer)))
})
