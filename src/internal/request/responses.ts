/**
 * Reports when a request of a call goes out, and what answers it. This rides the fiber, as between the call and its request
 * stand limits, repetitions and gates. Each of them watches for itself: rate limits the headers, gates and creations the
 * sending, the writing of files what its answer must not repeat, and the reconciling of a turn the server's clock.
 */
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import type { AshErrorReason } from "../../schema/AshError.ts"

/** Is called with each response, whatever its status. */
export class OnResponse extends Context.Reference<(response: HttpClientResponse.HttpClientResponse) => void>(
  "effect-ash/internal/request/responses/OnResponse",
  { defaultValue: () => () => {} }
) {}

/** Is run right before a request goes out, when all that it waits for is there. Where it fails, nothing is sent. */
export class BeforeRequest extends Context.Reference<Effect.Effect<void, AshErrorReason> | undefined>(
  "effect-ash/internal/request/responses/BeforeRequest",
  { defaultValue: () => undefined }
) {}

/** Is called right before each request goes out, when all that it waits for is there. */
export class OnRequest extends Context.Reference<() => void>("effect-ash/internal/request/responses/OnRequest", {
  defaultValue: () => () => {}
}) {}

/** Is called while a request with large contents goes out, with the number of their bytes that have. */
export class OnSent extends Context.Reference<(bytes: number) => void>("effect-ash/internal/request/responses/OnSent", {
  defaultValue: () => () => {}
}) {}

/** Calls back, too, when a request of an effect goes out. */
export const whenSent = (callBack: () => void) =>
  Effect.updateService(OnRequest, (others) => () => {
    others()
    callBack()
  })

/** So many bytes are a step. */
const step = 196_608

/** Runs a call, and reports meanwhile how many bytes of its contents have gone out: never fewer than before, as it may be repeated. */
export const withUploadProgress = <A, E, R, E2, R2>(
  call: Effect.Effect<A, E, R>,
  onProgress: (bytes: number) => Effect.Effect<unknown, E2, R2>
): Effect.Effect<A, E | E2, R | R2> =>
  Effect.flatMap(Queue.unbounded<number, Cause.Done>(), (steps) => {
    let most = 0
    const onSent = (bytes: number) => {
      if (bytes >= most + step) Queue.offerUnsafe(steps, most = bytes)
    }
    return Effect.map(
      Effect.all([
        call.pipe(Effect.provideService(OnSent, onSent), Effect.ensuring(Queue.end(steps))),
        Stream.runForEach(Stream.fromQueue(steps), onProgress)
      ], { concurrency: 2 }),
      ([answer]) => answer
    )
  })
