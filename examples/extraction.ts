/**
 * Typed records out of ten texts: the schema goes out with each prompt, and what comes back is decoded. An answer that does
 * not match is asked for again; where it still does not, the text is listed with the reason, and the others go on.
 *
 * With `ASH_SERVER_URL` (and `ASH_API_KEY`) it runs on that server, otherwise on an embedded one, whose agent follows a script.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Config, Console, DateTime, Effect, Layer, Result, Schema, Stream } from "effect"
import { Agents, type SessionHandle, Sessions } from "effect-ash"
import { AgentScript, AshEmbedded } from "effect-ash/embedded"
import { AshNode } from "effect-ash/node"

const Order = Schema.Struct({
  customer: Schema.NonEmptyString.annotate({ description: "the name of the person" }),
  ordered: Schema.DateTimeUtcFromString.annotate({ description: "the day of the order, at midnight in UTC" }),
  items: Schema.NonEmptyArray(Schema.Struct({
    article: Schema.String,
    count: Schema.Int.check(Schema.isGreaterThan(0))
  })),
  delivery: Schema.Literals(["post", "courier", "pick-up"])
})

const texts = [
  "On 2026-03-02 Ada Lovelace ordered 2 looms and 1 shuttle. Send it by post.",
  "Grace Hopper, 2026-03-02: 3 compilers, by courier please.",
  "2026-03-03. Alan Turing will pick up 1 bombe.",
  "Katherine Johnson wrote on 2026-03-03: 12 tables by post.",
  "Please note: 4 spanners for Hedy Lamarr, 2026-03-04, courier.",
  "Edsger Dijkstra, 2026-03-04, 1 semaphore. He comes to pick it up.",
  "By post to Barbara Liskov: 5 clusters. Ordered 2026-03-05.",
  "John McCarthy ordered 7 lists on 2026-03-05; courier.",
  "Margaret Hamilton, 2026-03-06, post: 11 manuals and 1 alarm.",
  "The weather was fine on 2026-03-06, and nobody ordered a thing."
]

/** An order out of a text, or why there is none. */
const extract = (session: SessionHandle, text: string) =>
  Effect.result(session.askAs(Order, `Read the order in this text.\n\n${text}`, { maxBudgetUsd: 0.25 }))

type Extracted = Effect.Success<ReturnType<typeof extract>>

const lineOf = (extracted: Extracted) => {
  if (Result.isFailure(extracted)) return `no order: ${extracted.failure.reason.message}`
  const { from, turns, value: { customer, delivery, items, ordered } } = extracted.success
  const list = items.map(({ article, count }) => `${count} ${article}`).join(", ")
  const how = turns.length === 1 ? from : `${from}, at the second try`
  return `${DateTime.formatIsoDateUtc(ordered)}  ${customer}: ${list} (${delivery})  [${how}]`
}

const agent = { name: "order-reader", systemPrompt: "You read orders in texts. You invent nothing." }

/** Extracts from all texts, in one session, and prints what there is. */
const extractAll = Effect.gen(function*() {
  const session = yield* (yield* Sessions).open({ agent: agent.name })
  const extracted = yield* Effect.forEach(
    texts,
    (text) => Effect.tap(extract(session, text), (order) => Console.log(lineOf(order)))
  )
  const { turns, usd } = yield* session.spent
  const orders = extracted.filter(Result.isSuccess)
  yield* Console.log(
    `${orders.length} orders in ${texts.length} texts: ${turns} turns, $${usd.toFixed(2)} by estimate`
  )
}).pipe(Effect.scoped)

const program = Effect.gen(function*() {
  const agents = yield* Agents
  yield* Effect.acquireRelease(
    agents.create(agent),
    () => Effect.ignore(agents.delete(agent.name), { log: true })
  )
  yield* extractAll
}).pipe(Effect.scoped)

/** What a model would read in a text, for the embedded server. */
const read = (text: string) => ({
  customer: /[A-Z]\w+ [A-Z]\w+/.exec(text.replace(/Please note|By post|Read the/g, ""))?.[0] ?? "",
  ordered: `${/\d{4}-\d\d-\d\d/.exec(text)?.[0]}T00:00:00Z`,
  items: [...text.matchAll(/(?<![\d-])(\d+) ([a-z]+)/g)].map(([, count, article = ""]) => ({
    article,
    count: Number(count)
  })),
  delivery: /courier/.test(text) ? "courier" : /pick/.test(text) ? "pick-up" : "post"
})

/** Answers as models do: as structured output, in a code block, or at first with a date that is none. */
const reader = (): AgentScript.AgentScript => {
  let last = ""
  return ({ prompt }) => {
    const isNewTry = !prompt.startsWith("Read the order")
    if (!isNewTry) last = prompt
    const order = read(last)
    const usage = { input_tokens: 400, output_tokens: 80 }
    if (last.includes("Dijkstra") && !isNewTry) {
      return Stream.make(
        AgentScript.finish({ cost: 0.01, usage, structuredOutput: { ...order, ordered: "the fourth of March" } })
      )
    }
    return Stream.make(
      last.includes("Hopper")
        ? AgentScript.finish({ cost: 0.01, usage, result: `\`\`\`json\n${JSON.stringify(order, null, 2)}\n\`\`\`` })
        : AgentScript.finish({ cost: 0.01, usage, structuredOutput: order })
    )
  }
}

const services = Layer.unwrap(
  Effect.map(
    Config.withDefault(Config.String("ASH_SERVER_URL"), ""),
    (url) => url === "" ? AshEmbedded.layer({ script: reader() }) : AshNode.layerConfig()
  )
)

// A reader that closes the pipe, as `head` does, ends the program as Ctrl-C does: what it made on the server goes, too.
process.stdout.on("error", () => process.emit("SIGINT"))

program.pipe(
  Effect.provide(services),
  Effect.tapError((error) => Console.error(error.message)),
  Effect.tapDefect((defect) => Console.error(String(defect))),
  NodeRuntime.runMain({ disableErrorReporting: true })
)
