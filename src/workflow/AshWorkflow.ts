/** How a program gets runs of agents: as a runner, a client, on one machine alone, or in tests. */
import * as ClusterWorkflowEngine from "effect/cluster/ClusterWorkflowEngine"
import * as MessageStorage from "effect/cluster/MessageStorage"
import * as RunnerAddress from "effect/cluster/RunnerAddress"
import type * as Runners from "effect/cluster/Runners"
import type * as RunnerStorage from "effect/cluster/RunnerStorage"
import type * as Sharding from "effect/cluster/Sharding"
import * as ShardingConfig from "effect/cluster/ShardingConfig"
import * as SqlMessageStorage from "effect/cluster/SqlMessageStorage"
import * as SqlRunnerStorage from "effect/cluster/SqlRunnerStorage"
import type * as Config from "effect/Config"
import * as Digest from "effect/crypto/Digest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as SqlClient from "effect/sql/SqlClient"
import { aFunction, between, flag, optionsOf, required, type Rule, rule, text } from "../internal/request/options.ts"
import { AgentRuns } from "./AgentRuns.ts"
import * as Engine from "./engine.ts"
import * as Orphans from "./orphans.ts"
import { isId } from "./payloadHash.ts"
import type { SettingsRefused } from "./RunErrors.ts"
import {
  checked,
  clusterRules,
  type ClusterSettings,
  readClusterSettings,
  readRunSettings,
  refuse,
  terminationOf
} from "./RunnerSettings.ts"
import * as MemoryRunStore from "./store/MemoryRunStore.ts"
import { RunStore } from "./store/RunStore.ts"
import * as SqlRunStore from "./store/SqlRunStore.ts"
import * as Worker from "./worker.ts"

export type { ClusterSettings, RunSettings } from "./RunnerSettings.ts"
export type { Secrets } from "./RunSteps.ts"
export type { WorkerOptions, WorkerServices } from "./worker.ts"

type Sharded = Partial<ShardingConfig.ShardingConfig["Service"]>

/** What a transport of runners is given. */
export interface RunnerTransportOptions {
  readonly storage: "byo"
  readonly runnerHealth: "ping"
  readonly shardingConfig: Sharded
}

/** What a transport of clients is given. */
export interface ClientTransportOptions {
  readonly storage: "byo"
  readonly clientOnly: true
  readonly shardingConfig: Sharded
}

/** How processes of a cluster reach each other: `NodeClusterSocket.layer`, or another of Effect's. */
export type Transport<Options, E> = (
  options: Options
) => Layer.Layer<Sharding.Sharding | Runners.Runners, E, MessageStorage.MessageStorage | RunnerStorage.RunnerStorage>

/** Which cluster it is. */
export interface ClusterName {
  /**
   * Names the cluster, such as `production`: the database remembers the first name, and a process with another one is
   * refused, as it would run, or have run, what is not its own.
   */
  readonly cluster: string
  /** What the names of the tables begin with: clusters with prefixes of their own can share a database. @default "ash" */
  readonly prefix?: string | undefined
  /** Whether the tables are made and brought up to date here; otherwise {@link layerMigrations} does, before. @default true */
  readonly migrate?: boolean | undefined
}

/** How a runner is made. */
export interface RunnerOptions<E, R = never> extends Worker.WorkerOptions<R>, ClusterSettings, ClusterName {
  /** How the runners reach each other. It has neither encryption nor keys, so it belongs in a private network. */
  readonly transport: Transport<RunnerTransportOptions, E>
  /** Where other runners reach this one. @default "localhost" */
  readonly host?: string | undefined
  readonly port: number
  /** The interface that it listens on. @default `host` */
  readonly listenHost?: string | undefined
  /** Which sessions are ended that no run knows. @default none */
  readonly orphans?: Orphans.OrphanOptions | undefined
}

/** How a client is made. */
export interface ClientOptions<E> extends ClusterName {
  /** How it reaches the runners. */
  readonly transport: Transport<ClientTransportOptions, E>
}

/** How runs are run on one machine alone. */
export interface SingleOptions<R = never> extends Worker.WorkerOptions<R>, Omit<ClusterName, "cluster"> {
  /** Names the cluster, as that of several machines. @default "single" */
  readonly cluster?: string | undefined
  /** Which sessions are ended that no run knows. @default none */
  readonly orphans?: Orphans.OrphanOptions | undefined
}

const defaultPrefix = "ash"

