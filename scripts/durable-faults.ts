/**
 * Holds the promises of durable runs to their full numbers: three runners and a PostgreSQL of their own, on which something
 * happens while runs are under way. Prints a table, and fails where a turn ran twice in a session, a session stays alive, or a
 * run does not end. Takes some minutes; `npm run test:durable -- kill stall` does those whose names have one of the words.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Clock, Console, Effect, type Scope } from "effect"
import { makeTurnCounter, type Runner } from "../examples/durable/cluster.ts"
import { Sessions } from "../src/services/Sessions.ts"
import { AgentRuns, approval, sleep } from "../src/workflow.ts"
import { withWorld, type World } from "./durable-world.ts"
import { stayHere } from "./environment.ts"

stayHere()

interface Fault {
  readonly name: string
  readonly runs: number
  readonly turns: number
  /** Milliseconds that a turn takes, at most. */
  readonly takes: number
  /** What becomes of turns that are lost. */
  readonly whenUnknown?: "fail" | "repeatRun"
  /** Whether runs wait for a time and an approval behind each turn. */
  readonly waits?: boolean
  readonly environment?: Record<string, string>
  /** Is run when a third of the turns have begun, unless `at` gives another number. */
  readonly at?: number
  readonly strike: (world: World) => Effect.Effect<void, unknown, Scope.Scope>
}

const signal = (runner: Runner | undefined, name: NodeJS.Signals) => Effect.sync(() => runner?.process.kill(name))

const kill = ({ runners }: World, count: number) =>
  Effect.forEach(runners.slice(0, count), (runner) => signal(runner, "SIGKILL"), { discard: true })

/** Replaces runners by others one after another, of which some are killed and some asked to stop. */
const comeAndGo = Effect.fnUntraced(function*({ join, runners }: World) {
  let present = runners
  for (const name of ["SIGKILL", "SIGTERM", "SIGKILL", "SIGTERM"] as const) {
    const [oldest, ...others] = present
    yield* signal(oldest, name)
    present = [...others, yield* join]
    yield* Effect.sleep("2 seconds")
  }
})

const stalls = { LEASE: "36", LONGEST_STALL: "12" }

const faults: ReadonlyArray<Fault> = [
  { name: "nothing", runs: 50, turns: 3, takes: 600, strike: () => Effect.void },
  { name: "kill -9 of one runner", runs: 50, turns: 3, takes: 900, strike: (world) => kill(world, 1) },
  { name: "kill -9 of two runners", runs: 50, turns: 3, takes: 900, strike: (world) => kill(world, 2) },
  {
    name: "kill -9 of one runner, runs that are to fail",
    runs: 50,
    turns: 3,
    takes: 900,
    whenUnknown: "fail",
    strike: (world) => kill(world, 1)
  },
  {
    name: "kill -9 between claim and message",
    runs: 40,
    turns: 2,
    takes: 300,
    environment: { KEY_DELAY: "1500" },
    at: 1,
    strike: (world) => kill(world, 1)
  },
  {
    name: "messages later than the send window",
    runs: 20,
    turns: 2,
    takes: 300,
    environment: { KEY_DELAY: "2500" },
    strike: () => Effect.void
  },
  {
    name: "SIGTERM with turns of 40 s",
    runs: 9,
    turns: 1,
    takes: 40_000,
    environment: { LONGEST_TURN: "60" },
    at: 9,
    strike: ({ runners }) => Effect.andThen(Effect.sleep("3 seconds"), signal(runners[0], "SIGTERM"))
  },
  {
    name: "SIGSTOP for 30 s with a lease of 12 s",
    runs: 40,
    turns: 3,
    takes: 2000,
    environment: { SETTLE_TIME: "15" },
    strike: ({ runners }) =>
      signal(runners[0], "SIGSTOP").pipe(
        Effect.andThen(Effect.sleep("30 seconds")),
        Effect.andThen(signal(runners[0], "SIGCONT"))
      )
  },
  {
    name: "PostgreSQL killed and started again",
    runs: 40,
    turns: 3,
    takes: 900,
    environment: stalls,
    strike: ({ postgres }) => Effect.andThen(Effect.sync(postgres.kill), Effect.delay(postgres.restart, "3 seconds"))
  },
  {
    name: "PostgreSQL stalled for 12 s",
    runs: 40,
    turns: 3,
    takes: 900,
    environment: stalls,
    strike: ({ postgres }) =>
      Effect.flatMap(Effect.sync(postgres.stall), (goOn) => Effect.delay(Effect.sync(goOn), "12 seconds"))
  },
  {
    name: "runners come and go while runs wait",
    runs: 40,
    turns: 3,
    takes: 900,
    waits: true,
    at: 10,
    strike: comeAndGo
  },
  {
    name: "a row lock held, and a runner killed",
    runs: 40,
    turns: 3,
    takes: 900,
    strike: (world) =>
      Effect.gen(function*() {
        const { sql } = world
        yield* sql`SELECT * FROM ash_cluster_messages WHERE NOT processed FOR UPDATE`.pipe(
          Effect.andThen(Effect.sleep("1 minute")),
          sql.withTransaction,
          Effect.forkScoped
        )
        yield* Effect.sleep("200 millis")
        yield* kill(world, 1)
      })
  }
]

