/**
 * Evals: asks two versions of an agent the same questions, prints how the answers compare, and draws it as `evals.svg`.
 *
 * With `ASH_SERVER_URL` (and `ASH_API_KEY`) it runs on that server, otherwise on an embedded one, whose agent follows a script.
 * `--chart` is another place for the chart.
 *
 * Servers of the newest build ask a question only in a prepared sandbox, which has the prompt of the deployment, not that of
 * the version (docs/ash.md 3.4, 5.3). So each version is deployed as well, and a question that was not asked has no answer in the table and the chart.
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Config, Console, Data, Effect, FileSystem, Layer, Stream } from "effect"
import { Agents, AgentVersions, type EvalResult, Evals } from "effect-ash"
import { AgentScript, AshEmbedded } from "effect-ash/embedded"
import { AshNode } from "effect-ash/node"
import { Command, Flag } from "effect/cli"
import { type Answer, type Comparison, comparisonChart } from "./evals/chart.ts"

class NoComparison extends Data.TaggedError("NoComparison")<{ readonly message: string }> {}

const agent = "evals-example"

const before = {
  name: "before",
  systemPrompt: "You answer customers of a bookshop in a sentence. Books are sent within 2 days."
}
const after = {
  name: "with the shop's rules",
  systemPrompt:
    `${before.systemPrompt} A return is possible within 30 days. A gift card never expires. On a discount a ` +
    "colleague decides, so promise none."
}

/** An answer is scored by the texts that are in it, and by those that should not be. */
const cases = [
  { question: "How soon are books sent?", expectedTopics: ["2 days"] },
  { question: "Until when is a return possible?", expectedTopics: ["30 days"] },
  { question: "When does my gift card expire?", expectedTopics: ["never"] },
  { question: "Do I get a discount?", expectedTopics: ["colleague"], expectedNotTopics: ["10%"] }
]

/** Removes the questions and versions of the agent: they would be there again with the next agent of its name. */
const clear = Effect.gen(function*() {
  const evals = yield* Evals
  const versions = yield* AgentVersions
  for (const { id } of yield* evals.listCases(agent)) yield* evals.deleteCase(agent, id)
  for (const { id } of yield* versions.list(agent)) yield* versions.delete(agent, id)
})

/** Why a question has no answer, in a line. */
const errorOf = ({ error }: EvalResult) => error?.replace(/\p{C}+/gu, " ")

/** Puts a version in force and asks it all questions. A run of a server that restarts never ends. */
const run = Effect.fn(function*({ name, systemPrompt }: typeof before) {
  const agents = yield* Agents
  const evals = yield* Evals
  const versions = yield* AgentVersions
  yield* agents.create({ name: agent, systemPrompt })
  const { id, versionNumber } = yield* versions.create(agent, { name, systemPrompt })
  yield* versions.activate(agent, id)
  yield* Console.log(`Version ${versionNumber}, ${name}: asking ${cases.length} questions`)
  const finished = yield* evals.runToCompletion(agent, { versionNumber, every: "1 second" }).pipe(
    Effect.timeoutOrElse({
      duration: "15 minutes",
      orElse: () => new NoComparison({ message: `the run of version ${versionNumber} has not ended in 15 minutes` })
    })
  )
  if (!finished.results.some(({ status }) => status === "completed")) {
    const why = finished.results.map(errorOf).find((error) => error !== undefined) ??
      `the run is ${finished.run.status}`
    return yield* new NoComparison({
      message: `version ${versionNumber} answered no question: ${why}; docs/ash.md 3.4 has what servers need for evals`
    })
  }
  return finished.run
})

/** What a result comes to in the chart. */
const answerOf = (result: EvalResult | null | undefined): Answer =>
  result?.status === "completed"
    ? { score: result.topicScore ?? 0, note: (result.safetyScore ?? 1) < 1 ? "has what it should not" : "" }
    : { score: undefined, note: `no answer: ${result ? errorOf(result) ?? result.status : "no result"}` }

