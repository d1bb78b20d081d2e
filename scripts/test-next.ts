/** Runs types and tests on the newest release of Effect that the registry has, in a copy: the tree stays as it is. */
import { execFileSync, spawnSync } from "node:child_process"
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { stayHere } from "./environment.ts"

stayHere()

const names = ["effect", "@effect/platform-node", "@effect/vitest"] as const

const newest = Object.fromEntries(
  names.map((name) => [name, execFileSync("npm", ["view", name, "dist-tags.latest"], { encoding: "utf8" }).trim()])
)

/** The dependencies of a kind, those of Effect at their newest. */
const updated = (dependencies: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(dependencies).map(([name, version]) => [name, newest[name] ?? version]))

/** Copies what git knows of or would add, as it is in the tree. */
const copy = (folder: string) => {
  const files = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
    encoding: "utf8"
  })
  for (const file of files.split("\0")) {
    if (file !== "" && existsSync(file)) cpSync(file, join(folder, file), { verbatimSymlinks: true })
  }
  const manifest = JSON.parse(readFileSync("package.json", "utf8"))
  writeFileSync(
    join(folder, "package.json"),
    JSON.stringify({
      ...manifest,
      devDependencies: updated(manifest.devDependencies),
      peerDependencies: updated(manifest.peerDependencies)
    })
  )
}

const folder = mkdtempSync(join(tmpdir(), "effect-ash-next-"))

/** What `npm run` puts before the PATH are the programs of the tree, where those of the copy are meant. */
const env = { ...process.env, PATH: `${join(folder, "node_modules/.bin")}:${process.env["PATH"] ?? ""}` }

const run = (...args: ReadonlyArray<string>) => {
  console.log(`\nnpm ${args.join(" ")}`)
  return spawnSync("npm", args, { cwd: folder, env, stdio: ["ignore", "inherit", "inherit"] }).status === 0
}

try {
  console.log(Object.entries(newest).map(([name, version]) => `${name} ${version}`).join(", "))
  copy(folder)
  const passed = run("install", "--no-audit", "--no-fund") &&
    [run("run", "--silent", "check:types"), run("test", "--silent")].every((succeeded) => succeeded)
  process.exitCode = passed ? 0 : 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}
