/**
 * Processes that share a database and a server, and a strike on one of them at a statement: durable runs have to come to the
 * same end. All of it runs in this process and on one clock, the database's too, which goes on only when nothing else does.
 */
import * as Clock from "effect/Clock"
import * as RunnerHealth from "effect/cluster/RunnerHealth"
import * as Runners from "effect/cluster/Runners"
import * as Sharding from "effect/cluster/Sharding"
import * as ShardingConfig from "effect/cluster/ShardingConfig"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import { isSqlError, type SqlError } from "effect/sql/SqlError"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { AgentScript } from "../../src/embedded.ts"
import { layerHttpClient } from "../../src/embedded/EmbeddedServer.ts"
import * as Ash from "../../src/layers/Ash.ts"
import { Agents } from "../../src/services/Agents.ts"
import { Sessions } from "../../src/services/Sessions.ts"
import { type AgentRunPayload, approval, ask, sleep } from "../../src/workflow/AgentRun.ts"
import { AgentRuns } from "../../src/workflow/AgentRuns.ts"
import * as AshWorkflow from "../../src/workflow/AshWorkflow.ts"
import type { RunStatus } from "../../src/workflow/RunStatus.ts"
import * as Databases from "./databases.ts"

/**
 * What happens at a statement, or to its session, which another program may end. Where the process is gone, none of its statements and requests comes back, and the database
 * has rolled back what was open. A process that is frozen goes on when it is thawed.
 */
type Kind =
  | "fails before"
  | "fails behind"
  | "is ended"
  | "fails for a while"
  | "gone before"
  | "gone behind"
  | "frozen before"
  | "frozen behind"

/** Where a process is struck: at the statement of this number, from 0, of those that count. */
interface Strike {
  readonly at: number
  readonly kind: Kind
  readonly of?: RegExp | undefined
}

/** Waits until what is due has run, and no longer. */
const round = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

/** What processes share. */
interface World {
  readonly database: Databases.Shared
  readonly http: HttpClient.HttpClient
  readonly now: () => number
  /** What has ended so far, and what is under way that is driven by no clock: statements, and the disk of the server. */
  readonly seen: { count: number; underWay: number }
  /** Lets the clock go on by a second, when nothing else goes on. */
  readonly tick: Effect.Effect<void>
}

/** Counts what the clock has to wait for, however slow the disk is. */
const busy = ({ seen }: Pick<World, "seen">): Databases.Busy => (effect) =>
  Effect.acquireUseRelease(
    Effect.sync(() => seen.underWay += 1),
    () => effect,
    () =>
      Effect.sync(() => {
        seen.underWay -= 1
        seen.count += 1
      })
  )

/** The year 2027: what is measured from the epoch is not near its beginning. */
const beginning = 1_800_000_000_000

const makeWorld = Effect.fnUntraced(function*(
  makeDatabase: Databases.Make,
  onTurn: (turn: AgentScript.AgentTurn) => void
) {
  const clock = yield* Clock.Clock
  yield* TestClock.setTime(beginning)
  const database = yield* makeDatabase(beginning)
  const now = () => clock.currentTimeMillisUnsafe()
  const seen = { count: 0, underWay: 0 }
  const script: AgentScript.AgentScript = (turn) => {
    onTurn(turn)
    const { prompt, workspace } = turn
    const write = busy({ seen })(workspace.writeFile("answer.txt", prompt))
    return Stream.fromEffect(Effect.as(write, AgentScript.say(`done: ${prompt}`)))
  }
  const http = yield* HttpClient.HttpClient.pipe(Effect.provide(yield* Layer.build(layerHttpClient({ script }))))
  const tick = Effect.gen(function*() {
    for (let before = -1, quiet = 0; quiet < 8;) {
      quiet = seen.underWay > 0 || before !== seen.count ? 0 : quiet + 1
      before = seen.count
      yield* round
    }
    yield* database.setTime(now() + 1000)
    yield* TestClock.adjust("1 second")
  })
  return { database, http, now, seen, tick } satisfies World
})

const ash = (http: HttpClient.HttpClient) =>
  Ash.layerWithClient({ url: "http://ash.test", apiKey: "embedded" }).pipe(
    Layer.provide(Layer.succeed(HttpClient.HttpClient, http))
  )

