/** Another commit of this package, checked out beside it for as long as it is measured. */
import { execFileSync } from "node:child_process"
import { cpSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

export interface Checkout {
  readonly root: string
  /** The commit, abbreviated. */
  readonly name: string
  readonly remove: () => void
}

/** Checks a commit out into a temporary worktree, with the bench of this one and the packages of this one. */
export const checkOut = (root: string, commit: string): Checkout => {
  const git = (...parameters: ReadonlyArray<string>) =>
    execFileSync("git", ["-C", root, ...parameters], { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] }).trim()
  const name = git("rev-parse", "--short", `${commit}^{commit}`)
  const folder = join(mkdtempSync(join(tmpdir(), "effect-ash-bench-")), name)
  git("-c", "advice.detachedHead=false", "worktree", "add", "--quiet", "--detach", folder, name)
  symlinkSync(realpathSync(join(root, "node_modules")), join(folder, "node_modules"))
  rmSync(join(folder, "bench"), { recursive: true, force: true })
  cpSync(join(root, "bench"), join(folder, "bench"), { recursive: true })
  return {
    root: folder,
    name,
    remove: () => {
      git("worktree", "remove", "--force", folder)
      rmSync(join(folder, ".."), { recursive: true, force: true })
    }
  }
}
