/** A PostgreSQL of one's own: its own data folder, its own port on loopback, gone when the scope closes. */
import { Data, Effect, Redacted, type Scope } from "effect"
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import { chownSync, existsSync, globSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"

/** PostgreSQL is missing, or does not start. */
export class PostgresFailed extends Data.TaggedError("PostgresFailed")<{ readonly message: string }> {}

/** A server that runs. */
export interface Postgres {
  readonly port: number
  readonly url: Redacted.Redacted<string>
  /** The process of the server; those of its connections are its children. */
  readonly process: () => ChildProcess
  /** Kills the server with all its connections, as the loss of power would. */
  readonly kill: () => void
  /** Stops all of its processes for a time, as an overloaded disk would; answers how to let them go on. */
  readonly stall: () => () => void
  /** Starts it again after a kill. */
  readonly restart: Effect.Effect<void>
}

const folders = [
  ...(process.env["PATH"] ?? "").split(delimiter),
  ...globSync("/usr/lib/postgresql/*/bin").toSorted().toReversed(),
  ...globSync("/{opt/homebrew,usr/local}/opt/postgresql*/bin"),
  "/usr/local/pgsql/bin"
]

/** The folder of the programs of PostgreSQL, if it is installed. */
export const installed = folders.find((folder) =>
  ["initdb", "postgres"].every((name) => existsSync(join(folder, name)))
)

/** PostgreSQL does not run as root: then it runs as the user that Debian's package has made, or as one without any rights. */
const user = (): { readonly uid?: number; readonly gid?: number } => {
  if (process.getuid?.() !== 0) return {}
  const name = spawnSync("id", ["-u", "postgres"]).status === 0 ? "postgres" : "nobody"
  const idOf = (flag: string) => Number(execFileSync("id", [flag, name], { encoding: "utf8" }))
  return { uid: idOf("-u"), gid: idOf("-g") }
}

/** A port that is free now. */
export const freePort = Effect.promise(() =>
  new Promise<number>((resolve, reject) => {
    const server = createServer()
    server.on("error", reject)
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0))
    })
  })
)

/**
 * A row lock of a dead process must not outlive it for long: it would hold up the runs that wait for it. There is no socket
 * of Unix, whose path a deep folder makes too long.
 */
const settings = [
  "idle_in_transaction_session_timeout=5s",
  "listen_addresses=127.0.0.1",
  "unix_socket_directories=",
  "max_connections=200"
]

const launch = (folder: string, data: string, port: number) =>
  Effect.promise(() =>
    new Promise<ChildProcess>((resolve, reject) => {
      const options = ["-D", data, "-p", `${port}`, ...settings.flatMap((setting) => ["-c", setting])]
      const server = spawn(join(folder, "postgres"), options, {
        ...user(),
        cwd: "/",
        stdio: ["ignore", "ignore", "pipe"]
      })
      let log = ""
      server.stderr?.on("data", (text) => {
        log = `${log}${text}`.slice(-10_000)
        if (`${text}`.includes("ready to accept connections")) resolve(server)
      })
      server.once("exit", () => reject(new Error(`PostgreSQL ended:\n${log}`)))
      server.once("error", reject)
    })
  )

const ended = (server: ChildProcess) =>
  Effect.promise(() =>
    server.exitCode !== null || server.signalCode !== null
      ? Promise.resolve()
      : new Promise<void>((resolve) => server.once("exit", () => resolve()))
  )

/** The processes of a server: itself, and one for each connection. */
const processesOf = ({ pid }: ChildProcess): ReadonlyArray<number> => {
  const { stdout } = spawnSync("ps", ["-o", "pid=", "--ppid", `${pid}`], { encoding: "utf8" })
  return [pid ?? 0, ...stdout.split("\n").map(Number)].filter((id) => id > 0)
}

const signal = (pids: ReadonlyArray<number>, name: NodeJS.Signals) => {
  for (const pid of pids) {
    try {
      process.kill(pid, name)
    } catch {
      // It has ended meanwhile.
    }
  }
}

/** Starts a server of one's own, until the scope closes. */
export const start: Effect.Effect<Postgres, PostgresFailed, Scope.Scope> = Effect.gen(function*() {
  const folder = installed
  if (folder === undefined) {
    return yield* new PostgresFailed({ message: "PostgreSQL is not installed; on Debian: apt-get install postgresql" })
  }
  const home = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "effect-ash-postgres-"))),
    (home) => Effect.sync(() => rmSync(home, { recursive: true, force: true }))
  )
  const data = join(home, "data")
  const password = randomBytes(16).toString("hex")
  const passwordFile = join(home, "password")
  writeFileSync(passwordFile, password, { mode: 0o600 })
  const { gid, uid } = user()
  if (uid !== undefined && gid !== undefined) { for (const path of [home, passwordFile]) chownSync(path, uid, gid) }
  const options = ["-U", "ash", "-A", "scram-sha-256", "--no-sync", "-E", "UTF8", "--locale", "C"]
  const files = ["-D", data, "--pwfile", passwordFile]
  const made = spawnSync(join(folder, "initdb"), [...options, ...files], { ...user(), cwd: "/", encoding: "utf8" })
  if (made.status !== 0) return yield* new PostgresFailed({ message: `initdb failed:\n${made.stderr}` })
  const port = yield* freePort
  let server = yield* launch(folder, data, port)
  yield* Effect.addFinalizer(() =>
    Effect.suspend(() => {
      signal(processesOf(server), "SIGCONT")
      // What a runner holds open is cut off.
      server.kill("SIGINT")
      return ended(server)
    })
  )
  return {
    port,
    url: Redacted.make(`postgresql://ash:${password}@127.0.0.1:${port}/postgres`),
    process: () => server,
    kill: () => signal(processesOf(server).toReversed(), "SIGKILL"),
    stall: () => {
      const all = processesOf(server)
      signal(all, "SIGSTOP")
      return () => signal(all, "SIGCONT")
    },
    restart: Effect.gen(function*() {
      yield* ended(server)
      rmSync(join(data, "postmaster.pid"), { force: true })
      server = yield* launch(folder, data, port)
    })
  }
})