/** A process: its database and its server, until it is struck. */
const makeProcess = (world: World, name: string, strike?: Strike) => {
  const thawed = Deferred.makeUnsafe<void>()
  const state = { statements: 0, struck: undefined as string | undefined, isStopped: false, until: 0 }
  const { database } = world
  const pause = database.whileOthers(Deferred.await(thawed))
  const stop = Effect.suspend(() => {
    state.isStopped = true
    return Effect.andThen(database.end(name), pause)
  })
  const happen = <A>(
    kind: Kind,
    statement: Effect.Effect<A, SqlError>,
    { isTransaction, lose }: Databases.Session
  ): Effect.Effect<A, SqlError> => {
    const failed = Effect.andThen(lose, Effect.fail(Databases.lost))
    // One that is frozen in a transaction would stop all that share the database: it is lost by a timer of the server.
    const freeze = Effect.andThen(Effect.suspend(() => isTransaction() ? lose : Effect.void), stop)
    switch (kind) {
      case "fails before":
        return failed
      case "is ended":
        return Effect.andThen(lose, statement)
      case "fails for a while":
        return Effect.suspend(() => {
          state.until = world.now() + 30_000
          return Effect.andThen(database.end(name), failed)
        })
      case "fails behind":
        return Effect.andThen(statement, failed)
      case "gone before":
        return Effect.andThen(lose, Effect.andThen(stop, Effect.never))
      case "gone behind":
        return Effect.andThen(statement, Effect.andThen(lose, Effect.andThen(stop, Effect.never)))
      case "frozen before":
        return Effect.andThen(freeze, statement)
      case "frozen behind":
        return Effect.tap(statement, () => freeze)
    }
  }
  const around: Databases.Around = (statement, text, session) =>
    Effect.andThen(
      Effect.suspend(() => state.isStopped ? pause : Effect.void),
      Effect.suspend(() => {
        if (world.now() < state.until) return Effect.fail(Databases.lost)
        const own = busy(world)(statement)
        if (strike === undefined || strike.of?.test(text) === false) return own
        if (state.statements++ !== strike.at) return own
        state.struck = text
        return happen(strike.kind, own, { ...session, lose: busy(world)(session.lose) })
      })
    )
  const http = HttpClient.transform(world.http, (response) =>
    Effect.andThen(
      Effect.suspend(() => state.isStopped ? Deferred.await(thawed) : Effect.void),
      busy(world)(response)
    ))
  return {
    state,
    thaw: Effect.suspend(() => {
      state.isStopped = false
      return Deferred.done(thawed, Exit.void)
    }),
    layer: Layer.merge(database.client(name, around, busy(world)), ash(http))
  }
}

/** The clock of a machine that is set wrong. */
const ahead = (clock: Clock.Clock, millis: number): Clock.Clock => {
  const at = () => clock.currentTimeMillisUnsafe() + millis
  const nanos = () => clock.currentTimeNanosUnsafe() + BigInt(millis) * 1_000_000n
  return {
    currentTimeMillisUnsafe: at,
    currentTimeMillis: Effect.sync(at),
    currentTimeNanosUnsafe: nanos,
    currentTimeNanos: Effect.sync(nanos),
    monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
    monotonicTimeNanos: clock.monotonicTimeNanos,
    sleep: (duration) => clock.sleep(duration)
  }
}

/** Runners that have nothing between them but the database. */
const transport = ({ shardingConfig }: AshWorkflow.RunnerTransportOptions) =>
  Sharding.layer.pipe(
    Layer.provideMerge(Runners.layerNoop),
    Layer.provide(RunnerHealth.layerNoop),
    Layer.provide(ShardingConfig.layer(shardingConfig))
  )

type Runs = AgentRuns["Service"]

/** What is done with runs, by a program that is begun again in another process where the first one has gone. */
export interface Scenario {
  readonly name: string
  readonly kinds: ReadonlyArray<Kind>
  /** Which statements are struck. @default all */
  readonly of?: RegExp
  /** Each of so many statements is struck where not all are. */
  readonly step: number
  /** Whether the processes are runners of a cluster. */
  readonly isCluster?: boolean
  /** By how many milliseconds the clock of a runner is wrong that is there beside the others. @default there is none */
  readonly beside?: number
  readonly options?: AshWorkflow.SingleOptions
  readonly program: (runs: Runs) => Effect.Effect<unknown, unknown>
  /** What the process does that comes behind the struck one. @default the same */
  readonly other?: (runs: Runs) => Effect.Effect<unknown, unknown>
  /** What is wrong with what came of it, beside what is wrong in any case. */
  readonly wrong: (outcome: Outcome) => ReadonlyArray<string>
}

