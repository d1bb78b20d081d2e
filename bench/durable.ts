/** How fast runs are that survive their machine: three runners, PostgreSQL and an embedded server on this machine. */
import { NodeRuntime } from "@effect/platform-node"
import { Clock, Console, Effect } from "effect"
import { makeTurnCounter } from "../examples/durable/cluster.ts"
import { withWorld } from "../scripts/durable-world.ts"
import { AgentRuns } from "../src/workflow.ts"

const runs = 50
const steps = (id: string, count: number) => Array.from({ length: count }, (_, turn) => `${id} turn ${turn}`)

/** Milliseconds that runs took together, by the database's clock. */
const together = Effect.fn(function*(prefix: string, turns: number) {
  const agentRuns = yield* AgentRuns
  const ids = Array.from({ length: runs }, (_, index) => `${prefix}-${index}`)
  yield* Effect.forEach(ids, (id) => agentRuns.start({ id, agent: "worker", steps: steps(id, turns) }), {
    concurrency: "unbounded",
    discard: true
  })
  yield* Effect.forEach(ids, (id) => agentRuns.result(id, { every: 100 }), { concurrency: "unbounded", discard: true })
  const all = yield* Effect.forEach(ids, agentRuns.status, { concurrency: 8 })
  const ended = all.flatMap(({ endedAt }) => endedAt === undefined ? [] : [endedAt.epochMilliseconds])
  return Math.max(...ended) - Math.min(...all.map(({ createdAt }) => createdAt.epochMilliseconds))
})

/** Milliseconds that one run takes alone. */
const alone = Effect.fn(function*(id: string, turns: number) {
  const agentRuns = yield* AgentRuns
  const begun = yield* Clock.currentTimeMillis
  yield* agentRuns.start({ id, agent: "worker", steps: steps(id, turns) })
  yield* agentRuns.result(id, { every: 5 })
  return (yield* Clock.currentTimeMillis) - begun
})

const median = (numbers: ReadonlyArray<number>) =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0

const program = withWorld(makeTurnCounter(() => 0), {}, () =>
  Effect.gen(function*() {
    yield* together("warm", 1)
    const rate = (took: number) => (runs * 1000 / took).toFixed(0)
    const one = rate(yield* together("one", 1))
    const four = rate(yield* together("four", 4))
    const short = median(yield* Effect.forEach([1, 2, 3, 4, 5], (index) => alone(`short-${index}`, 1)))
    const long = median(yield* Effect.forEach([1, 2, 3, 4, 5], (index) => alone(`long-${index}`, 21)))
    yield* Console.log("| 50 runs at once, of 1 turn | of 4 turns | a run of 1 turn, p50 | a turn more, p50 |")
    yield* Console.log("| --- | --- | --- | --- |")
    yield* Console.log(`| ${one} runs/s | ${four} runs/s | ${short} ms | ${((long - short) / 20).toFixed(0)} ms |`)
  }))

NodeRuntime.runMain(program)
