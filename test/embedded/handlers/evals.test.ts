import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as AgentScript from "../../../src/embedded/AgentScript.ts"
import { ask, at, becomes, deploy, listAt, textAt, withServer } from "../../support/embeddedServer.ts"

const agent = "/api/agents/demo"
const unknownId = "00000000-0000-4000-8000-000000000000"

const addCase = (json: Schema.JsonObject) =>
  Effect.map(ask("POST", `${agent}/eval-cases`, { json }), ({ body }) => textAt(body, "case", "id"))

const questions = (query = "") =>
  Effect.map(
    ask("GET", `${agent}/eval-cases${query}`),
    ({ body }) => listAt(body, "cases").map((row) => at(row, "question"))
  )

describe("cases", () => {
  it.effect("have all their fields, null where nothing is given", () =>
    Effect.gen(function*() {
      yield* deploy("demo")
      const { body, status } = yield* ask("POST", `${agent}/eval-cases`, { json: { question: "q" } })
      assert.strictEqual(status, 201)
      assert.deepInclude(at(body, "case"), {
        agentName: "demo",
        question: "q",
        expectedTopics: null,
        expectedNotTopics: null,
        referenceAnswer: null,
        category: null,
        tags: null,
        chatHistory: null,
        isActive: true
      })
      assert.deepStrictEqual((yield* ask("GET", `${agent}/eval-cases/${textAt(body, "case", "id")}`)).body, body)
    }).pipe(withServer()))

  it.effect("are changed, emptied, deleted, imported, exported and filtered", () =>
    Effect.gen(function*() {
      yield* deploy("demo")
      const id = yield* addCase({ question: "one", category: "a", tags: ["t"] })
      const changed = yield* ask("PATCH", `${agent}/eval-cases/${id}`, { json: { tags: null, isActive: false } })
      assert.deepInclude(at(changed.body, "case"), { question: "one", category: "a", tags: null, isActive: false })
      const json = { cases: [{ question: "two", category: "a" }, { question: "three" }] }
      assert.deepStrictEqual((yield* ask("POST", `${agent}/eval-cases/import`, { json })).body, { imported: 2 })
      assert.deepStrictEqual(yield* questions(), ["one", "two", "three"])
      assert.deepStrictEqual(yield* questions("?category=a"), ["one", "two"])
      assert.deepStrictEqual(yield* questions("?isActive=false"), ["one"])
      assert.deepStrictEqual(yield* questions("?isActive=true&category=a"), ["two"])
      const exported = yield* ask("GET", `${agent}/eval-cases/export`)
      assert.strictEqual(listAt(exported.body, "cases").length, 3)
      assert.strictEqual((yield* ask("DELETE", `${agent}/eval-cases/${id}`)).status, 204)
      const gone = yield* ask("DELETE", `${agent}/eval-cases/${id}`)
      assert.deepStrictEqual(gone.body, { error: "Eval case not found", statusCode: 404 })
    }).pipe(withServer()))

  it.effect("bad ones are refused with the reason", () =>
    Effect.gen(function*() {
      yield* deploy("demo")
      const json = { cases: [{}] }
      const { body } = yield* ask("POST", `${agent}/eval-cases/import`, { json })
      assert.strictEqual(at(body, "message"), "body/cases/0 must have required property 'question'")
      const id = yield* ask("GET", `${agent}/eval-cases/xyz`)
      assert.strictEqual(at(id.body, "message"), "params/id must match format \"uuid\"")
      const none = yield* ask("GET", "/api/agents/nosuch/eval-cases")
      assert.deepStrictEqual(none.body, { error: "Agent not found", statusCode: 404 })
    }).pipe(withServer()))
})

/** Says `Hello, help` to the question `good`, `secret` to `bad`, and fails at any other. */
const script: AgentScript.AgentScript = ({ prompt }) =>
  prompt === "good"
    ? Stream.make(AgentScript.say("Hello, HELP"))
    : prompt === "bad"
    ? Stream.make(AgentScript.say("the secret"))
    : Stream.make(AgentScript.fail("no idea"))

