/**
 * What programs of the official TypeScript SDK do, in the order of its documentation, by promises: agents, sessions,
 * messages, files, errors.
 *
 * With `ASH_SERVER_URL` (and `ASH_API_KEY`) it runs on that server, otherwise on an embedded one.
 */
import { AshEmbedded } from "effect-ash/embedded"
import { AshNode } from "effect-ash/node"
import { AshError, connect, textDeltas } from "effect-ash/promise"

const tour = async () => {
  await using ash = await connect(
    process.env.ASH_SERVER_URL ? AshNode.layerConfig() : AshEmbedded.layer()
  )

  // Agents
  const name = "promise-example"
  const agent = await ash.agents.create({ name, systemPrompt: "You are a helpful assistant." })
  // Leaves the server as it was, also where something fails.
  await using _ = { [Symbol.asyncDispose]: () => ash.agents.delete(name) }
  console.log(`Deployed: ${agent.name} v${agent.version}`)
  console.log(`Agents: ${(await ash.agents.list()).length}`)

  // Sessions: one that `await using` ends, where the official SDK needs `endSession`
  {
    await using session = await ash.sessions.open({ agent: name })
    console.log(`Session: ${(await session.get()).status}, one of ${(await ash.sessions.list({ agent: name })).length}`)

    // Messages: the text as it arrives, or the turn as one value
    for await (const text of textDeltas(session.stream("Hello!", { includePartialMessages: true }))) {
      process.stdout.write(text)
    }
    const turn = await session.ask("And again!")
    console.log(`\nTurn: ${turn.text.length > 0 ? "answered" : "empty"}, ${turn.usage?.output_tokens ?? 0} tokens out`)
    for await (const { role, sequence } of session.history()) console.log(`Message ${sequence}: ${role}`)

    // Files and commands of the workspace
    await session.files.write([{ path: "notes/today.md", content: "# Today\n" }])
    console.log(`File: ${(await session.files.readText("notes/today.md")).trim()}`)
    console.log(`Command: ${(await session.exec("ls notes")).stdout.trim()}`)

    // Pause and resume
    console.log(`Paused: ${(await session.pause()).status}, resumed: ${(await session.resume()).status}`)
  }

  // Errors have a reason; calls have limits, and signals that abort them
  try {
    await ash.with({ timeout: "10 seconds", signal: AbortSignal.timeout(60_000) }).agents.get("nobody")
  } catch (error) {
    if (!(error instanceof AshError)) throw error
    console.log(`Error: ${error.reason._tag}: ${error.message}`)
  }
}

// A reader may close the pipe, as `head` does: the tour goes on, as it leaves the server as it was.
process.stdout.on("error", () => undefined)

try {
  await tour()
} catch (error) {
  if (!(error instanceof AshError)) throw error
  console.error(error.message)
  process.exitCode = 1
}
