/**
 * The first turn: deploys an agent, opens a session, streams an answer to the terminal and ends the session.
 *
 * With `ASH_SERVER_URL` (and `ASH_API_KEY`) it runs on that server, otherwise on an embedded one.
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Config, Console, Data, Effect, FileSystem, Layer, Option, Path, Terminal } from "effect"
import { Agents, Health, Messages, Sessions, type Turn } from "effect-ash"
import { AshEmbedded } from "effect-ash/embedded"
import { AshNode, deployDirectory } from "effect-ash/node"
import { Command, Flag } from "effect/cli"

class NoSuchAgent extends Data.TaggedError("NoSuchAgent")<{ readonly message: string }> {}

/** The agent as the server has it, or else deployed from its folder beside this file. */
const findOrDeploy = Effect.fn(function*(name: string) {
  const agents = yield* Agents
  return yield* agents.get(name).pipe(
    Effect.tap((agent) => Console.log(`Agent ${agent.name}, version ${agent.version}, is on the server`)),
    Effect.catchReason("AshError", "NotFound", () => deploy(name))
  )
})

const deploy = Effect.fn(function*(name: string) {
  const fileSystem = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const folder = path.join(import.meta.dirname, "agents", name)
  if (!(yield* fileSystem.exists(folder))) {
    return yield* new NoSuchAgent({ message: `no such agent: ${name} is neither on the server nor in examples/agents` })
  }
  const agent = yield* deployDirectory(folder, { name })
  yield* Console.log(`Agent ${agent.name}, version ${agent.version}, deployed from examples/agents/${name}`)
  return agent
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
    const turn = yield* Messages.toTurn(session.stream(prompt, { includePartialMessages: true }), {
      onText: terminal.display
    })
    yield* Console.log(summary(turn))
  }))
  yield* Console.log("Session ended")
})

const services = Layer.unwrap(
  Effect.map(
    Config.option(Config.String("ASH_SERVER_URL")),
    (url) => Option.isSome(url) ? AshNode.layerConfig() : AshEmbedded.layer()
  )
)

const command = Command.make("start", {
  agent: Flag.String("agent").pipe(
    Flag.withDescription("The agent's name; deployed from examples/agents when the server does not have it"),
    Flag.withDefault("assistant")
  ),
  prompt: Flag.String("prompt").pipe(
    Flag.withDescription("What to say to the agent"),
    Flag.withDefault("Hello! What is in your workspace?")
  )
}, ({ agent, prompt }) =>
  firstTurn(agent, prompt).pipe(
    Effect.provide(services),
    Effect.tapError((error) => Console.error(error.message))
  )).pipe(Command.withDescription("Streams one turn of an agent"))

Command.run(command, { version: "0.1.0" }).pipe(
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain({ disableErrorReporting: true })
)
