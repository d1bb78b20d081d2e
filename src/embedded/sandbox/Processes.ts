/** Ends processes that commands leave in the background, also those that left their process group. */
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { readdirSync, readFileSync, readlinkSync } from "node:fs"
import { join } from "node:path"
import nodeProcess from "node:process"

/** Whether a process, or with a minus its group, is there. */
export const isAlive = (pid: number): boolean =>
  Result.match(Result.try(() => nodeProcess.kill(pid, 0)), {
    onSuccess: () => true,
    // The process of another user is there, and refuses the signal.
    onFailure: (error) => error instanceof Error && "code" in error && error.code === "EPERM"
  })

/** Ends a process, or with a minus its group. */
export const kill = (pid: number): void => {
  Result.try(() => nodeProcess.kill(pid, "SIGKILL"))
}

const attempt = <A>(read: () => A): Option.Option<A> => Result.getSuccess(Result.try(read))

/** Whether a process works in a folder and has no terminal. A shell in which the user visits the folder has one. */
const worksIn = (pid: string, folder: string): boolean =>
  Option.exists(
    attempt(() => readlinkSync(join("/proc", pid, "cwd"))),
    (directory) => `${directory}/`.startsWith(`${folder}/`)
  ) &&
  Option.exists(attempt(() => readFileSync(join("/proc", pid, "stat"), "latin1")), (stat) =>
    // After the name, which may hold any character: state, parent, group, session, terminal.
    stat.slice(stat.lastIndexOf(")") + 2).split(" ").at(4) === "0")

/** Whether a command in a folder, or below it, started a process. Only Linux reports it. */
const belongsTo = (pid: string, folder: string): boolean =>
  Option.exists(
    attempt(() => readFileSync(join("/proc", pid, "environ"), "utf8")),
    (environment) =>
      environment.split("\0").some((variable) => `${variable}/`.startsWith(`ASH_WORKSPACE_DIR=${folder}/`))
  ) || worksIn(pid, folder)

/** Ends the processes that commands in a folder started. They may start others meanwhile, so it looks again. */
export const endIn = (folder: string): void => {
  for (let attempts = 0; attempts < 10; attempts++) {
    const pids = Option.getOrElse(attempt(() => readdirSync("/proc")), () => []).filter((name) =>
      /^\d+$/.test(name) && Number(name) !== nodeProcess.pid && belongsTo(name, folder)
    )
    if (pids.length === 0) return
    for (const pid of pids) kill(Number(pid))
  }
}