/** Runs both versions, and compares what they answered. */
const compare = Effect.gen(function*() {
  const evals = yield* Evals
  yield* clear
  yield* evals.importCases(agent, cases)
  const runs = [yield* run(before), yield* run(after)] as const
  const { results, runA, runB } = yield* evals.compareRuns(agent, runs[0].id, runs[1].id)
  const comparison: Comparison = {
    title: `Two versions of ${agent}`,
    versions: [
      { name: `Version ${runA.versionNumber}, ${before.name}`, passRate: runA.summary?.passRate ?? 0 },
      { name: `Version ${runB.versionNumber}, ${after.name}`, passRate: runB.summary?.passRate ?? 0 }
    ],
    questions: results.map(({ question, resultA, resultB }) => ({
      question,
      answers: [answerOf(resultA), answerOf(resultB)]
    }))
  }
  return comparison
})

const percent = (share: number) => `${Math.round(100 * share)}%`

const cell = ({ note, score }: Answer) =>
  [...(score === undefined ? [] : [percent(score)]), ...(note === "" ? [] : [note])].join(", ").slice(0, 36)

/** The comparison as lines. */
const table = ({ questions, versions }: Comparison) =>
  [
    ["Expected texts in the answer", ...versions.map(({ name }) => name)],
    ...questions.map(({ answers, question }) => [question, ...answers.map(cell)]),
    ["Passed", ...versions.map(({ passRate }) => percent(passRate))]
  ].map((cells) => cells.map((text) => text.slice(0, 36).padEnd(38)).join("").trimEnd())

const program = Effect.fn(function*(path: string) {
  const agents = yield* Agents
  const fileSystem = yield* FileSystem.FileSystem
  yield* Effect.acquireRelease(
    agents.create({ name: agent, systemPrompt: before.systemPrompt }),
    () => Effect.ignore(Effect.andThen(clear, agents.delete(agent)), { log: true })
  )
  const comparison = yield* compare
  for (const line of ["", ...table(comparison), ""]) yield* Console.log(line)
  yield* fileSystem.writeFileString(path, comparisonChart(comparison))
  yield* Console.log(`The chart is in ${path}`)
}, Effect.scoped)

/** In the place of a model: the sentence of the prompt that has the most words of the question. */
const script: AgentScript.AgentScript = ({ agent, prompt }) => {
  const wordsOf = (text: string) => new Set(text.toLowerCase().match(/[a-z]{4,}/g))
  const asked = wordsOf(prompt)
  const [best] = agent.systemPrompt.split(/(?<=\.) /)
    .map((sentence) => ({ sentence, shared: [...wordsOf(sentence)].filter((word) => asked.has(word)).length }))
    .toSorted((one, other) => other.shared - one.shared)
  return Stream.make(
    AgentScript.say(best !== undefined && best.shared > 0 ? best.sentence : "Of course, and you get 10% off!")
  )
}

const services = Layer.unwrap(
  Effect.map(
    Config.withDefault(Config.String("ASH_SERVER_URL"), ""),
    (url) => url === "" ? AshEmbedded.layer({ script }) : AshNode.layerConfig()
  )
)

const command = Command.make("evals", {
  chart: Flag.String("chart").pipe(Flag.withDescription("Where to write the chart"), Flag.withDefault("evals.svg"))
}, ({ chart }) =>
  program(chart).pipe(
    Effect.provide(services),
    Effect.tapError((error) => Console.error(error.message)),
    Effect.tapDefect((defect) => Console.error(String(defect)))
  )).pipe(Command.withDescription("Compares two versions of an agent"))

// A reader that closes the pipe, as `head` does, ends the program as Ctrl-C does: what it made on the server goes, too.
process.stdout.on("error", () => process.emit("SIGINT"))

Command.run(command, { version: "0.1.0" }).pipe(
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain({ disableErrorReporting: true })
)
