/** Runs scenarios: a process for each contender, and their rounds in turn, so that what disturbs one disturbs all. */
import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import type { Scenario } from "./scenarios.ts"
import type { Answer, Ask, Sample, Task } from "./worker.ts"

/** A peer, as a worker has it. */
export interface Contender {
  readonly label: string
  readonly peer: string
  /** The file that a process of it runs; none where the peer is not installed. */
  readonly worker: string | undefined
  /** The label of the contender that it is compared with. */
  readonly reference: string
}

/** What a contender was measured at, round by round, or why it was not. */
export interface Result {
  readonly contender: Contender
  readonly samples: ReadonlyArray<Sample>
  readonly problem?: string
}

/** Starts the replay server. Answers its origin. */
export const startServer = async (): Promise<{ readonly origin: string; readonly server: ChildProcess }> => {
  const server = fork(join(import.meta.dirname, "replayServer.ts"))
  const [origin] = await once(server, "message")
  return { origin: String(origin), server }
}

/** Seconds after which a round that is not over will never be. */
const patience = 180

const answerOf = (child: ChildProcess): Promise<Answer> =>
  new Promise((resolve) => {
    const timer = setTimeout(() => settle({ type: "failed", message: `no answer in ${patience} s` }), patience * 1000)
    const settle = (answer: Answer) => {
      clearTimeout(timer)
      child.off("message", settle)
      child.off("exit", onExit)
      resolve(answer)
    }
    const onExit = (code: number | null, signal: string | null) =>
      settle({ type: "failed", message: `the process ended: ${signal ?? `code ${code}`}` })
    child.on("message", settle)
    child.on("exit", onExit)
  })

/** A contender at work: its process, and what is known of it so far. */
class Runner {
  readonly contender: Contender
  readonly samples: Array<Sample> = []
  problem: string | undefined
  readonly #task: Task
  #child: ChildProcess | undefined

  constructor(contender: Contender, task: Task) {
    this.contender = contender
    this.#task = task
  }

  async start() {
    if (this.contender.worker === undefined) this.problem = "not installed"
    if (this.contender.worker === undefined || this.problem !== undefined) return
    this.#child = fork(this.contender.worker, [JSON.stringify(this.#task)], { execArgv: ["--expose-gc"] })
    this.#note(await answerOf(this.#child))
  }

  async round(ask: Ask): Promise<Sample | undefined> {
    if (this.problem !== undefined || this.#child === undefined) return undefined
    const answer = answerOf(this.#child)
    this.#child.send(ask)
    return this.#note(await answer)
  }

  async stop() {
    const child = this.#child
    this.#child = undefined
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const exit = once(child, "exit")
    child.kill("SIGKILL")
    await exit
  }

  #note(answer: Answer): Sample | undefined {
    if (answer.type === "sample") return answer.sample
    if (answer.type === "not installed") this.problem = "not installed"
    if (answer.type === "failed") this.problem = answer.message
    return undefined
  }
}

/** In any order, so that none is always the one after a slow one. */
const shuffled = <A>(values: ReadonlyArray<A>): ReadonlyArray<A> =>
  values.map((value) => ({ value, place: Math.random() }))
    .toSorted((a, b) => a.place - b.place)
    .map(({ value }) => value)

export const runScenario = async (
  { rounds, warmUps, work }: Scenario,
  contenders: ReadonlyArray<Contender>,
  origin: string,
  ask: Ask = "round"
): Promise<ReadonlyArray<Result>> => {
  const runners = contenders.map((contender) => new Runner(contender, { peer: contender.peer, origin, work }))
  // A round has a process of its own where what stays open would be in the way of the next, and where beginnings count.
  const isFresh = ["idle", "long", "cold"].includes(work.kind)
  try {
    if (!isFresh) await Promise.all(runners.map((runner) => runner.start()))
    for (let round = -warmUps; round < rounds; round++) {
      for (const runner of shuffled(runners)) {
        // What the one before still has to clean up, in threads of its own, is not to be this one's burden.
        await delay(20)
        if (isFresh) await runner.start()
        const sample = await runner.round(round < 0 ? "round" : ask)
        if (sample !== undefined && round >= 0) runner.samples.push(sample)
        if (isFresh) await runner.stop()
      }
    }
  } finally {
    for (const runner of runners) await runner.stop()
  }
  return runners.map(({ contender, problem, samples }) => ({
    contender,
    samples,
    ...(problem === undefined ? {} : { problem })
  }))
}