/** What the names of the engine's tables begin with. */
const engineOf = (prefix: string) => ({ prefix: `${prefix}_cluster` })

/** A row lock of a runner that died would hold up the runs that wait for it, until its connection ends. */
const warnOfLocks = (sql: SqlClient.SqlClient) =>
  sql<{ readonly timeout: string }>`SELECT current_setting('idle_in_transaction_session_timeout') AS timeout`.pipe(
    Effect.flatMap(([row]) =>
      row?.timeout !== "0" ? Effect.void : Effect.logWarning(
        "idle_in_transaction_session_timeout is not set: a lock of a dead runner may stop runs; set it to 5s"
      )
    ),
    Effect.ignore
  )

const aDatabase = Layer.effectDiscard(Effect.flatMap(SqlClient.SqlClient, (sql) =>
  sql.onDialectOrElse({
    pg: () => warnOfLocks(sql),
    sqlite: () => Effect.void,
    orElse: () => refuse("SqlClient", `runs need PostgreSQL or SQLite, not ${sql.driver}`)
  })))

const nameRules = {
  cluster: rule("1 to 200 characters, none of control", isId),
  prefix: rule(
    "1 to 31 lower-case letters, digits or underscores, the first one a letter",
    (prefix) => Predicate.isString(prefix) && /^[a-z][a-z0-9_]{0,30}$/.test(prefix)
  ),
  migrate: flag
}

const singleRules = optionsOf<SingleOptions>({ ...nameRules, ...Worker.workerRules, orphans: Orphans.areOrphans })

const clientRules = {
  ...nameRules,
  cluster: required(nameRules.cluster),
  transport: required(aFunction)
}

const areClient = required(optionsOf<ClientOptions<never>>(clientRules))

const areRunner = required(optionsOf<RunnerOptions<never>>({
  ...clientRules,
  ...clusterRules,
  ...Worker.workerRules,
  host: text,
  port: required(between(1, 65_535)),
  listenHost: text,
  orphans: Orphans.areOrphans
}))

const areMigrations = optionsOf<Pick<ClusterName, "prefix">>({ prefix: nameRules.prefix })

const areWorker = optionsOf<Worker.WorkerOptions>(Worker.workerRules)

const layerOf = <Settings extends object, A, E, R>(
  rules: Rule,
  settings: Settings,
  make: (settings: Settings) => Layer.Layer<A, E, R>
): Layer.Layer<A, E | SettingsRefused, R> => Layer.unwrap(Effect.map(checked(rules, settings), make))

const migrationsOf = ({ prefix = defaultPrefix }: Pick<ClusterName, "prefix">) =>
  Layer.mergeAll(
    SqlMessageStorage.layerMigrations(engineOf(prefix)),
    SqlRunnerStorage.layerMigrations(engineOf(prefix)),
    SqlRunStore.layerMigrations(prefix)
  ).pipe(Layer.provide(aDatabase))

/** Makes the tables of runs and of the engine, and brings them up to date: for a deployment that does so by itself. */
export const layerMigrations = (
  options: Pick<ClusterName, "prefix"> = {}
): Layer.Layer<never, SettingsRefused, SqlClient.SqlClient> => layerOf(areMigrations, options, migrationsOf)

/** The tables of runs, whose cluster this is. All tables are brought up to date before. */
const ownStore = ({ cluster, migrate = true, prefix = defaultPrefix }: ClusterName) =>
  Layer.effectDiscard(Effect.gen(function*() {
    const owner = yield* Effect.catch(
      (yield* RunStore).owner(cluster),
      ({ message }) =>
        refuse(
          "migrate",
          `the tables ${prefix}_* cannot be read: ${message}; if there are none, run layerMigrations`
        )
    )
    if (owner === cluster) return
    return yield* refuse(
      "cluster",
      `the tables ${prefix}_* of this database belong to the cluster ${owner}, and this is a process of ${cluster}; ` +
        "give it a database or a prefix of its own"
    )
  })).pipe(
    Layer.provideMerge(SqlRunStore.layerStorage(prefix)),
    Layer.provide(migrate ? migrationsOf({ prefix }) : aDatabase)
  )