const longest = "6 minutes"

/** Approves what runs wait for. */
const approve = Effect.gen(function*() {
  const { approve, list } = yield* AgentRuns
  for (const { token } of yield* list({ state: "waiting", limit: 1000 })) {
    if (token !== undefined) yield* Effect.catchTag(approve(token), "ApprovalClosed", () => Effect.void)
  }
})

const stepsOf = (id: string, { turns, waits = false }: Fault) =>
  Array.from({ length: turns }, (_, turn) => `${id} turn ${turn}`).flatMap((prompt) =>
    waits ? [prompt, sleep("1 second"), approval("go on?")] : [prompt]
  )

const run = Effect.fn(function*(fault: Fault) {
  const { at = Math.ceil(fault.runs * fault.turns / 3), environment, runs: count, strike, takes } = fault
  const counter = makeTurnCounter(() => takes >= 10_000 ? takes : takes * (0.4 + 0.6 * Math.random()))
  return yield* withWorld(counter, environment ?? {}, (world) =>
    Effect.gen(function*() {
      const agentRuns = yield* AgentRuns
      const sessions = yield* Sessions
      const begun = yield* Clock.currentTimeMillis
      const ids = Array.from({ length: count }, (_, index) => `run-${index}`)
      yield* Effect.forEach(ids, (id) =>
        agentRuns.start({
          id,
          agent: "worker",
          steps: stepsOf(id, fault),
          collect: ["answer.txt"],
          whenUnknown: fault.whenUnknown ?? "repeatRun"
        }), { concurrency: 8 })
      yield* Effect.forkScoped(Effect.forever(Effect.delay(approve, "500 millis")))
      while (counter.turns() < at) yield* Effect.sleep("20 millis")
      yield* strike(world)
      const results = yield* Effect.forEach(
        ids,
        (id) => Effect.timeoutOption(Effect.result(agentRuns.result(id)), longest),
        { concurrency: "unbounded" }
      )
      const seconds = ((yield* Clock.currentTimeMillis) - begun) / 1000
      const alive = Effect.map(sessions.list(), (all) => all.filter(({ status }) => status !== "ended").length)
      for (let looks = 0; looks < 120 && (yield* alive) > 0; looks++) yield* Effect.sleep("1 second")
      const ended = results.flatMap((result) => result._tag === "Some" ? [result.value] : [])
      const succeeded = ended.flatMap((result) => result._tag === "Success" ? [result.success] : [])
      return {
        name: fault.name,
        runs: count,
        ended: ended.length,
        succeeded: succeeded.length,
        freshSessions: succeeded.reduce((sum, { generations }) => sum + generations - 1, 0),
        reconciled: succeeded.flatMap(({ turns }) => turns).filter(({ how }) => how === "reconciled").length,
        turns: counter.turns(),
        twice: counter.twice(),
        alive: yield* alive,
        seconds: seconds.toFixed(0)
      }
    }))
})

const columns = [
  ["fault", "name"],
  ["runs", "runs"],
  ["ended", "ended"],
  ["succeeded", "succeeded"],
  ["fresh sessions", "freshSessions"],
  ["read back", "reconciled"],
  ["turns seen", "turns"],
  ["twice in one session", "twice"],
  ["sessions alive", "alive"],
  ["seconds", "seconds"]
] as const

const words = process.argv.slice(2)

const program = Effect.gen(function*() {
  const wanted = faults.filter(({ name }) => words.length === 0 || words.some((word) => name.includes(word)))
  yield* Console.log(`| ${columns.map(([title]) => title).join(" | ")} |\n|${columns.map(() => " --- |").join("")}`)
  let isWhole = true
  for (const fault of wanted) {
    const row = yield* run(fault)
    isWhole &&= row.ended === row.runs && row.twice === 0 && row.alive === 0 &&
      (fault.whenUnknown === "fail" || row.succeeded === row.runs)
    yield* Console.log(`| ${columns.map(([, field]) => row[field]).join(" | ")} |`)
  }
  if (!isWhole) {
    yield* Console.error("a turn ran twice in a session, a session stayed alive, or a run did not end")
    process.exitCode = 1
  }
})

NodeRuntime.runMain(program)
