/** The settings of runners, and which of them would lose turns or runs. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Record from "effect/Record"
import { between, finite, isDuration, type Rule, rule } from "../internal/request/options.ts"
import { SettingsRefused } from "./RunErrors.ts"

/** How runs are run. */
export interface RunSettings {
  /**
   * The longest turn. One that takes longer is read no further: what the server has of it is looked up then, and without an end
   * within `settleTime` it is one of which it is not known what became. @default "10 minutes"
   */
  readonly longestTurn?: Duration.Input | undefined
  /**
   * How old the claim of a turn may be when its message goes out; older, it is claimed anew. Twice as long after a claim,
   * a turn of which the server has nothing is taken to be unsent. @default "2 seconds"
   */
  readonly sendWindow?: Duration.Input | undefined
  /**
   * How long the end of a turn is waited for that another process has sent and no longer reads: one that was only frozen
   * gets it yet. Then its outcome is unknown. @default "30 seconds"
   */
  readonly settleTime?: Duration.Input | undefined
  /** How long a server is waited for that is not reached, at capacity, or limits its rate. @default "1 hour" */
  readonly patience?: Duration.Input | undefined
  /** How often a run may be begun without getting a step further, before it fails with `TooManyAttempts`. @default 5 */
  readonly maxAttempts?: number | undefined
  /** How many fresh sessions a run may need, where `whenUnknown` allows them. @default 3 */
  readonly maxGenerations?: number | undefined
  /**
   * How many runs of the cluster may have a session at once; the others are queued. The same on each runner, and below the
   * capacity of the server. @default no limit
   */
  readonly maxRunning?: number | undefined
  /** Bytes of a turn's text and of its structured output that are kept, at most 4 MiB. @default 1 MiB */
  readonly maxStored?: number | undefined
  /** How often runs look whether they were cancelled. @default "1 second" */
  readonly cancelInterval?: Duration.Input | undefined
}

/** How runners form a cluster. */
export interface ClusterSettings {
  /**
   * The lease of a runner on its runs: how long it may be out of touch before others take its runs over. At least three
   * times `longestStall`. @default "35 seconds"
   */
  readonly lease?: Duration.Input | undefined
  /** The longest stall of the database, or of the machine, that is to be survived without a take-over. @default "10 seconds" */
  readonly longestStall?: Duration.Input | undefined
  /**
   * How long a runner that is asked to stop waits for its turns. At least `longestTurn`; the grace period of the platform
   * must be longer. @default `longestTurn` and 30 seconds
   */
  readonly terminationTimeout?: Duration.Input | undefined
  /** How often runners look for new runs in the database. @default "1 second" */
  readonly pollInterval?: Duration.Input | undefined
}

export interface ReadRunSettings extends ReturnType<typeof readRunSettings> {}

export const refuse = (setting: string, message: string) => Effect.fail(new SettingsRefused({ setting, message }))

/** The settings of a layer, where they are what they must be. */
export const checked = <Settings extends object>(
  rules: Rule,
  settings: Settings
): Effect.Effect<Settings, SettingsRefused> => {
  const reason = rules(settings, "options")
  return reason === undefined ? Effect.succeed(settings) : refuse(String(reason.field), reason.message)
}

/** Of a time that passes, and has passed at some time. */
export const interval = rule(
  "a finite duration of more than 0",
  (value) =>
    isDuration(value) && Duration.isPositive(Duration.fromInputUnsafe(value)) && finite(value, "") === undefined
)

const mebibyte = 1_048_576

const runDurations = {
  longestTurn: "10 minutes",
  sendWindow: "2 seconds",
  settleTime: "30 seconds",
  patience: "1 hour",
  cancelInterval: "1 second"
} as const

export const runRules = {
  ...Record.map(runDurations, () => interval),
  maxAttempts: between(1, 1000),
  maxGenerations: between(1, 1000),
  maxRunning: between(1, 100_000),
  maxStored: between(1, 4 * mebibyte)
}

/** What the settings of a cluster must be, each by itself. */
export const clusterRules = {
  lease: interval,
  longestStall: interval,
  terminationTimeout: interval,
  pollInterval: interval
}

const durations = <Name extends string>(
  settings: { readonly [Setting in NoInfer<Name>]?: Duration.Input | undefined },
  defaults: Readonly<Record<Name, Duration.Input>>
) => Record.map(defaults, (otherwise, setting) => Duration.fromInputUnsafe(settings[setting] ?? otherwise))

export const readRunSettings = (settings: RunSettings) => ({
  ...durations(settings, runDurations),
  maxAttempts: settings.maxAttempts ?? 5,
  maxGenerations: settings.maxGenerations ?? 3,
  maxRunning: settings.maxRunning,
  maxStored: settings.maxStored ?? mebibyte
})

/** How long a runner that is asked to stop waits for its turns, where no setting has another time. */
export const terminationOf = (longestTurn: Duration.Duration) => Duration.sum(longestTurn, Duration.seconds(30))

const text = Duration.format

/** Reads the settings of a cluster, and refuses those by which it would lose turns. */
export const readClusterSettings = Effect.fnUntraced(function*(
  settings: ClusterSettings,
  { longestTurn }: ReadRunSettings
) {
  const { lease, longestStall, pollInterval, terminationTimeout } = durations(settings, {
    lease: "35 seconds",
    longestStall: "10 seconds",
    terminationTimeout: terminationOf(longestTurn),
    pollInterval: "1 second"
  })
  const least = Duration.times(longestStall, 3)
  if (Duration.isLessThan(lease, least)) {
    return yield* refuse(
      "lease",
      `lease is ${text(lease)}, less than three times longestStall (${text(longestStall)}): a stall of the database ` +
        `would move runs from runners that are well; make it at least ${text(least)}`
    )
  }
  if (Duration.isLessThan(terminationTimeout, longestTurn)) {
    return yield* refuse(
      "terminationTimeout",
      `terminationTimeout is ${text(terminationTimeout)}, less than longestTurn (${text(longestTurn)}): ` +
        "a runner that is stopped would lose its turns; make it at least as long"
    )
  }
  return { lease, terminationTimeout, pollInterval }
})