const start = (json: Schema.JsonObject = {}) =>
  Effect.map(ask("POST", `${agent}/eval-runs`, { json }), ({ body }) => textAt(body, "run", "id"))

/** A run of three cases, worked off. */
const finished = Effect.gen(function*() {
  yield* deploy("demo")
  yield* addCase({ question: "good", expectedTopics: ["hello", "help"], expectedNotTopics: ["secret"], tags: ["x"] })
  yield* addCase({ question: "bad", expectedTopics: ["hello"], expectedNotTopics: ["secret"], category: "c" })
  yield* addCase({ question: "odd" })
  yield* addCase({ question: "inactive", isActive: false })
  const id = yield* start()
  yield* becomes(`${agent}/eval-runs/${id}`, ["run", "status"], "completed")
  return id
})

const runOf = (id: string) => Effect.map(ask("GET", `${agent}/eval-runs/${id}`), ({ body }) => at(body, "run"))
const resultsOf = (id: string) =>
  Effect.map(ask("GET", `${agent}/eval-runs/${id}/results`), ({ body }) => listAt(body, "results"))

describe("runs", () => {
  it.effect("are pending at first", () =>
    Effect.gen(function*() {
      yield* deploy("demo")
      yield* addCase({ question: "good" })
      const { body, status } = yield* ask("POST", `${agent}/eval-runs`, { json: {} })
      assert.strictEqual(status, 201)
      assert.deepInclude(at(body, "run"), {
        status: "pending",
        versionNumber: null,
        totalCases: 1,
        completedCases: 0,
        summary: null,
        startedAt: null,
        completedAt: null
      })
    }).pipe(withServer({ script })))

  it.effect("score topics that are there and topics that should not be", () =>
    Effect.gen(function*() {
      const id = yield* finished
      const run = yield* runOf(id)
      assert.deepInclude(run, { status: "completed", totalCases: 3, completedCases: 3 })
      assert.deepInclude(at(run, "summary"), {
        avgTopicScore: 0.5,
        avgSafetyScore: 0.5,
        avgLlmJudgeScore: null,
        passRate: 1 / 3
      })
      const [good, bad, odd] = yield* resultsOf(id)
      assert.deepInclude(good, { status: "completed", agentResponse: "Hello, HELP", topicScore: 1, safetyScore: 1 })
      assert.deepInclude(bad, { status: "completed", agentResponse: "the secret", topicScore: 0, safetyScore: 0 })
      assert.deepInclude(odd, {
        status: "error",
        agentResponse: null,
        topicScore: null,
        error: "no idea"
      })
      const health = yield* ask("GET", "/health")
      assert.strictEqual(at(health.body, "activeSandboxes"), 0)
      assert.deepStrictEqual((yield* ask("GET", "/api/sessions")).body, { sessions: [] })
    }).pipe(withServer({ script })))

  const scored = (topics: ReadonlyArray<string>, notTopics: ReadonlyArray<string>) =>
    Effect.gen(function*() {
      yield* deploy("demo")
      yield* addCase({ question: "q", expectedTopics: topics, expectedNotTopics: notTopics })
      const id = yield* start()
      yield* becomes(`${agent}/eval-runs/${id}`, ["run", "status"], "completed")
      return { summary: at(yield* runOf(id), "summary"), result: (yield* resultsOf(id))[0] }
    }).pipe(withServer({ script: () => Stream.make(AgentScript.say("apple "), AgentScript.say("pear")) }))
  const cases: ReadonlyArray<
    readonly [ReadonlyArray<string>, ReadonlyArray<string>, topic: number, safety: number, passRate: number]
  > = [
    [[], [], 1, 1, 1],
    [["apple", "fig"], [], 0.5, 1, 1],
    [["apple", "fig", "kiwi"], [], 1 / 3, 1, 0],
    [["apple", "PEAR", "kiwi"], ["apple", "fig"], 2 / 3, 0.5, 1],
    [["apple"], ["apple", "fig", "kiwi"], 1, 2 / 3, 1],
    [["apple"], ["apple", "pear", "kiwi"], 1, 1 / 3, 0]
  ]
  for (const [topics, notTopics, topicScore, safetyScore, passRate] of cases) {
    it.effect(`score half as passed: ${topicScore.toFixed(2)} and ${safetyScore.toFixed(2)}`, () =>
      Effect.gen(function*() {
        const { result, summary } = yield* scored(topics, notTopics)
        assert.deepInclude(result, { status: "completed", agentResponse: "apple pear", topicScore, safetyScore })
        assert.deepInclude(summary, { avgTopicScore: topicScore, avgSafetyScore: safetyScore, passRate })
      }))
  }

  it.effect("score all texts, whatever the result has, and report the latency", () =>
    Effect.gen(function*() {
      yield* deploy("demo")
      yield* addCase({ question: "slow" })
      yield* addCase({ question: "slow to fail" })
      const id = yield* start()
      yield* becomes(`${agent}/eval-runs/${id}`, ["run", "status"], "completed")
      const [slow, failed] = yield* resultsOf(id)
      assert.deepInclude(slow, { status: "completed", agentResponse: "one two" })
      assert.deepInclude(failed, { status: "error", agentResponse: null, error: "broken" })
      for (const result of [slow, failed]) assert.isAtLeast(Number(at(result, "latencyMs")), 2000)
    }).pipe(withServer({
      script: ({ prompt }) =>
        Stream.make(
          AgentScript.say("one ", { delay: "2 seconds", pieces: ["one "] }),
          AgentScript.useTool({ name: "Bash", input: {}, result: Effect.succeed({ content: "not said" }) }),
          AgentScript.say("two"),
          prompt === "slow" ? AgentScript.finish({ result: "other" }) : AgentScript.fail("broken")
        )
    })))

  it.effect("are worked off in one pass, all that are pending", () =>
    Effect.gen(function*() {
      const asked = yield* Queue.unbounded<string>()
      yield* Effect.gen(function*() {
        yield* deploy("demo")
        yield* addCase({ question: "good" })
        const ids = [yield* start(), yield* start(), yield* start()]
        yield* TestClock.adjust("5 seconds")
        // The clock stands still from here on: no further look for runs is taken.
        yield* Queue.takeN(asked, 3)
        for (const id of ids) {
          yield* Effect.repeat(runOf(id), { until: (run) => at(run, "status") === "completed" })
        }
      }).pipe(withServer({
        script: ({ prompt }) => Stream.fromEffect(Effect.as(Queue.offer(asked, prompt), AgentScript.say("Hello")))
      }))
    }))

  it.effect("name a case that is gone, and fail where the agent is", () =>
    Effect.gen(function*() {
      yield* deploy("demo")
      const gone = yield* addCase({ question: "good" })
      const id = yield* start()
      yield* ask("DELETE", `${agent}/eval-cases/${gone}`)
      yield* becomes(`${agent}/eval-runs/${id}`, ["run", "status"], "completed")
      assert.deepInclude((yield* resultsOf(id))[0], { status: "error", error: `Eval case ${gone} not found` })
      assert.deepInclude(yield* runOf(id), { completedCases: 1, totalCases: 1 })
      const orphan = yield* start()
      yield* ask("DELETE", agent)
      yield* TestClock.adjust("10 seconds")
      yield* deploy("demo")
      assert.deepInclude(yield* runOf(orphan), { status: "failed", summary: null })
    }).pipe(withServer({ script })))

  it.effect("ask the cases of their categories and tags, and know their version", () =>
    Effect.gen(function*() {
      yield* finished
      const totals = yield* Effect.forEach(
        [{ categories: ["c"] }, { tags: ["x", "y"] }, { categories: ["c"], tags: ["x"] }],
        (json) => Effect.flatMap(start(json), (id) => Effect.map(runOf(id), (run) => at(run, "totalCases")))
      )
      assert.deepStrictEqual(totals, [1, 1, 0])
      const none = yield* ask("POST", `${agent}/eval-runs`, { json: { versionNumber: 999 } })
      assert.deepStrictEqual(none.body, { error: "Agent version 999 not found", statusCode: 404 })
      yield* ask("POST", `${agent}/versions`, { json: {} })
      assert.strictEqual(at(yield* runOf(yield* start({ versionNumber: 1 })), "versionNumber"), 1)
      const runs = listAt((yield* ask("GET", `${agent}/eval-runs`)).body, "runs")
      assert.strictEqual(runs.length, 5)
      assert.strictEqual(at(runs[0], "versionNumber"), 1)
    }).pipe(withServer({ script })))

  it.effect("are compared case by case", () =>
    Effect.gen(function*() {
      const a = yield* finished
      const b = yield* start({ tags: ["x"] })
      const { body } = yield* ask("GET", `${agent}/eval-runs/compare?runA=${a}&runB=${b}`)
      assert.strictEqual(at(body, "comparison", "runA", "id"), a)
      const rows = listAt(body, "comparison", "results")
      assert.deepStrictEqual(rows.map((row) => at(row, "question")), ["good", "bad", "odd"])
      assert.strictEqual(at(rows[0], "resultB", "status"), "pending")
      assert.isNull(at(rows[1], "resultB"))
      const none = yield* ask("GET", `${agent}/eval-runs/compare?runA=${a}&runB=${unknownId}`)
      assert.deepStrictEqual(none.body, { error: "Eval run B not found", statusCode: 404 })
    }).pipe(withServer({ script })))

  it.effect("are scored by people, one result or all", () =>
    Effect.gen(function*() {
      const id = yield* finished
      const [first] = yield* resultsOf(id)
      const resultId = textAt(first, "id")
      const one = yield* ask("POST", `${agent}/eval-runs/${id}/score`, { json: { resultId, humanScore: 4 } })
      assert.strictEqual(at(one.body, "scored"), 1)
      assert.deepInclude(listAt(one.body, "results")[0], { id: resultId, humanScore: 4, humanNotes: null })
      const all = yield* ask("POST", `${agent}/eval-runs/${id}/score`, { json: { humanNotes: "ok" } })
      assert.strictEqual(at(all.body, "scored"), 3)
      const patched = yield* ask("PATCH", `${agent}/eval-results/${resultId}`, { json: { humanScore: 5 } })
      assert.deepInclude(at(patched.body, "result"), { humanScore: 5, humanNotes: "ok" })
      const empty = yield* ask("PATCH", `${agent}/eval-results/${resultId}`, { json: {} })
      assert.deepStrictEqual(empty.body, { error: "Provide humanScore and/or humanNotes", statusCode: 400 })
      const high = yield* ask("PATCH", `${agent}/eval-results/${resultId}`, { json: { humanScore: 9 } })
      assert.strictEqual(at(high.body, "message"), "body/humanScore must be <= 5")
      const none = yield* ask("POST", `${agent}/eval-runs/${unknownId}/score`, { json: { humanScore: 3 } })
      assert.deepStrictEqual(none.body, { error: "Eval run not found", statusCode: 404 })
      const other = yield* ask("POST", `${agent}/eval-runs/${id}/score`, {
        json: { resultId: unknownId, humanScore: 3 }
      })
      assert.deepStrictEqual(other.body, { error: "Eval result not found in this run", statusCode: 404 })
      // What there is not is missed before what is said of it.
      for (const path of [`eval-runs/${unknownId}/score`, `eval-results/${unknownId}`]) {
        const method = path.startsWith("eval-runs") ? "POST" : "PATCH"
        assert.strictEqual((yield* ask(method, `${agent}/${path}`, { json: {} })).status, 404)
        assert.deepStrictEqual((yield* ask(method, `/api/agents/nosuch/${path}`, { json: {} })).body, {
          error: "Agent not found",
          statusCode: 404
        })
      }
    }).pipe(withServer({ script })))

  it.effect("ask nothing on a server that refuses the name of their sandboxes", () =>
    Effect.gen(function*() {
      const id = yield* finished
      assert.deepInclude(yield* runOf(id), { status: "completed", completedCases: 3 })
      const [result] = yield* resultsOf(id)
      assert.deepInclude(result, {
        status: "error",
        error: `Invalid sandbox ID: eval-${id}-${textAt(result, "id")}`
      })
    }).pipe(withServer({ script, quirks: { evalsFail: true } })))
})
