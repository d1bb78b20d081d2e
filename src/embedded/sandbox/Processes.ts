/** Ends what commands leave behind: processes that went into the background, also those that left their group. */
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { readdirSync, readFileSync, readlinkSync } from "node:fs"
import { join } from "node:path"
import nodeProcess from "node:process"

/** Whether a process, or with a minus its group, is there. */
export const isAlive = (pid: number): boolean =>
  Result.match(Result.try(() => nodeProcess.kill(pid, 0)), {
    onSuccess: () => true,
    // Only one that is somebody else's refuses to be asked.
    onFailure: (error) => error instanceof Error && "code" in error && error.code === "EPERM"
  })

/** Ends a process, or with a minus its group. */
export const kill = (pid: number): void => {
  Result.try(() => nodeProcess.kill(pid, "SIGKILL"))
}

const attempt = <A>(read: () => A): Option.Option<A> => Result.getSuccess(Result.try(read))

/** Whether a process works in a folder and has no terminal, as a shell of the user has that looks into the folder. */
const worksIn = (pid: string, folder: string): boolean =>
  Option.exists(
    attempt(() => readlinkSync(join("/proc", pid, "cwd"))),
    (directory) => `${directory}/`.startsWith(`${folder}/`)
  ) &&
  Option.exists(attempt(() => readFileSync(join("/proc", pid, "stat"), "latin1")), (stat) =>
    // Behind the name, which may hold anything: state, parent, group, session, terminal.
    stat.slice(stat.lastIndexOf(")") + 2).split(" ").at(4) === "0")

/** Whether a process was started by a command whose workspace is a folder, or lies in it. Known on Linux only. */
const belongsTo = (pid: string, folder: string): boolean =>
  Option.exists(
    attempt(() => readFileSync(join("/proc", pid, "environ"), "utf8")),
    (environment) =>
      environment.split("\0").some((variable) => `${variable}/`.startsWith(`ASH_WORKSPACE_DIR=${folder}/`))
  ) || worksIn(pid, folder)

/** Ends what commands of a folder started. A process may start another one meanwhile, so it looks again. */
export const endIn = (folder: string): void => {
  for (let attempts = 0; attempts < 10; attempts++) {
    const pids = Option.getOrElse(attempt(() => readdirSync("/proc")), () => []).filter((name) =>
      /^\d+$/.test(name) && Number(name) !== nodeProcess.pid && belongsTo(name, folder)
    )
    if (pids.length === 0) return
    for (const pid of pids) kill(Number(pid))
  }
}