/** The engine over a transport of the cluster, with its storage in tables of the prefix. */
const engineOver = <Options extends { readonly shardingConfig: Sharded }, E>(
  transport: Transport<Options, E>,
  options: Options,
  prefix = defaultPrefix
) => {
  const storage = Layer.merge(
    Layer.provide(Engine.layerStorage, SqlMessageStorage.layerStorage(engineOf(prefix))),
    SqlRunnerStorage.layerStorage(engineOf(prefix))
  ).pipe(Layer.provide([ShardingConfig.layerFromEnv(options.shardingConfig), Digest.layerWebCrypto]))
  return ClusterWorkflowEngine.layer.pipe(Layer.provideMerge(transport(options)), Layer.provideMerge(storage))
}

/**
 * A runner: one process of the cluster that runs runs, and starts and watches them. Needs the services of an Ash server, and
 * the database of the cluster.
 */
export const layerRunner = <E, R = never>(
  options: RunnerOptions<E, R>
): Layer.Layer<
  AgentRuns,
  E | SettingsRefused | Config.ConfigError,
  SqlClient.SqlClient | Worker.WorkerServices | R
> =>
  Layer.unwrap(Effect.gen(function*() {
    const { host = "localhost", listenHost, port, transport } = yield* checked(areRunner, options)
    const settings = yield* readClusterSettings(options, readRunSettings(options))
    const shardingConfig: Sharded = {
      runnerAddress: Option.some(RunnerAddress.make(host, port)),
      runnerListenAddress: Option.map(Option.fromUndefinedOr(listenHost), (listen) => RunnerAddress.make(listen, port)),
      shardLockExpiration: settings.lease,
      shardLockRefreshInterval: Duration.times(settings.lease, 0.25),
      entityTerminationTimeout: settings.terminationTimeout,
      entityMessagePollInterval: settings.pollInterval
    }
    return Layer.mergeAll(AgentRuns.layer, Worker.layer(options), Orphans.layer(options.orphans)).pipe(
      Layer.provide(engineOver(transport, { storage: "byo", runnerHealth: "ping", shardingConfig }, options.prefix)),
      Layer.provide(ownStore(options))
    )
  }))

/** A client: a process that starts and watches runs, and runs none. Needs the database of the cluster alone. */
export const layerClient = <E>(
  options: ClientOptions<E>
): Layer.Layer<AgentRuns, E | SettingsRefused | Config.ConfigError, SqlClient.SqlClient> =>
  layerOf(areClient, options, ({ transport, ...name }) => {
    const shardingConfig: Sharded = { runnerAddress: Option.none() }
    return AgentRuns.layer.pipe(
      Layer.provide(engineOver(transport, { storage: "byo", clientOnly: true, shardingConfig }, name.prefix)),
      Layer.provide(ownStore(name))
    )
  })

/**
 * Runs on one machine alone: they survive the death of the process, not that of its database. One process at a time may
 * use the tables. A layer that is closed waits for its turns, for `longestTurn` and 30 seconds at most.
 */
export const layerSingle = <R = never>(
  options: SingleOptions<R> = {}
): Layer.Layer<
  AgentRuns,
  SettingsRefused | Config.ConfigError,
  SqlClient.SqlClient | Worker.WorkerServices | R
> =>
  layerOf(singleRules, options, (options) => {
    const { prefix = defaultPrefix } = options
    const { longestTurn } = readRunSettings(options)
    const engine = Engine.layerAlone(SqlMessageStorage.layerStorage(engineOf(prefix))).pipe(
      Layer.provide([
        Digest.layerWebCrypto,
        ShardingConfig.layerFromEnv({
          entityMessagePollInterval: Duration.seconds(1),
          entityTerminationTimeout: terminationOf(longestTurn)
        })
      ])
    )
    return Layer.mergeAll(AgentRuns.layer, Worker.layer(options), Orphans.layer(options.orphans)).pipe(
      Layer.provide(engine),
      Layer.provide(ownStore({ ...options, cluster: options.cluster ?? "single" }))
    )
  })

/** Runs in memory, for tests: what lies in a database elsewhere is encoded here too, and is gone with the layer. */
export const layerTest = <R = never>(
  options: Worker.WorkerOptions<R> = {}
): Layer.Layer<AgentRuns, SettingsRefused, Worker.WorkerServices | R> =>
  layerOf(areWorker, options, (options) =>
    Layer.merge(AgentRuns.layer, Worker.layer(options)).pipe(
      Layer.provide(Layer.provide(Engine.layerAlone(MessageStorage.layerMemory), ShardingConfig.layer())),
      Layer.provide(MemoryRunStore.layer)
    ))
