/** What is read of sessions: which there are, their timelines and logs. */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { renamed, within } from "../../internal/request/operations.ts"
import { checked, finite, optionsOf, text } from "../../internal/request/options.ts"
import { follow, paginate, type PagingOptions, pagingRules } from "../../internal/request/paging.ts"
import type { SessionStatus } from "../../schema/Session.ts"
import type { SessionEvent, SessionEventType } from "../../schema/SessionEvent.ts"
import type { SessionsParts } from "./sessionsParts.ts"
import { sweep, type SweepOptions } from "./sweep.ts"

/** Which sessions to list. */
export interface ListSessionsOptions {
  readonly agent?: string | undefined
  readonly status?: SessionStatus | undefined
}

/** Which rows of a timeline to stream. */
export interface SessionEventsOptions extends PagingOptions {
  /** Only rows of this kind. */
  readonly type?: SessionEventType | undefined
}

/** Which rows of a session's timeline to list. */
export interface ListEventsOptions extends Pick<SessionEventsOptions, "after" | "type"> {
  /** At most so many rows, 1 to 1,000. @default 200 */
  readonly limit?: number | undefined
}

/** How a timeline is followed. */
export interface TailOptions extends Pick<SessionEventsOptions, "after" | "type"> {
  /**
   * The time between two looks; longer where they would use more than a third of what the server's limit leaves.
   *
   * @default "300 millis"
   */
  readonly every?: Duration.Input | undefined
}

const rules = optionsOf<ListSessionsOptions & SessionEventsOptions & TailOptions>({
  ...pagingRules,
  agent: text,
  every: finite,
  // A newer server may have another status, or another kind of row.
  status: text,
  type: text
})

export const readingOf = (parts: SessionsParts) => {
  const { api, policy: { call, exchange, field } } = parts
  const listEvents = (id: string, query: ListEventsOptions = {}) =>
    field(api.listEvents, { params: { id }, query }, "events")
  const get = (id: string) => field(api.get, { params: { id } }, "session")
  const list = (options?: ListSessionsOptions) =>
    Effect.flatMap(checked("Sessions.list", rules, options), ({ agent, status }) =>
      Effect.map(
        field(api.list, { query: { agent } }, "sessions"),
        (sessions) => sessions.filter((session) => status === undefined || session.status === status)
      ))
  return {
    list,
    listEvents,
    get,
    events: (id: string, options?: SessionEventsOptions) =>
      Stream.unwrap(
        Effect.map(checked("Sessions.events", rules, options), ({ type, ...paging }) =>
          paginate((page) => listEvents(id, { ...page, type }), paging))
      ).pipe(Stream.mapError(renamed("Sessions.events"))),
    tail: (id: string, options?: TailOptions) =>
      Stream.unwrap(
        Effect.map(checked("Sessions.tail", rules, options), ({ after = 0, every = "300 millis", type }) =>
          follow(
            "Sessions.tail",
            // All kinds are asked for, or the end would not be seen.
            (query) =>
              Effect.map(
                exchange(api.listEvents, { params: { id }, query }),
                ({ response, value }) => ({ response, value: value.events })
              ),
            { after, every, hasEnded: Effect.map(get(id), ({ status }) => status === "ended") }
          ).pipe(
            // The row of the end may be before `after`, or missing, as servers lose rows (docs/ash.md 5.3).
            Stream.takeUntil(isEnd),
            Stream.filter((event) => type === undefined || event.type === type)
          ))
      ).pipe(Stream.mapError(renamed("Sessions.tail"))),
    sweep: (options: SweepOptions) =>
      Effect.mapError(sweep(parts, (agent) => list({ agent }), options), within("Sessions.sweep")),
    logs: (id: string, options: { readonly after?: number | undefined } = {}) =>
      call(api.logs, { params: { id }, query: options })
  }
}

const isEnd = ({ data }: SessionEvent) => data._tag === "Lifecycle" && data.action === "ended"
