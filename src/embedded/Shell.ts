/** Runs commands as a sandbox does: with `/bin/sh -c`, bounded in time and output. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type { PlatformError } from "effect/PlatformError"
import * as ChildProcess from "effect/process/ChildProcess"
import type { ChildProcessSpawner } from "effect/process/ChildProcessSpawner"
import * as Stream from "effect/Stream"
import type { ExecResult } from "../schema/Session.ts"

/** The command wrote more than 10 MiB. */
export class OutputTooLarge extends Data.TaggedError("OutputTooLarge") {
  override readonly message = "stdout maxBuffer length exceeded"
}

const outputLimit = 10 * 1024 * 1024

/**
 * Runs a command to its end, or to that of its time; with it ends whatever it started. A time-out and a death by signal
 * both show as exit code 1, with the output so far.
 */
export const run = (
  spawner: ChildProcessSpawner["Service"],
  command: string,
  options: {
    readonly directory: string
    readonly env: Readonly<Record<string, string>>
    /** Milliseconds. */
    readonly timeout?: number
  }
): Effect.Effect<ExecResult, OutputTooLarge | PlatformError> =>
  Effect.gen(function*() {
    const stdout: Array<Uint8Array> = []
    const stderr: Array<Uint8Array> = []
    const process = yield* spawner.spawn(ChildProcess.make("/bin/sh", ["-c", command], {
      cwd: options.directory,
      env: options.env,
      extendEnv: true,
      stdin: "ignore",
      killSignal: "SIGKILL"
    }))
    const exitCode = yield* Effect.all([
      // What ended by a signal has no exit code of its own.
      Effect.orElseSucceed(process.exitCode, () => 1),
      collect(process.stdout, stdout),
      collect(process.stderr, stderr)
    ], { concurrency: "unbounded" }).pipe(
      Effect.map(([exitCode]) => exitCode),
      options.timeout === undefined
        ? (effect) => effect
        : Effect.timeoutOrElse({ duration: options.timeout, orElse: () => Effect.succeed(1) })
    )
    return { exitCode, stdout: text(stdout), stderr: text(stderr) }
  }).pipe(Effect.scoped)

const collect = <E>(stream: Stream.Stream<Uint8Array, E>, chunks: Array<Uint8Array>) => {
  let size = 0
  return Stream.runForEach(stream, (chunk) => {
    size += chunk.length
    chunks.push(chunk)
    return size > outputLimit ? Effect.fail(new OutputTooLarge()) : Effect.void
  })
}

const text = (chunks: ReadonlyArray<Uint8Array>) => {
  const decoder = new TextDecoder()
  return chunks.map((chunk) => decoder.decode(chunk, { stream: true })).join("") + decoder.decode()
}
