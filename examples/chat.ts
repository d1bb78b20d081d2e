/**
 * A chat in the terminal: text and tools of the agent as they come. Ctrl-C cancels the turn that runs; where none runs, or
 * pressed once more, it ends the program.
 *
 * With `ASH_SERVER_URL` (and `ASH_API_KEY`) it runs on that server, otherwise on an embedded one. Without a terminal, as in a
 * pipeline, a script types: prompts, a Ctrl-C in the middle of a turn, and two to leave.
 */
import { NodeRuntime, NodeTerminal } from "@effect/platform-node"
import { Cause, Config, Console, Data, Effect, Fiber, Layer, Option, Queue, References, Stream, Terminal } from "effect"
import { Agents, type SessionHandle, Sessions } from "effect-ash"
import { AshEmbedded } from "effect-ash/embedded"
import { AshNode } from "effect-ash/node"

/** The user leaves while a turn runs. */
class Left extends Data.TaggedError("Left") {}

const isCtrlC = ({ key }: Terminal.UserInput) => key.ctrl && key.name === "c"

/** Shows a turn while it runs. */
const show = Effect.fnUntraced(function*(session: SessionHandle, prompt: string) {
  const { display } = yield* Terminal.Terminal
  yield* Stream.runForEach(session.stream(prompt, { includePartialMessages: true }), (event) => {
    switch (event._tag) {
      case "TextDelta":
        return display(event.delta)
      case "TextReplaced":
        return display(`\n(instead of the above:) ${event.text}`)
      case "ToolUse":
        return display(`\n  [${event.name ?? "a tool"} ${JSON.stringify(event.input ?? {})}`)
      case "ToolResult":
        return display(event.is_error === true ? " failed]\n" : " done]\n")
      case "SessionRestarted":
        return display(`(the session was restarted, as ${event.reason}; lost: ${event.lost.join(", ") || "nothing"})\n`)
      default:
        return Effect.void
    }
  }).pipe(
    Effect.catchTag("AshError", ({ message }) => display(`\n(${message})`)),
    Effect.onInterrupt(() => Effect.ignore(display("\n(cancelled)\n\n"))),
    Effect.andThen(display("\n\n"))
  )
})

/** Runs a turn until it ends or Ctrl-C cancels it. What is typed meanwhile is not kept. */
const runTurn = Effect.fnUntraced(function*(session: SessionHandle, prompt: string) {
  const terminal = yield* Terminal.Terminal
  const keys = yield* terminal.readInput
  const pressed = Effect.repeat(Queue.take(keys), { until: isCtrlC }).pipe(
    Effect.catchIf(Cause.isDone, () => Effect.never)
  )
  const turn = yield* Effect.forkScoped(show(session, prompt))
  const cancel = Effect.gen(function*() {
    yield* pressed
    yield* terminal.display("\n(cancelling: the session is stopped; Ctrl-C leaves)")
    yield* Effect.forkScoped(Fiber.interrupt(turn))
    yield* pressed
    return yield* new Left()
  })
  yield* Effect.raceFirst(Fiber.await(turn), cancel)
}, Effect.scoped)

const chat = Effect.gen(function*() {
  const agents = yield* Agents
  const sessions = yield* Sessions
  const terminal = yield* Terminal.Terminal
  const agent = yield* Effect.acquireRelease(
    agents.create({ name: "chat-example", systemPrompt: "You are a helpful assistant." }),
    ({ name }) => Effect.ignore(agents.delete(name), { log: true })
  )
  // A turn that is cancelled stops its session, and the next one restarts it with its files.
  const session = yield* sessions.open({ agent: agent.name }, {
    onInterrupt: "stop",
    recovery: "restart",
    keepWorkspace: true
  })
  yield* terminal.display(`Session ${session.id}: Ctrl-C cancels a turn, and leaves where none runs.\n`)
  return yield* Effect.forever(Effect.gen(function*() {
    yield* terminal.display("> ")
    yield* runTurn(session, yield* terminal.readLine)
  }))
}).pipe(
  Effect.scoped,
  // The end of the input, or a second Ctrl-C.
  Effect.catchTag(["QuitError", "Left"], () => Effect.flatMap(Terminal.Terminal, ({ display }) => display("\nBye.\n")))
)

const ctrlC: Terminal.UserInput = {
  input: Option.some("\u0003"),
  key: { name: "c", ctrl: true, meta: false, shift: false }
}

/** What a script types: a prompt, and how often Ctrl-C once the answer begins. */
const typed = [["What is in your workspace?", 0], ["Tell me a long story.", 1], ["Are you there?", 2]] as const

/** A terminal without a person. */
const scripted = Layer.effect(
  Terminal.Terminal,
  Effect.gen(function*() {
    const rest = [...typed]
    const keys = yield* Queue.unbounded<Terminal.UserInput, Cause.Done>()
    let presses = 0
    return Terminal.make({
      columns: Effect.succeed(80),
      rows: Effect.succeed(24),
      size: Queue.make<Terminal.Size, Cause.Done>(),
      readInput: Effect.succeed(keys),
      readLine: Effect.suspend(() => {
        const [line, count] = rest.shift() ?? ["", 0]
        presses = count
        if (line === "") return new Terminal.QuitError({})
        process.stdout.write(`${line}\n`)
        return Effect.succeed(line)
      }),
      display: (text) =>
        Effect.sync(() => {
          process.stdout.write(text)
          if (presses === 0) return
          presses -= 1
          Queue.offerUnsafe(keys, ctrlC)
        })
    })
  })
)

const terminal = process.stdin.isTTY
  // Ctrl-C is ours while a turn runs. At the prompt it is a signal, which ends the program and its session.
  ? Layer.effect(Terminal.Terminal, NodeTerminal.make(() => false))
  : scripted

const services = Layer.unwrap(
  Effect.map(
    Config.withDefault(Config.String("ASH_SERVER_URL"), ""),
    (url) => url === "" ? AshEmbedded.layer() : AshNode.layerConfig()
  )
)

// A reader that closes the pipe, as `head` does, ends the program as Ctrl-C does: what it made on the server goes, too.
process.stdout.on("error", () => process.emit("SIGINT"))

chat.pipe(
  Effect.provide([services, terminal]),
  // A warning of a session that was restarted would tell what the chat shows.
  Effect.provideService(References.MinimumLogLevel, "Error"),
  Effect.tapError((error) => Console.error(error.message)),
  Effect.tapDefect((defect) => Console.error(String(defect))),
  NodeRuntime.runMain({ disableErrorReporting: true })
)