/** What came of it. */
interface Outcome extends Strike {
  /** What the program answered, in the last process that was to run it. */
  readonly answer: unknown
  /** The states of the runs, by their rows. */
  readonly states: ReadonlyArray<unknown>
  /** How many places are taken. */
  readonly places: number
  readonly turns: ReadonlyMap<string, number>
}

/** How many seconds are waited for what comes by itself. */
const patience = 160

/** A fiber's value, once it has ended; undefined where its process has stopped, or the patience is over. */
const waitFor = Effect.fnUntraced(function*<A, E>(
  { tick }: World,
  fiber: Fiber.Fiber<A, E>,
  process?: ReturnType<typeof makeProcess>
) {
  for (let ticks = 0; ticks < patience && fiber.pollUnsafe() === undefined && !process?.state.isStopped; ticks++) {
    yield* tick
  }
  const exit = fiber.pollUnsafe()
  return exit?._tag === "Success" ? exit.value : undefined
})

/** Does something in a world of its own, with a process that is struck, and tells what is wrong then. */
const strikeAt = Effect.fnUntraced(
  function*(
    { beside, isCluster = false, options, other, program, wrong }: Scenario,
    strike: Strike,
    makeDatabase: Databases.Make
  ) {
    const { at, kind } = strike
    const turns = new Map<string, number>()
    const world = yield* makeWorld(makeDatabase, ({ prompt, session }) => {
      const key = `${session.id} ${prompt}`
      turns.set(key, (turns.get(key) ?? 0) + 1)
    })
    const admin = yield* Layer.build(ash(world.http))
    yield* Effect.provide(Effect.flatMap(Agents, (agents) => agents.create({ name: "worker" })), admin)
    if (options?.migrate !== true) {
      yield* Effect.scoped(
        Layer.build(Layer.provide(AshWorkflow.layerMigrations(), makeProcess(world, "migrations").layer))
      )
    }
    const own = {
      migrate: false,
      orphans: { agents: ["worker"], olderThan: "2 minutes", every: "15 seconds" },
      ...options
    } as const
    let port = 0
    const runner = () =>
      isCluster
        ? AshWorkflow.layerRunner({ ...own, cluster: "strikes", port: ++port, transport })
        : AshWorkflow.layerSingle(own)
    const begin = (process: ReturnType<typeof makeProcess>, program: Scenario["program"], scope: Scope.Scope) =>
      Layer.buildWithScope(Layer.provide(runner(), process.layer), scope).pipe(
        Effect.flatMap((services) => program(Context.get(services, AgentRuns))),
        Effect.forkIn(scope)
      )
    const living = Scope.makeUnsafe()
    if (beside !== undefined) {
      const clock = ahead(yield* Clock.Clock, beside)
      const there = yield* begin(makeProcess(world, "beside"), () => Effect.succeed("there"), living).pipe(
        Effect.provideService(Clock.Clock, clock)
      )
      yield* waitFor(world, there)
    }
    const one = makeProcess(world, "one", strike)
    // What has gone is not closed: that would be the end of a process that is asked to.
    const first = yield* begin(one, program, kind.startsWith("gone") ? Scope.makeUnsafe() : living)
    let answer = yield* waitFor(world, first, one)
    // Behind the end of the program a runner looks at the database for ever.
    const isStruck = one.state.struck !== undefined
    if (answer === undefined) {
      // Numbers of messages go by the clock: a process begins later than the one before it.
      yield* TestClock.adjust("1 second")
      const two = makeProcess(world, "two")
      answer = yield* waitFor(world, yield* begin(two, other ?? program, living), two)
      if (kind.startsWith("frozen")) {
        yield* one.thaw
        yield* waitFor(world, first)
      }
    }
    const alive = Effect.flatMap(Sessions, ({ list }) => list()).pipe(
      Effect.map((sessions) => sessions.filter(({ status }) => status !== "ended").length),
      Effect.provide(admin)
    )
    for (let ticks = 0; ticks < patience && (yield* alive) > 0; ticks++) yield* world.tick
    const left = yield* alive
    // A runner that is asked to stop waits for what it has under way, by the clock.
    yield* waitFor(world, yield* Effect.forkDetach(Scope.close(living, Exit.void)))
    const { query } = world.database
    const states = (yield* query("SELECT state FROM ash_runs")).map(({ state }) => state)
    const places = (yield* query("SELECT * FROM ash_places")).length
    const faults = [
      ...(left === 0 ? [] : [`${left} sessions are alive`]),
      ...[...turns].flatMap(([turn, times]) => times === 1 ? [] : [`${turn} was sent ${times} times`]),
      ...wrong({ ...strike, answer, turns, states, places })
    ].map((fault) => `${kind} the statement ${at}, ${one.state.struck}: ${fault}`)
    return { faults, isStruck }
  },
  Effect.scoped,
  Effect.provide(TestClock.layer()),
  Effect.provide(Logger.layer([]))
)

