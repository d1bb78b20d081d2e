/** Runs commands as a sandbox does: with `/bin/sh -c`, bounded in time and output. */
import * as Bytes from "effect/Bytes"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { PlatformError } from "effect/PlatformError"
import * as ChildProcess from "effect/process/ChildProcess"
import type { ChildProcessSpawner } from "effect/process/ChildProcessSpawner"
import * as Record from "effect/Record"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ExecResult } from "../../schema/Session.ts"
import * as AtExit from "./AtExit.ts"
import * as Processes from "./Processes.ts"

export class OutputTooLarge extends Data.TaggedError("OutputTooLarge") {
  override readonly message = "stdout maxBuffer length exceeded"
}

const outputLimit = 10 * 1024 * 1024

const categories = ["ALL", "COLLATE", "CTYPE", "MESSAGES", "MONETARY", "NUMERIC", "TIME"]

const inherited = ["PATH", "LANG", "LANGUAGE", ...categories.map((category) => `LC_${category}`)]

/** What commands have of the environment of this process: where programs are, and the language. */
export const platformEnvironment: Effect.Effect<Readonly<Record<string, string>>> = Effect.suspend(() =>
  Config.all(Record.fromIterableWith(inherited, (name) => [name, Config.option(Config.String(name))])).parse(
    ConfigProvider.fromEnv()
  )
).pipe(Effect.map(Record.getSomes), Effect.orDie)

/**
 * Runs a command until it ends or times out. A time-out and a death by signal both have the exit code 1, with the output
 * so far. Its background processes end with the scope, and at once where the command timed out or was interrupted.
 */
export const run = Effect.fnUntraced(function*(
  spawner: ChildProcessSpawner["Service"],
  command: string,
  options: {
    readonly directory: string
    readonly env: Readonly<Record<string, string>>
    /** In milliseconds. A command with a time-out has a standard input that stays open and empty. */
    readonly timeout?: number
  }
): Effect.fn.Return<ExecResult, OutputTooLarge | PlatformError, Scope.Scope> {
  const scope = yield* Scope.fork(yield* Effect.scope)
  const stdout: Array<Uint8Array> = []
  const stderr: Array<Uint8Array> = []
  const perform = Effect.gen(function*() {
    const process = yield* spawner.spawn(ChildProcess.make("/bin/sh", ["-c", command], {
      cwd: options.directory,
      env: options.env,
      stdin: options.timeout === undefined ? "ignore" : "pipe",
      killSignal: "SIGKILL"
    }))
    yield* AtExit.add(() => Processes.kill(-process.pid))
    const end = Effect.all([
      // A command that a signal ended has no exit code.
      Effect.orElseSucceed(process.exitCode, () => 1),
      collect(process.stdout, stdout),
      collect(process.stderr, stderr)
    ], { concurrency: "unbounded" })
    const [exitCode] = yield* options.timeout === undefined ? end : Effect.timeoutOrElse(end, {
      duration: options.timeout,
      orElse: () => Effect.as(Scope.close(scope, Exit.void), [1])
    })
    if (!Processes.isAlive(-process.pid)) yield* Scope.close(scope, Exit.void)
    return { exitCode, stdout: text(stdout), stderr: text(stderr) }
  })
  return yield* Effect.onError(Scope.provide(perform, scope), (cause) => Scope.close(scope, Exit.failCause(cause)))
})

const collect = <E>(stream: Stream.Stream<Uint8Array, E>, chunks: Array<Uint8Array>) => {
  let size = 0
  return Stream.runForEach(stream, (chunk) => {
    size += chunk.length
    chunks.push(chunk)
    return size > outputLimit ? Effect.fail(new OutputTooLarge()) : Effect.void
  })
}

const text = (chunks: ReadonlyArray<Uint8Array>) => new TextDecoder().decode(Bytes.concat(chunks))
