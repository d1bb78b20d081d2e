/** Runs allocation.ts where the count is the same each time. */
import { spawnSync } from "node:child_process"
import { join } from "node:path"

/** Bytes. */
export interface Allocated {
  readonly perEvent: number
  readonly perTurn: number
  /** The same of a server that takes content in two blocks or more alone, as servers of today do. */
  readonly perTurnInBlocks: number
  readonly perRequest: number
  readonly keptByTurn: number
}

/** One thread, only the interpreter, and room for all that is allocated. */
const flags = [
  "--predictable",
  "--single-threaded",
  "--no-opt",
  "--no-maglev",
  "--no-sparkplug",
  "--min-semi-space-size=512",
  "--max-semi-space-size=512",
  "--expose-gc"
]

/** Counts what the package in a folder allocates. */
export const allocatedIn = (root: string): Allocated => {
  const program = join(root, "bench/allocation.ts")
  const { stderr, stdout } = spawnSync(process.execPath, [...flags, "--conditions=effect-ash-source", program], {
    encoding: "utf8",
    env: { ...process.env, NODE_OPTIONS: "" }
  })
  if (!stdout.includes("perEvent")) throw new Error(stderr)
  return JSON.parse(stdout)
}