/** Strikes at every statement, or at each of so many, those of one kind beside those of another. */
export const strikes = Effect.fnUntraced(function*(scenario: Scenario, makeDatabase: Databases.Make) {
  const { step } = scenario
  const faults: Array<string> = []
  let count = 0
  for (const [index, kind] of scenario.kinds.entries()) {
    for (let at = index % step;; at += step) {
      const outcome = yield* strikeAt(scenario, { at, kind, of: scenario.of }, makeDatabase)
      if (!outcome.isStruck) break
      count += 1
      faults.push(...outcome.faults)
    }
  }
  return { count, faults }
})

/** A call that is made again where the database did not answer. */
const again = <A, E, R>(call: Effect.Effect<A, E, R>) =>
  Effect.retry(call, { while: isSqlError, schedule: Schedule.spaced("100 millis") })

/** Does something as often as it is due, until the run has ended. */
const untilEnd = Effect.fnUntraced(function*(
  runs: Runs,
  act: (status: RunStatus) => Effect.Effect<unknown, unknown>
) {
  while (true) {
    const status = yield* again(runs.status("one"))
    if (status.endedAt !== undefined) return yield* Effect.result(again(runs.result("one")))
    yield* Effect.andThen(act(status), Effect.sleep("500 millis"))
  }
})

const approve = (runs: Runs) => ({ token }: RunStatus) =>
  token === undefined ? Effect.void : Effect.catchTag(again(runs.approve(token)), "ApprovalClosed", () => Effect.void)

const differs = (what: string, is: unknown, should: unknown) =>
  JSON.stringify(is) === JSON.stringify(should) ? [] : [`${what} ${JSON.stringify(is)}`]

const dying: ReadonlyArray<Kind> = ["gone before", "gone behind", "fails before", "fails behind", "fails for a while"]

const run: AgentRunPayload = {
  id: "one",
  agent: "worker",
  files: [{ path: "in.txt", content: "in" }],
  steps: ["first", approval("go on?"), sleep("5 seconds"), "second"],
  collect: ["answer.txt"],
  whenUnknown: "repeatRun"
}

/** A run that does all that a run can. */
const whole: Scenario = {
  name: "a run with files, turns, an approval and a time",
  kinds: dying,
  step: 61,
  options: { maxRunning: 1 },
  program: Effect.fnUntraced(function*(runs) {
    yield* again(runs.start(run))
    const end = yield* untilEnd(runs, approve(runs))
    return end._tag === "Success" ? end.success.text : end.failure._tag
  }),
  wrong: ({ answer, places, states }) => [
    ...differs("it ended with", answer, "done: second"),
    ...differs("its row is", states, ["succeeded"]),
    ...differs("places that are taken:", places, 0)
  ]
}

/** The same, by runners that cannot confirm their locks: what one answers then is not written down. */
const unconfirmed: Scenario = {
  ...whole,
  name: "a run of a runner that loses touch with its locks",
  kinds: ["fails behind", "fails for a while"],
  of: /_locks/,
  step: 7,
  isCluster: true
}

const prompts = (id: string) => [`${id} first`, `${id} second`]

