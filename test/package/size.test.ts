import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { resolve } from "node:path"
import { type Size, sizeOf, streamsByMessages, streamsOneTurn } from "../../bench/size.ts"

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
  { name: "a program that streams one turn", code: streamsOneTurn, whole: 151_000, beyondEffect: 81_000 },
  { name: "the same by Messages alone", code: streamsByMessages, whole: 117_500, beyondEffect: 55_000 },
  {
    name: "examples/bundled/sessions.ts, which provides sessions alone",
    code: readFileSync(resolve(root, "examples/bundled/sessions.ts"), "utf8"),
    whole: 156_500,
    beyondEffect: 76_550
  },
  { name: "effect-ash", code: entry("effect-ash"), whole: 158_500, beyondEffect: 85_500 },
  { name: "effect-ash/schema", code: entry("effect-ash/schema"), whole: 58_000, beyondEffect: 16_000 },
  { name: "effect-ash/node", code: entry("effect-ash/node"), platform: "node", whole: 418_800, beyondEffect: 93_000 },
  { name: "effect-ash/promise", code: entry("effect-ash/promise"), whole: 157_250, beyondEffect: 84_500 },
  {
    name: "effect-ash/workflow",
    code: entry("effect-ash/workflow"),
    platform: "node",
    whole: 218_000,
    beyondEffect: 94_000
  },
  { name: "effect-ash/ai", code: entry("effect-ash/ai"), whole: 160_000, beyondEffect: 82_000 },
  { name: "effect-ash/web", code: entry("effect-ash/web"), whole: 170_500, beyondEffect: 82_250 },
  {
    name: "effect-ash/embedded",
    code: entry("effect-ash/embedded"),
    platform: "node",
    whole: 542_000,
    beyondEffect: 124_000
  }
]

/** Bytes, minified, of each room in the first program, when its budget was set: to name what grew. */
const rooms: Record<string, number> = {
  "effect": 234181,
  "src/internal/turn": 47351,
  "src/internal/request": 34626,
  "src/schema": 34414,
  "src/services/session": 18334,
  "src/services": 14751,
  "src/internal/files": 12727,
  "src/client": 9020,
  "src/internal/telemetry": 8862,
  "src/schema/api": 8345,
  "src/layers": 868
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
