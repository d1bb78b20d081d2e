/** Runs every check but the tests, one after another, and fails at the first that fails or changes the tree. */
import { execFileSync, spawnSync } from "node:child_process"

const checks = [
  "check:types",
  "check:effect",
  "check:lint",
  "check:format",
  "check:package", // builds as well, before it packs
  "check:command",
  "check:unused",
  "check:docs",
  "check:examples",
  "check:conformance"
]

const treeStatus = () => execFileSync("git", ["status", "--porcelain"], { encoding: "utf8" })

const before = treeStatus()
for (const check of checks) {
  console.log(`\n${check}`)
  const { status } = spawnSync("npm", ["run", "--silent", check], { stdio: ["ignore", "inherit", "inherit"] })
  if (status !== 0) {
    console.error(`\n${check} failed`)
    process.exit(1)
  }
}
const after = treeStatus()
if (after !== before) {
  console.error(`\nThe checks changed the tree:\n${after}`)
  process.exit(1)
}
console.log(`\n${checks.length} checks passed`)
