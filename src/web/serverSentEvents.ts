/** A turn as the events of Ash's own servers, which `TurnStream.decodeEvents` and any other client of Ash reads. */
import * as Stream from "effect/Stream"
import type { TurnEvent } from "../functions/TurnStream.ts"
import { optionsOf } from "../internal/request/options.ts"
import { jsonText } from "../schema/Wire.ts"
import * as EventStream from "./EventStream.ts"

/** How a turn is answered, and how its failure is told. */
export interface ServerSentEventsOptions extends EventStream.EventStreamOptions {
  /**
   * What the page is told of a failure: of an error, such as an `AshError`; in a UI message stream of the `Turn`, too, in
   * which the agent failed.
   *
   * @default a text without what a server or a file said
   */
  readonly errorText?: ((error: unknown) => string) | undefined
}

const wireOf = (event: TurnEvent): readonly [name: string, json: string] => {
  switch (event._tag) {
    case "Message":
      return ["message", jsonText(event.message.raw)]
    case "Partial":
      return ["message", event.json]
    case "Unknown":
      return [event.event, jsonText(event.data)]
    default: {
      const { _tag, ...data } = event
      return [nameOf(_tag), jsonText(data)]
    }
  }
}

/** What a server calls an event: by its tag, `text_delta` for `TextDelta`, but for an error. */
const nameOf = (tag: string) => tag === "TurnError" ? error : tag.replace(/\B[A-Z]/g, "_$&").toLowerCase()

const error = "error"

const rules = optionsOf<ServerSentEventsOptions>(EventStream.rules)

/**
 * Makes server-sent events of a turn. A failure is an `error` event, the last one. Throws an `AshError` with `InvalidRequest`
 * for options that are none.
 */
export const toServerSentEvents = <E, R = never>(
  events: EventStream.TurnEvents<E, R>,
  options?: ServerSentEventsOptions
): EventStream.EventStream<R> => {
  const { errorText = EventStream.errorText, ...how } = EventStream.given("toServerSentEvents", rules, options)
  return EventStream.make(
    EventStream.streamOf(events).pipe(
      Stream.map((event) => {
        const [name, json] = wireOf(event)
        return EventStream.frame(json, name)
      }),
      Stream.catch((failure) => Stream.succeed(EventStream.frame(JSON.stringify({ error: errorText(failure) }), error)))
    ),
    how
  )
}
