/** Lists that a server gives page by page, as one stream. */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { AshError } from "../../schema/AshError.ts"
import { checked, count, finite, optionsOf } from "./options.ts"
import { makePause } from "./rateLimit.ts"
import type { Answered } from "./sending.ts"

/** Where a stream of rows begins, and how much of it is asked for at once. */
export interface PagingOptions {
  /** Only rows behind this sequence number. @default 0 */
  readonly after?: number | undefined
  /** Rows in one request, 1 to 1,000. @default 1000 */
  readonly pageSize?: number | undefined
}

const maxPageSize = 1000

export const pagingRules = { after: count(0), pageSize: count(1) }

export const pollRules = optionsOf<{ readonly every: unknown }>({ every: finite })

export const arePaging = optionsOf<PagingOptions>(pagingRules)

/** All rows behind `after`. A short page is the last; so is one that brings nothing new, lest it be asked for for ever. */
export const paginate = <Row extends { readonly sequence: number }, E>(
  page: (options: { readonly after: number; readonly limit: number }) => Effect.Effect<ReadonlyArray<Row>, E>,
  { after = 0, pageSize = maxPageSize }: PagingOptions = {}
): Stream.Stream<Row, E> =>
  Stream.paginate(after, (after) =>
    Effect.map(page({ after, limit: pageSize }), (rows) => {
      const news = rows.filter(({ sequence }) => sequence > after)
      const last = news.at(-1)
      return [news, last === undefined || rows.length < pageSize ? Option.none() : Option.some(last.sequence)] as const
    }))

/** What answers a request again and again, with at least so much time between: that of the options, or else the usual one. */
export const poll = <A, E>(
  operation: string,
  ask: Effect.Effect<Answered<A>, E>,
  options: { readonly every?: Duration.Input | undefined } | undefined,
  usual: Duration.Input
): Stream.Stream<A, E | AshError> =>
  Stream.unwrap(Effect.map(checked(operation, pollRules, options), ({ every = usual }) => {
    const pause = makePause(operation, every)
    return Stream.paginate(Effect.void, (paused) =>
      Effect.map(
        Effect.andThen(paused, ask),
        ({ response, value }) => [[value], Option.some(pause(response))] as const
      ))
  }))

/** Once in so many looks that find nothing, and the first time, it is asked in the place of a look whether there is an end. */
const looksForEnd = 20

/**
 * All rows behind `after`, and those that come, looked for each time that there are no more. Ends where `hasEnded`, once
 * there are no more. For one run.
 */
export const follow = <Row extends { readonly sequence: number }, E>(
  operation: string,
  look: (options: { readonly after: number; readonly limit: number }) => Effect.Effect<Answered<ReadonlyArray<Row>>, E>,
  { after, every, hasEnded }: {
    readonly after: number
    readonly every: Duration.Input
    readonly hasEnded: Effect.Effect<boolean, E>
  }
): Stream.Stream<Row, E> => {
  const pause = makePause(operation, every)
  return Stream.paginate({ after, idle: 0, isOver: false, paused: Effect.void }, (at) =>
    Effect.gen(function*() {
      yield* at.paused
      if (!at.isOver && at.idle % looksForEnd === 1) {
        return [[], Option.some({ ...at, idle: at.idle + 1, isOver: yield* hasEnded })] as const
      }
      const { response, value } = yield* look({ after: at.after, limit: maxPageSize })
      const news = value.filter(({ sequence }) => sequence > at.after)
      const last = news.at(-1)
      if (last === undefined) {
        return [
          news,
          at.isOver ? Option.none() : Option.some({ ...at, idle: at.idle + 1, paused: pause(response) })
        ] as const
      }
      const paused = news.length < maxPageSize ? pause(response) : Effect.void
      return [news, Option.some({ ...at, after: last.sequence, idle: 0, paused })] as const
    }))
}
