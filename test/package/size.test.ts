import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { resolve } from "node:path"
import { type Size, sizeOf, streamsOneTurn } from "../../bench/size.ts"

const root = resolve(import.meta.dirname, "../..")

interface Program {
  readonly name: string
  readonly code: string
  readonly platform?: "node"
  /** Bytes, minified and gzipped. What is over them has been looked at, and found worth it. */
  readonly whole: number
  readonly beyondEffect: number
}

const entry = (name: string) => `export * from "${name}"`

const programs: ReadonlyArray<Program> = [
  { name: "a program that streams one turn", code: streamsOneTurn, whole: 134_000, beyondEffect: 64_000 },
  {
    name: "examples/bundled/sessions.ts, which provides sessions alone",
    code: readFileSync(resolve(root, "examples/bundled/sessions.ts"), "utf8"),
    whole: 141_000,
    beyondEffect: 61_500
  },
  { name: "effect-ash", code: entry("effect-ash"), whole: 139_000, beyondEffect: 66_500 },
  { name: "effect-ash/schema", code: entry("effect-ash/schema"), whole: 63_500, beyondEffect: 14_700 },
  {
    name: "effect-ash/node",
    code: entry("effect-ash/node"),
    platform: "node",
    whole: 400_000,
    beyondEffect: 73_000
  },
  {
    name: "effect-ash/embedded",
    code: entry("effect-ash/embedded"),
    platform: "node",
    whole: 531_000,
    beyondEffect: 106_000
  }
]

/** Bytes, minified, of each room in the first program, when its budget was set: to name what grew. */
const rooms: Record<string, number> = {
  "effect": 230545,
  "src/schema": 39525,
  "src/internal/turn": 35134,
  "src/internal/request": 33135,
  "src/services": 14047,
  "src/internal/files": 12717,
  "src/services/session": 10703,
  "src/client": 8609,
  "src/layers": 850
}

const grown = (size: Size) =>
  size.rooms.flatMap(([room, bytes]) => {
    const before = rooms[room] ?? 0
    return bytes > before ? [`${room}: ${bytes} bytes before compression, ${bytes - before} more than at first`] : []
  }).join("\n")

describe("bundled programs, gzipped", () => {
  it.each(programs)("$name keeps to its budget", ({ beyondEffect, code, name, platform, whole }) => {
    const size = sizeOf(root, code, platform)
    const check = (bytes: number, budget: number, what: string) =>
      assert.isAtMost(bytes, budget, `${name}, ${what}, is over its budget:\n${grown(size)}\n`)
    check(size.beyondEffect, beyondEffect, "beyond effect")
    check(size.whole, whole, "with effect")
  })
})
