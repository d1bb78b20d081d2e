/** Folders and archives as the programs of a Unix make them. */
import * as Effect from "effect/Effect"
import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"

/** A folder that goes with the scope. */
export const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(`${tmpdir()}/effect-ash-test-`)),
  (directory) =>
    Effect.sync(() => {
      // A user who is not root cannot empty a folder that may not be entered.
      run(directory, "chmod -R u+rwX .")
      rmSync(directory, { recursive: true, force: true })
    })
)

/** Runs a script in a folder, and gives what it wrote. */
export const run = (directory: string, script: string): Buffer =>
  execFileSync("bash", ["-euc", script], { cwd: directory, stdio: ["ignore", "pipe", "pipe"], maxBuffer: 2 ** 30 })

/** What a script writes that runs in a folder of its own. */
export const written = (script: string): Effect.Effect<Uint8Array> =>
  Effect.scoped(Effect.map(folder, (directory) => new Uint8Array(run(directory, script))))

/** The files that GNU tar unpacks from an archive, by path, each with its content. */
export const unpackedByTar = (archive: Uint8Array): Effect.Effect<ReadonlyMap<string, string>> =>
  Effect.scoped(Effect.map(folder, (directory) => {
    execFileSync("tar", ["xzf", "-", "--no-same-owner"], {
      cwd: directory,
      input: archive,
      stdio: ["pipe", "pipe", "ignore"]
    })
    const paths = run(directory, "find . -type f -print0").toString().split("\0").filter((path) => path !== "")
    return new Map(paths.map((path) => [path.slice(2), readFileSync(`${directory}/${path}`, "latin1")]))
  }))
