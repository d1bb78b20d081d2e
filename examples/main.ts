/**
 * The first turn: deploys an agent, opens a session, streams an answer to the terminal and ends the session.
 *
 * With `ASH_SERVER_URL` (and `ASH_API_KEY`) it runs on that server, otherwise on an embedded one.
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Config, Console, Data, Effect, FileSystem, Layer, Option, Path, Stream, Terminal } from "effect"
import { Agents, Health, Sessions, type Turn, TurnStream } from "effect-ash"
import { AshEmbedded } from "effect-ash/embedded"
import { AshNode, deployDirectory } from "effect-ash/node"
import { Command, Flag } from "effect/cli"

class NoSuchAgent extends Data.TaggedError("NoSuchAgent")<{ readonly message: string }> {}

/** The agent as the server has it, unless its folder beside this file differs, which is deployed then. */
const findOrDeploy = Effect.fn(function*(name: string) {
  const fileSystem = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const agents = yield* Agents
  const folder = path.join(import.meta.dirname, "agents", name)
  const found = yield* agents.get(name).pipe(
    Effect.asSome,
    Effect.catchReason("AshError", "NotFound", () => Effect.succeedNone)
  )
  const hasFolder = yield* fileSystem.exists(folder)
  if (Option.isSome(found) && (!hasFolder || (yield* isDeployed(name, folder)))) {
    yield* Console.log(`Agent ${name}, version ${found.value.version}, is on the server`)
    return found.value
  }
  if (!hasFolder) {
    return yield* new NoSuchAgent({ message: `no such agent: ${name} is neither on the server nor in examples/agents` })
  }
  const agent = yield* deployDirectory(folder, { name })
  yield* Console.log(`Agent ${name}, version ${agent.version}, deployed from examples/agents/${name}`)
  return agent
})

/** Whether the server has every file of a folder as it is there. */
const isDeployed = Effect.fn(function*(name: string, folder: string) {
  const fileSystem = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const agents = yield* Agents
  for (const file of yield* fileSystem.readDirectory(folder, { recursive: true })) {
    if ((yield* fileSystem.stat(path.join(folder, file))).type !== "File") continue
    const deployed = yield* agents.readFile(name, file.replaceAll(path.sep, "/")).pipe(
      Effect.flatMap(({ content }) => content.pipe(Stream.decodeText, Stream.mkString)),
      Effect.scoped,
      Effect.catchReason("AshError", "NotFound", () => Effect.succeed(undefined))
    )
    if (deployed !== (yield* fileSystem.readFileString(path.join(folder, file)))) return false
  }
  return true
})

const summary = ({ costUsd, numTurns, result, toolCalls, usage }: Turn) =>
  [
    `\n\nResult: ${result?.subtype ?? "none"}`,
    `Model calls: ${numTurns ?? "unknown"}`,
    ...toolCalls.map(({ input, name }) => `Tool call: ${name} ${JSON.stringify(input)}`),
    `Tokens: ${usage?.input_tokens ?? 0} in, ${usage?.output_tokens ?? 0} out`,
    `Cost: $${(costUsd ?? 0).toFixed(4)}`
  ].join("\n")

const firstTurn = Effect.fn(function*(agentName: string, prompt: string) {
  const health = yield* Health
  const sessions = yield* Sessions
  const terminal = yield* Terminal.Terminal
  const { version } = yield* health.get()
  yield* Console.log(`Ash server ${version ?? "of unknown version"}`)
  const agent = yield* findOrDeploy(agentName)

  yield* Effect.scoped(Effect.gen(function*() {
    const session = yield* sessions.open({ agent: agent.name })
    yield* Console.log(`Session ${session.id}\n\n> ${prompt}\n`)
    const turn = yield* TurnStream.toTurn(session.stream(prompt, { includePartialMessages: true }), {
      onText: terminal.display
    })
    yield* Console.log(summary(turn))
  }))
  yield* Console.log("Session ended")
})

const services = Layer.unwrap(
  Effect.map(
    Config.withDefault(Config.String("ASH_SERVER_URL"), ""),
    (url) => url === "" ? AshEmbedded.layer() : AshNode.layerConfig()
  )
)

const command = Command.make("start", {
  agent: Flag.String("agent").pipe(
    Flag.withDescription("The agent's name; deployed from examples/agents when the server does not have it"),
    Flag.withDefault("assistant")
  ),
  prompt: Flag.String("prompt").pipe(
    Flag.withDescription("The prompt for the agent"),
    Flag.withDefault("Hello! What is in your workspace?")
  )
}, ({ agent, prompt }) =>
  firstTurn(agent, prompt).pipe(
    Effect.provide(services),
    Effect.tapError((error) => Console.error(error.message)),
    Effect.tapDefect((defect) => Console.error(String(defect)))
  )).pipe(Command.withDescription("Streams one turn of an agent"))

// A reader that closes the pipe, as `head` does, ends the program as Ctrl-C does: what it made on the server goes, too.
process.stdout.on("error", () => process.emit("SIGINT"))

Command.run(command, { version: "0.1.0" }).pipe(
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain({ disableErrorReporting: true })
)
