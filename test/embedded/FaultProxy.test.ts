import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as AgentScript from "../../src/embedded/AgentScript.ts"
import * as FaultProxy from "../../src/embedded/FaultProxy.ts"
import * as AshEmbedded from "../../src/layers/AshEmbedded.ts"
import * as AshNode from "../../src/layers/AshNode.ts"
import { Agents } from "../../src/services/Agents.ts"
import { Messages } from "../../src/services/Messages.ts"
import { Sessions } from "../../src/services/Sessions.ts"
import { fault } from "../support/proxied.ts"

/** The events of a turn through a proxy with a fault, or the tag of its failure. */
const through = Effect.fnUntraced(function*({ meet, strike, timeouts }: ReturnType<typeof fault>) {
  const { apiKey, url } = yield* AshEmbedded.EmbeddedAddress
  yield* (yield* Agents).create({ name: "demo" })
  const { id } = yield* (yield* Sessions).scoped({ agent: "demo" })
  const proxy = yield* FaultProxy.make({
    target: url,
    script: ({ path }) => path.endsWith(`${id}/messages`) ? strike() : undefined
  })
  const outcome = yield* Effect.flatMap(Messages, ({ send }) => Stream.runCollect(send(id, "hello"))).pipe(
    Effect.map((events) => events.map(({ _tag }) => _tag).join(" ")),
    Effect.catch(({ reason }) => Effect.succeed(reason._tag === "TimedOut" ? reason.timer : reason._tag)),
    Effect.provide(AshNode.layer({ url: proxy.url, apiKey, timeouts, retry: { times: 0 } })),
    meet
  )
  const exchanges = yield* proxy.exchanges
  return { outcome, posts: exchanges.filter(({ path }) => path.endsWith(`${id}/messages`)).length }
})

const provideServer = Effect.provide(AshEmbedded.layerHttp({ script: AgentScript.echo }))

const whole = /^SessionStart .*Done$/

/** How a turn ends behind a fault, unless in a limit. */
const expected: Readonly<
  Partial<Record<FaultProxy.FaultKind, readonly [early: RegExp, head: RegExp, middle: RegExp]>>
> = {
  latency: [whole, whole, whole],
  bandwidth: [whole, whole, whole],
  slowClose: [whole, whole, whole],
  reset: [/^ConnectionLost$/, /^StreamTruncated$/, /^StreamTruncated$/],
  slice: [whole, whole, whole],
  limitData: [/^ConnectionLost$/, /^StreamTruncated$/, /^StreamTruncated$/],
  down: [/^ConnectionLost$/, /^StreamTruncated$/, /^StreamTruncated$/],
  endAtEvent: [/^ConnectionLost$/, /^StreamTruncated$/, /^StreamTruncated$/],
  endInEvent: [/^ConnectionLost$/, /^StreamTruncated$/, /^StreamTruncated$/],
  endInCharacter: [/^ConnectionLost$/, /^StreamTruncated$/, /^StreamTruncated$/],
  errorOnly: [/^TurnFailed$/, /^TurnFailed$/, /^TurnFailed$/],
  errorThenDone: [/^TurnFailed$/, /^TurnFailed$/, /^TurnFailed$/],
  foreignDone: [/^StreamTruncated$/, /^StreamTruncated$/, /^StreamTruncated$/],
  html: [/^Undecodable$/, /^Undecodable$/, /^StreamTruncated$/],
  empty: [/^Undecodable$/, /^Undecodable$/, /^StreamTruncated$/],
  retryLine: [whole, whole, whole],
  unknownEvent: [/Unknown.*Done$/, /Unknown.*Done$/, /Unknown.*Done$/],
  unknownValues: [/Message.*Done$/, /Message.*Done$/, whole],
  hugeEvent: [/Message.*Done$/, /Message.*Done$/, whole],
  writeTimeout: [/^StreamTruncated$/, /^StreamTruncated$/, /^StreamTruncated$/],
  rateLimited: [/^RateLimited$/, /^RateLimited$/, /^StreamTruncated$/],
  atCapacity: [/^ServerFailure$/, /^ServerFailure$/, /^StreamTruncated$/]
}

const cases = FaultProxy.kinds.flatMap((kind) =>
  FaultProxy.phases.map((phase, index) => [kind, phase, expected[kind]?.[index]] as const)
)

describe("a turn through a proxy", () => {
  it.live.each(cases)("%s, %s", ([kind, phase, outcome]) =>
    Effect.gen(function*() {
      const met = fault(kind, phase)
      const seen = yield* through(met)
      assert.match(seen.outcome, outcome ?? new RegExp(`^${met.timer}$`))
      assert.strictEqual(seen.posts, 1)
    }).pipe(Effect.scoped, provideServer))
})

describe("a fault that is none", () => {
  it.live.each([{ kind: "nonsense" }, { kind: "reset", phase: "later" }, { kind: "reset", after: -1 }, null])(
    "is told in the place of an answer: %j",
    (fault) =>
      Effect.gen(function*() {
        const { url } = yield* FaultProxy.make({ target: "http://127.0.0.1:1", script: () => fault as never })
        const response = yield* Effect.promise(() => fetch(url))
        assert.strictEqual(response.status, 500)
        assert.match(yield* Effect.promise(() => response.text()), /^(?:fault|fault\.\w+) must be /)
      }).pipe(Effect.scoped)
  )
})

describe("chance", () => {
  it.effect("is the same for the same seed", () =>
    Effect.gen(function*() {
      const faults = Effect.map(
        FaultProxy.random({ seed: 7, probability: 0.5 }),
        (script) => Array.from({ length: 100 }, (_, index) => script({ method: "GET", path: "/", index }))
      )
      const first = yield* faults
      assert.deepStrictEqual(yield* faults, first)
      assert.isAbove(new Set(first.map((fault) => fault?.kind)).size, 10)
      assert.isTrue(first.some((fault) => fault === undefined))
    }))
})
