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
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import { isSqlError, type SqlError } from "effect/sql/SqlError"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { AgentScript } from "../../src/embedded.ts"
import { layerHttpClient } from "../../src/embedded/EmbeddedServer.ts"
import * as Ash from "../../src/layers/Ash.ts"
import { Agents } from "../../src/services/Agents.ts"
import type { Messages } from "../../src/services/Messages.ts"
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
  | "is asked to stop"

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
  const state = {
    statements: 0,
    struck: undefined as string | undefined,
    isStopped: false,
    until: 0,
    leave: Effect.void
  }
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
      case "is asked to stop":
        return Effect.andThen(Effect.suspend(() => state.leave), statement)
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
const transport = ({ shardingConfig }: Pick<AshWorkflow.RunnerTransportOptions, "shardingConfig">) =>
  Sharding.layer.pipe(
    Layer.provideMerge(Runners.layerNoop),
    Layer.provide(RunnerHealth.layerNoop),
    Layer.provide(ShardingConfig.layer(shardingConfig))
  )

type Runs = AgentRuns["Service"]

/** A decision on a wait, as it was called for, and what was answered; undefined where nothing came back. */
interface Call {
  readonly token: string
  readonly decision: "approved" | "rejected"
  answer: string | undefined
}

/** What is noted of what programs do and see. */
interface Notes {
  /** Names what is done at random. */
  readonly seed: string
  readonly calls: Array<Call>
  readonly seen: Array<RunStatus>
  /** Runs that went back, as they were seen. */
  readonly back: Array<string>
}

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
  readonly program: (runs: Runs, notes: Notes) => Effect.Effect<unknown, unknown>
  /** What the process does that comes behind the struck one. @default the same */
  readonly other?: Scenario["program"]
  /** What a client does meanwhile, which is not struck. */
  readonly client?: (runs: Runs, notes: Notes) => Effect.Effect<unknown, unknown, Messages>
  /** What is wrong with what came of it, beside what is wrong in any case. */
  readonly wrong: (outcome: Outcome) => ReadonlyArray<string>
}

