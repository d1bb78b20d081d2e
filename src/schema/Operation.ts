/** What callers need to know of the operations of the API: annotations of endpoints, each with its default. */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as String from "effect/String"

/** What a repeated request does: nothing more, the same again, or nothing after a deletion. */
export type Repetition = "harmless" | "repeats" | "deletes"

const repetitionOf: ReadonlyMap<string, Repetition> = new Map([
  ["GET", "harmless"],
  ["PATCH", "harmless"],
  ["DELETE", "deletes"]
])

const annotation = <A>(name: string, value: A) =>
  Context.Reference<A>(`effect-ash/schema/Operation/${name}`, { defaultValue: () => value })

/** The service that has a group's methods, if its name differs from the group's. */
export const ServiceName = annotation<string | undefined>("ServiceName", undefined)

/** The method of an endpoint, if its name differs from the endpoint's; with the service, if that differs too. */
export const MethodName = annotation<string | undefined>("MethodName", undefined)

/** What a repetition does. By default GET and PATCH are harmless, DELETE deletes, and POST does the same once more. */
export const Repeats = annotation<Repetition | undefined>("Repeats", undefined)

/** Whether a request starts a turn, so that its answer is a stream, with timers of its own. */
export const StartsTurn = annotation<boolean>("StartsTurn", false)

/** The default time-out of a response. */
export const TimeLimit = annotation<Duration.Duration>("TimeLimit", Duration.minutes(1))

/**
 * Whether a request starts a sandbox: one that finds no room for it has done nothing (docs/ash.md 5.7). Its time-out is longer,
 * as the install and start scripts of an agent may run for two minutes each.
 */
export const StartsSandbox = annotation<boolean>("StartsSandbox", false)

/** The time-out of what carries a workspace: so many bytes take their time. */
export const carriesWorkspace = Duration.minutes(5)

/** The rate limit of the server that a request counts for (docs/ash.md 2.3). */
export const RateLimitBucket = annotation<"agents" | "sessions" | undefined>("RateLimitBucket", undefined)

/** The most bytes in the body of a request: 1 MiB. */
export const BodyLimit = annotation<number>("BodyLimit", 1_048_576)

/**
 * Whether an error may keep the start of an answer that cannot be decoded: an annotation of endpoints whose answers hold
 * neither secrets nor conversations.
 */
export const AnswerInErrors = annotation<boolean>("AnswerInErrors", false)

/** An operation of the API. */
export interface Operation {
  /** The method of a service, as errors, spans and logs name it: `Sessions.get`. */
  readonly name: string
  readonly repetition: Repetition
  readonly startsTurn: boolean
  readonly timeLimit: Duration.Duration
  readonly rateLimit: "agents" | "sessions" | undefined
}

/** The operation of an endpoint, by what annotates it and its group. */
export const operationOf = (
  group: { readonly identifier: string },
  endpoint: { readonly identifier: string; readonly method: string },
  annotations: Context.Context<never>
): Operation => {
  const service = Context.get(annotations, ServiceName) ?? String.capitalize(group.identifier)
  const method = Context.get(annotations, MethodName) ?? endpoint.identifier
  return {
    name: method.includes(".") ? method : `${service}.${method}`,
    repetition: Context.get(annotations, Repeats) ?? repetitionOf.get(endpoint.method) ?? "repeats",
    startsTurn: Context.get(annotations, StartsTurn),
    timeLimit: Context.get(annotations, StartsSandbox) ? Duration.minutes(5) : Context.get(annotations, TimeLimit),
    rateLimit: Context.get(annotations, RateLimitBucket)
  }
}
