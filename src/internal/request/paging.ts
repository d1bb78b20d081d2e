/** Lists that a server gives page by page, as one stream. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { paceOf } from "./rateLimit.ts"
import type { Answered } from "./sending.ts"

/** Where a stream of rows begins, and how much of it is asked for at once. */
export interface PagingOptions {
  /** Only rows behind this sequence number. @default 0 */
  readonly after?: number | undefined
  /** Rows in one request, 1 to 1,000. @default 1000 */
  readonly pageSize?: number | undefined
}

type Page<Row, E> = (
  options: { readonly after: number; readonly limit: number }
) => Effect.Effect<ReadonlyArray<Row>, E>

const maxPageSize = 1000

/** All rows behind `after`. A short page is the last; so is one that brings nothing new, lest it be asked for for ever. */
export const paginate = <Row extends { readonly sequence: number }, E>(
  page: Page<Row, E>,
  { after = 0, pageSize = maxPageSize }: PagingOptions = {}
): Stream.Stream<Row, E> =>
  Stream.paginate(after, (after) =>
    Effect.map(page({ after, limit: pageSize }), (rows) => {
      const news = rows.filter(({ sequence }) => sequence > after)
      const last = news.at(-1)
      return [news, last === undefined || rows.length < pageSize ? Option.none() : Option.some(last.sequence)] as const
    }))

/** What answers a request again and again, with at least so much time between. */
export const poll = <A, E>(
  ask: Effect.Effect<Answered<A>, E>,
  every: Duration.Duration
): Stream.Stream<A, E> =>
  Stream.paginate(Option.none<Duration.Duration>(), (pause) =>
    Effect.gen(function*() {
      if (Option.isSome(pause)) yield* Effect.sleep(pause.value)
      const { response, value } = yield* ask
      return [[value], Option.some(Option.some(Duration.max(every, paceOf(response))))] as const
    }))

/** A page, and the least time before the next look. */
interface Look<Row> {
  readonly rows: ReadonlyArray<Row>
  readonly pace: Duration.Duration
}

/** All rows behind `after`, and those that come, looked for each time that there are no more; `isLast` ends it. */
export const follow = <Row extends { readonly sequence: number }, E>(
  look: (options: { readonly after: number; readonly limit: number }) => Effect.Effect<Look<Row>, E>,
  { after, every, isLast }: {
    readonly after: number
    readonly every: Duration.Duration
    readonly isLast: (row: Row) => boolean
  }
): Stream.Stream<Row, E> =>
  Stream.paginate({ after, pause: Option.none<Duration.Duration>() }, ({ after, pause }) =>
    Effect.gen(function*() {
      if (Option.isSome(pause)) yield* Effect.sleep(pause.value)
      const { pace, rows } = yield* look({ after, limit: maxPageSize })
      const news = rows.filter(({ sequence }) => sequence > after)
      const end = news.findIndex(isLast)
      return end >= 0
        ? [news.slice(0, end + 1), Option.none()] as const
        : [
          news,
          Option.some({
            after: news.at(-1)?.sequence ?? after,
            pause: news.length < maxPageSize ? Option.some(Duration.max(every, pace)) : Option.none()
          })
        ] as const
    }))
