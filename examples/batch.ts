/**
 * A batch: 200 prompts over 10 sessions, with a progress bar, the cost so far, and a budget that it keeps to.
 *
 * With `ASH_SERVER_URL` (and `ASH_API_KEY`) it runs on that server, otherwise on an embedded one, where turns cost made-up
 * amounts. `--prompts`, `--sessions` and `--budget` change the numbers.
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Config, Console, Data, Effect, Fiber, Layer, Result, Stream, SubscriptionRef, Terminal } from "effect"
import { Agents, type BatchProgress, Budget, noProgress } from "effect-ash"
import { AgentScript, AshEmbedded } from "effect-ash/embedded"
import { AshNode } from "effect-ash/node"
import { Command, Flag } from "effect/cli"

class SomeFailed extends Data.TaggedError("SomeFailed")<{ readonly message: string }> {}

const agent = "batch-example"

const systemPrompt = "You name the animal of a sound, in one word."

const sounds = ["moo", "woof", "meow", "quack", "neigh", "oink", "hoo", "baa"]

const promptsOf = (count: number) =>
  Stream.map(Stream.range(1, count), (number) => `${number}. Which animal makes: ${sounds[number % sounds.length]}?`)

const width = 30

const bar = ({ costUsd, done, failed, running }: BatchProgress, total: number) => {
  const filled = Math.floor(width * (done + failed) / total)
  const numbers = `${done} done, ${failed} failed, ${running} running, some $${costUsd.toFixed(4)}`
  return `[${"#".repeat(filled).padEnd(width, ".")}] ${numbers}`
}

/** Draws the bar over itself on a terminal, and a line for each tenth elsewhere. */
const draw = Effect.fn(function*(progress: SubscriptionRef.SubscriptionRef<BatchProgress>, total: number) {
  const terminal = yield* Terminal.Terminal
  const isTerminal = (yield* terminal.columns) > 0
  const counts = SubscriptionRef.changes(progress).pipe(Stream.takeUntil(({ done, failed }) => done + failed === total))
  const tenths = Stream.changesWith(
    counts,
    (one, other) =>
      Math.floor(10 * (one.done + one.failed) / total) === Math.floor(10 * (other.done + other.failed) / total)
  )
  yield* Stream.runForEach(
    isTerminal ? counts : tenths,
    (counts) => terminal.display(isTerminal ? `\r${bar(counts, total)}\u001b[K` : `${bar(counts, total)}\n`)
  )
})

const batch = Effect.fn(function*(options: { prompts: number; sessions: number; usd: number }) {
  const agents = yield* Agents
  const { version } = yield* Effect.acquireRelease(
    agents.create({ name: agent, systemPrompt }),
    () => Effect.ignore(agents.delete(agent), { log: true })
  )
  yield* Console.log(`Agent ${agent}, version ${version}: ${options.prompts} prompts, ${options.sessions} sessions`)
  const budget = yield* Budget.make({ usd: options.usd })
  const progress = yield* SubscriptionRef.make(noProgress)
  const answers = new Map<string, number>()
  const failures = new Map<string, number>()
  const drawing = yield* Effect.forkScoped(draw(progress, options.prompts))
  yield* agents.batch(agent, promptsOf(options.prompts), {
    sessions: options.sessions,
    options: { maxTurns: 3 },
    budget,
    progress
  }).pipe(
    Stream.runForEach(({ result }) =>
      Effect.sync(() => {
        const [counts, key] = Result.isSuccess(result)
          ? [answers, result.success.text]
          : [failures, result.failure.reason._tag]
        counts.set(key, (counts.get(key) ?? 0) + 1)
      })
    )
  )
  yield* Fiber.join(drawing)
  const { tokens, usd } = yield* budget.spent
  yield* Console.log(`\n${tokens} tokens, some $${usd.toFixed(4)} of $${options.usd}`)
  const mostOften = [...answers].toSorted(([, one], [, other]) => other - one).slice(0, 5)
  for (const [answer, count] of mostOften) yield* Console.log(`${count} x ${answer.slice(0, 60)}`)
  if (failures.size > 0) {
    const reasons = [...failures].map(([reason, count]) => `${count} x ${reason}`).join(", ")
    return yield* new SomeFailed({ message: `some prompts have no answer: ${reasons}` })
  }
}, Effect.scoped)

/** In the place of a model: an answer of one word, for about half a cent. */
const script: AgentScript.AgentScript = ({ prompt }) => {
  const animals = ["cow", "dog", "cat", "duck", "horse", "pig", "owl", "sheep"]
  const index = sounds.findIndex((sound) => prompt.includes(sound))
  return Stream.make(
    AgentScript.say(animals[index] ?? "none", { delay: "20 millis" }),
    AgentScript.finish({ cost: 0.004 + 0.0005 * index, usage: { input_tokens: 40, output_tokens: 3 } })
  )
}

const services = Layer.unwrap(
  Effect.map(
    Config.withDefault(Config.String("ASH_SERVER_URL"), ""),
    (url) => url === "" ? AshEmbedded.layer({ script }) : AshNode.layerConfig()
  )
)

const command = Command.make("batch", {
  prompts: Flag.Int("prompts").pipe(
    Flag.withDescription("How many prompts"),
    Flag.filter((count) => count >= 0, () => "0 or more"),
    Flag.withDefault(200)
  ),
  sessions: Flag.Int("sessions").pipe(Flag.withDescription("How many sessions"), Flag.withDefault(10)),
  budget: Flag.Finite("budget").pipe(Flag.withDescription("What it may cost, in US dollars"), Flag.withDefault(5))
}, ({ budget, prompts, sessions }) =>
  batch({ prompts, sessions, usd: budget }).pipe(
    Effect.provide(services),
    Effect.tapError((error) => Console.error(error.message)),
    Effect.tapDefect((defect) => Console.error(String(defect)))
  )).pipe(Command.withDescription("Asks an agent many prompts"))

// A reader that closes the pipe, as `head` does, ends the program as Ctrl-C does: what it made on the server goes, too.
process.stdout.on("error", () => process.emit("SIGINT"))

Command.run(command, { version: "0.1.0" }).pipe(
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain({ disableErrorReporting: true })
)