/** Runs at once, by a plan and by steps, of which some run on a runner whose clock is wrong. */
const several: Scenario = {
  name: "runs beside each other, by a plan and by steps, on runners whose clocks differ",
  kinds: ["fails behind", "gone before", "gone behind"],
  step: 211,
  isCluster: true,
  beside: 45_000,
  options: {
    maxRunning: 2,
    plans: {
      both: ({ id, step }) => {
        const prompt = prompts(id)[step]
        return Effect.succeed(prompt === undefined ? undefined : ask(prompt))
      }
    }
  },
  program: (runs) =>
    Effect.forEach(["a", "b", "c", "d"], (id, index) => {
      const how = index % 2 === 0 ? { plan: "both" } : { steps: prompts(id) }
      return again(runs.start({ id, agent: "worker", ...how, whenUnknown: "repeatRun" })).pipe(
        Effect.andThen(again(runs.result(id))),
        Effect.match({ onFailure: ({ _tag }) => _tag, onSuccess: ({ text }) => text })
      )
    }, { concurrency: "unbounded" }),
  wrong: ({ answer, places, states }) => [
    ...differs("they ended with", answer, ["a", "b", "c", "d"].map((id) => `done: ${id} second`)),
    ...differs("their rows are", states, ["succeeded", "succeeded", "succeeded", "succeeded"]),
    ...differs("places that are taken:", places, 0)
  ]
}

/** A run that is cancelled while it waits, by a process that does not come back where it has gone. */
const cancelled: Scenario = {
  name: "a run that is cancelled while it waits",
  kinds: dying,
  step: 43,
  program: Effect.fnUntraced(function*(runs) {
    yield* again(runs.start({ ...run, steps: ["first", sleep("1 hour"), "second"] }))
    const end = yield* untilEnd(
      runs,
      ({ cancelledAt, state }) =>
        state === "waiting" && cancelledAt === undefined ? again(runs.cancel("one")) : Effect.void
    )
    return end._tag === "Success" ? end.success.text : end.failure._tag
  }),
  wrong: ({ answer, states, turns }) => [
    ...differs("it ended with", answer, "RunCancelled"),
    ...differs("its row is", states, ["cancelled"]),
    ...[...turns.keys()].flatMap((turn) => turn.endsWith("second") ? [`it went on with ${turn}`] : [])
  ]
}

/** A run that is started and cancelled by one process, and purged by another while the first one is frozen. */
const purged: Scenario = {
  name: "a run that is cancelled and purged",
  kinds: ["frozen before", "frozen behind"],
  step: 5,
  program: Effect.fnUntraced(function*(runs) {
    yield* again(runs.start({ ...run, steps: ["first"] }))
    yield* Effect.ignore(again(runs.cancel("one")))
    yield* Effect.ignore(again(runs.result("one")))
    return "not frozen"
  }),
  other: Effect.fnUntraced(function*(runs) {
    const there = yield* again(runs.list())
    if (there.length === 0) return "nothing to purge"
    yield* again(runs.cancel("one"))
    yield* Effect.flip(again(runs.result("one")))
    while ((yield* again(runs.purge({ olderThan: 0 }))) === 0) yield* Effect.sleep("1 second")
    return "purged"
  }),
  wrong: ({ answer, kind, states, turns }) => [
    ...(answer === undefined ? ["it did not end"] : []),
    // A start whose answer was lost is made once more, and behind a purge its run is a new one, which is cancelled, too.
    ...(answer === "purged"
      ? differs("there is a run that is", states.filter((state) => state !== "cancelled"), [])
      : []),
    ...(states.includes("succeeded") ? ["it began without its steps"] : []),
    // A cancellation whose connection was ended is made again a little later, and the turn may be under way by then.
    ...(kind === "is ended" ? [] : [...turns.keys()].map((turn) => `it went on with ${turn}`))
  ]
}

/** The tables, where they are made. */
const migrated: Scenario = {
  name: "a run whose tables are made",
  kinds: ["gone before", "gone behind"],
  step: 7,
  options: { migrate: true },
  program: (runs) => Effect.as(again(runs.list()), "there"),
  wrong: ({ answer }) => differs("it ended with", answer, "there")
}

/** What is struck. */
export const scenarios: ReadonlyArray<Scenario> = [whole, unconfirmed, several, cancelled, purged, migrated]
