/** Holds the promises of the SDK to their full numbers, and prints what became of them as a table. */
import { spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

interface Row {
  readonly promise: string
  readonly title: string
  readonly cases: number
  readonly failures: number
  readonly note: string
}

const folder = mkdtempSync(join(tmpdir(), "effect-ash-faults-"))
const report = join(folder, "report.jsonl")
writeFileSync(report, "")
const { status } = spawnSync("npx", ["vitest", "run", "test/faults", "--reporter=dot", "--silent"], {
  env: { ...process.env, FAULTS_REPORT: report },
  stdio: ["ignore", "inherit", "inherit"]
})
const rows: ReadonlyArray<Row> = readFileSync(report, "utf8").split("\n").filter((line) => line !== "").map((line) =>
  JSON.parse(line)
)
rmSync(folder, { recursive: true })

/** `P2` before `P11`, and both before what has no number. */
const rank = ({ promise }: Row) => /^P\d+$/.test(promise) ? Number(promise.slice(1)) : Infinity

console.log("\n| promise | what is held | cases | failures | |\n| --- | --- | ---: | ---: | --- |")
for (const { cases, failures, note, promise, title } of rows.toSorted((a, b) => rank(a) - rank(b))) {
  console.log(`| ${promise} | ${title} | ${cases.toLocaleString("en")} | ${failures} | ${note} |`)
}
const failures = rows.reduce((sum, row) => sum + row.failures, 0)
console.log(`\n${rows.length} rows, ${failures} failures`)
process.exit(status === 0 && failures === 0 ? 0 : 1)
