/** From effects and streams to promises and async iterables, in types that are derived from those of the services. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Struct from "effect/Struct"
import type { FileDownload } from "../client/FileDownload.ts"
import * as Download from "./Download.ts"
import type { Runner } from "./Runner.ts"

/** The value of an effect as a promise has it: `undefined` for an `Option` without one, a file with methods that read it. */
export type Settled<A> = [A] extends [Option.Option<infer B>] ? B | undefined
  : [A] extends [FileDownload] ? Download.Download
  : A

/** An effect as a promise, a stream as an async iterable. */
export type Started<Result> = [Result] extends [Stream.Stream<infer A, infer _E, infer _R>] ? AsyncIterable<A>
  : [Result] extends [Effect.Effect<infer A, infer _E, infer _R>] ? Promise<Settled<A>>
  : Result

/** A member of a service: a method, an effect or a stream as a method without arguments, or a group of such members. */
export type PromisedMember<Member> = Member extends (...args: infer Args) => infer Result
  ? (...args: Args) => Started<Result>
  : Member extends Effect.Effect<infer _A, infer _E, infer _R> | Stream.Stream<infer _A, infer _E, infer _R>
    ? () => Started<Member>
  : Member extends string | ReadonlyArray<unknown> ? Member
  : Promised<Member>

/** A service whose methods answer promises and async iterables. */
export type Promised<Service> = { readonly [Name in keyof Service]: PromisedMember<Service[Name]> }

interface ToPromise extends Struct.Lambda {
  (member: unknown): unknown
  readonly "~lambda.out": PromisedMember<this["~lambda.in"]>
}

const isCall = (result: unknown): result is Effect.Effect<unknown, unknown, Scope.Scope> => Effect.isEffect(result)

/** Programs without types have null where nothing is given. */
const given = (argument: unknown): unknown => argument ?? undefined

const isEvents = (result: unknown): result is Stream.Stream<unknown, unknown> => Stream.isStream(result)

/** Makes promises and async iterables of the methods of a service, of groups of methods too. */
export const promised = (runner: Runner) => {
  const settle = (value: unknown, close: Effect.Effect<void>): Effect.Effect<unknown> =>
    Download.isFile(value)
      ? Effect.succeed(Download.make(runner, value, close))
      : Effect.as(close, Option.isOption(value) ? Option.getOrUndefined(value) : value)
  const start = (result: unknown): unknown =>
    isCall(result)
      ? runner.promise(runner.held(result, settle))
      : isEvents(result)
      ? runner.iterable(result)
      : result
  const toPromise: ToPromise = Struct.lambda<ToPromise>((member) =>
    Predicate.isFunction(member)
      ? (...args: ReadonlyArray<unknown>) => start(member(...args.map(given)))
      : isCall(member) || isEvents(member)
      ? () => start(member)
      : Predicate.isObject(member)
      ? Struct.map(member, toPromise)
      : member
  )
  return Struct.map(toPromise)
}