/** What came of it. */
interface Outcome extends Partial<Strike>, Notes {
  /** What the program answered, in the last process that was to run it. */
  readonly answer: unknown
  /** The states of the runs, by their rows. */
  readonly states: ReadonlyArray<string>
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
    { beside, client, isCluster = false, options, other, program, wrong }: Scenario,
    strike: Strike,
    makeDatabase: Databases.Make
  ) {
    const { at, kind } = strike
    const notes: Notes = { seed: `${kind} ${at}`, calls: [], seen: [], back: [] }
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
    const settings = {
      migrate: false,
      orphans: { agents: ["worker"], olderThan: "2 minutes", every: "15 seconds" },
      ...options
    } as const
    let port = 0
    const runner = () =>
      isCluster
        ? AshWorkflow.layerRunner({ ...settings, cluster: "strikes", port: ++port, transport })
        : AshWorkflow.layerSingle(settings)
    const begin = (process: ReturnType<typeof makeProcess>, program: Scenario["program"], scope: Scope.Scope) =>
      Layer.buildWithScope(Layer.provide(runner(), process.layer), scope).pipe(
        Effect.flatMap((services) => program(Context.get(services, AgentRuns), notes)),
        Effect.forkIn(scope)
      )
    const living = Scope.makeUnsafe()
    const watching = client && (yield* Effect.forkIn(
      Effect.flatMap(AgentRuns, (runs) => client(runs, notes)).pipe(Effect.provide(
        Layer.provideMerge(
          AshWorkflow.layerClient({ cluster: "strikes", migrate: false, transport }),
          makeProcess(world, "client").layer
        )
      )),
      living
    ))
    if (beside !== undefined) {
      const clock = ahead(yield* Clock.Clock, beside)
      const there = yield* begin(makeProcess(world, "beside"), () => Effect.succeed("there"), living).pipe(
        Effect.provideService(Clock.Clock, clock)
      )
      yield* waitFor(world, there)
    }
    const one = makeProcess(world, "one", strike)
    // What has gone is not closed: that would be the end of a process that is asked to.
    const own = kind.startsWith("gone") || kind === "is asked to stop" ? Scope.makeUnsafe() : living
    const leaving = Deferred.makeUnsafe<void>()
    one.state.leave = Effect.asVoid(Effect.forkDetach(Deferred.into(Scope.close(own, Exit.void), leaving)))
    const first = yield* begin(one, program, own)
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
    if (watching !== undefined) yield* waitFor(world, watching)
    const alive = Effect.flatMap(Sessions, ({ list }) => list()).pipe(
      Effect.map((sessions) => sessions.filter(({ status }) => status !== "ended").length),
      Effect.provide(admin)
    )
    for (let ticks = 0; ticks < patience && (yield* alive) > 0; ticks++) yield* world.tick
    const left = yield* alive
    // A runner that is asked to stop waits for what it has under way, by the clock.
    yield* waitFor(world, yield* Effect.forkDetach(Scope.close(living, Exit.void)))
    if (kind === "is asked to stop" && isStruck) {
      yield* waitFor(world, yield* Effect.forkDetach(Deferred.await(leaving)))
    }
    const { query } = world.database
    const states = (yield* query("SELECT state FROM ash_runs")).map(({ state }) => String(state))
    const places = (yield* query("SELECT * FROM ash_places")).length
    const faults = [
      ...(left === 0 ? [] : [`${left} sessions are alive`]),
      ...[...turns].flatMap(([turn, times]) => times === 1 ? [] : [`${turn} was sent ${times} times`]),
      ...wrong({ ...strike, ...notes, answer, turns, states, places })
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

const decisions = ["a", "b", "c"]

/** Decides at random on what runs wait for, once, twice, or the other way about, until they have ended. */
const decideAtRandom = (who: string) =>
  Effect.fnUntraced(
    function*(runs: Runs, { calls, seen }: Notes) {
      const tokens = ["none"]
      const decide = Effect.fnUntraced(function*(token: string) {
        const call: Call = {
          token,
          decision: (yield* Random.nextIntBetween(0, 6)) === 0 ? "rejected" : "approved",
          answer: undefined
        }
        calls.push(call)
        yield* (call.decision === "approved" ? runs.approve(token, who) : runs.reject(token, who)).pipe(
          Effect.match({
            onSuccess: () => "taken",
            onFailure: (error) => error._tag === "ApprovalClosed" ? `closed: ${error.decision}` : undefined
          }),
          Effect.map((answer) => call.answer = answer)
        )
      })
      while (true) {
        const all = yield* again(runs.list())
        seen.push(...all)
        if (all.length === decisions.length && all.every(({ endedAt }) => endedAt !== undefined)) return
        for (const { token } of all) {
          if (token === undefined) continue
          if (!tokens.includes(token)) tokens.push(token)
          const times = yield* Random.nextIntBetween(0, 2)
          yield* Effect.forEach(Array.from({ length: times }), () => decide(token), { concurrency: "unbounded" })
        }
        if (yield* Random.nextBoolean) yield* decide(tokens[yield* Random.nextIntBetween(0, tokens.length - 1)]!)
        yield* Effect.sleep(100 + (yield* Random.nextIntBetween(0, 1000)))
      }
    },
    (deciding, _, { seed }) => Random.withSeed(deciding, `${seed} ${who}`)
  )

const place = ({ endedAt, generation, state, step }: RunStatus) =>
  endedAt !== undefined ? [1, 0, 0, 0] : [0, generation, step, ["queued", "running", "waiting"].indexOf(state)]

const isBack = (now: ReadonlyArray<number>, before: ReadonlyArray<number>) => {
  const index = now.findIndex((part, index) => part !== before[index])
  return index >= 0 && now[index]! < before[index]!
}

/** Runs that are decided on at random, by a runner that is struck and by a client, beside another runner. */
const decided: Scenario = {
  name: "runs that are decided on at random, by two processes at once",
  kinds: ["is asked to stop", "frozen behind", "gone behind", "fails behind"],
  of: /ash_runs|INSERT INTO "ash_cluster_(?:messages|replies)|COMMIT/,
  step: 71,
  isCluster: true,
  beside: 0,
  program: Effect.fnUntraced(function*(runs, notes) {
    yield* Effect.forEach(decisions, (id) => {
      const steps = [approval("begin?"), `${id} first`, approval("go on?"), approval("really?"), `${id} second`]
      return again(runs.start({ id, agent: "worker", steps, whenUnknown: "repeatRun" }))
    })
    yield* decideAtRandom("runner")(runs, notes)
    return yield* Effect.forEach(
      decisions,
      (id) => Effect.match(again(runs.result(id)), { onFailure: ({ _tag }) => _tag, onSuccess: ({ text }) => text })
    )
  }),
  client: (runs, notes) => {
    const watched = Effect.forEach(decisions, (id) => {
      let last: ReadonlyArray<number> | undefined
      const watch = Stream.runForEach(runs.watch(id), (event) =>
        Effect.sync(() => {
          if (event._tag !== "StatusChanged") return
          const now = place(event.status)
          if (last !== undefined && isBack(now, last)) notes.back.push(`${id} went from ${last} back to ${now}`)
          last = now
          notes.seen.push(event.status)
        }))
      return Effect.retry(watch, { while: ({ _tag }) => _tag === "RunNotFound", schedule: Schedule.spaced("1 second") })
    }, { concurrency: "unbounded" })
    return Effect.all([watched, decideAtRandom("client")(runs, notes)], { concurrency: "unbounded" })
  },
  wrong: ({ answer, back, calls, seen, states }) => {
    const tokens = new Map<string, Set<string>>()
    for (const { generation, id, step, token } of seen) {
      const key = `${id} ${generation}/${step}`
      if (token !== undefined) tokens.set(key, (tokens.get(key) ?? new Set()).add(token))
    }
    const faults: Array<string> = [...back]
    for (const [key, own] of tokens) if (own.size > 1) faults.push(`${key} had ${own.size} tokens`)
    const ends = decisions.map((id, index) => {
      const own = new Set(seen.flatMap((run) => run.id === id && run.token !== undefined ? [run.token] : []))
      const all = calls.filter(({ token }) => own.has(token))
      for (const token of own) {
        const its = all.filter((call) => call.token === token)
        const taken = new Set(its.flatMap(({ answer, decision }) => answer === "taken" ? [decision] : []))
        if (taken.size > 1) faults.push(`both decisions were taken for ${id}`)
        if (its.every(({ answer }) => answer?.startsWith("closed"))) {
          if (its.length > 0) faults.push(`none was taken for ${id}: ${JSON.stringify(its)}`)
        }
      }
      const isRejected = all.some(({ answer, decision }) => decision === "rejected" && answer === "taken")
      const mayBe = all.some(({ answer, decision }) => decision === "rejected" && answer === undefined)
      const end = Array.isArray(answer) ? answer[index] : undefined
      if (end === "RunRejected" ? !isRejected && !mayBe : isRejected || end !== `done: ${id} second`) {
        faults.push(`${id} ended with ${end}: ${JSON.stringify(all)}`)
      }
      return end === "RunRejected" ? "failed" : "succeeded"
    })
    return [...faults, ...differs("their rows are", states.toSorted(), ends.toSorted())]
  }
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
export const scenarios: ReadonlyArray<Scenario> = [whole, unconfirmed, several, decided, cancelled, purged, migrated]

/** What is wrong where runs in memory are decided on at random, and nothing is struck. */
export const inMemory = Effect.fnUntraced(
  function*(seed: string) {
    const notes: Notes = { seed, calls: [], seen: [], back: [] }
    const turns = new Map<string, number>()
    const world = yield* makeWorld(Databases.sqlite, ({ prompt }) => turns.set(prompt, (turns.get(prompt) ?? 0) + 1))
    return yield* Effect.gen(function*() {
      yield* Effect.flatMap(Agents, (agents) => agents.create({ name: "worker" }))
      const runs = yield* AgentRuns
      const watching = yield* Effect.forkScoped(decided.client!(runs, notes))
      const answer = yield* waitFor(world, yield* Effect.forkScoped(decided.program(runs, notes)))
      yield* waitFor(world, watching)
      const states = (yield* runs.list()).map(({ state }) => state)
      return [
        ...decided.wrong({ ...notes, answer, turns, states, places: 0 }),
        ...[...turns].flatMap(([turn, times]) => times === 1 ? [] : [`${turn} was sent ${times} times`])
      ]
    }).pipe(Effect.provide(Layer.provideMerge(AshWorkflow.layerTest(), ash(world.http))))
  },
  Effect.scoped,
  Effect.provide(TestClock.layer()),
  Effect.provide(Logger.layer([]))
)
