/** The checks on Node, Bun and Deno: over a client of this runtime, or with the embedded server in it. */
import { connect } from "effect-ash/promise"
import { once } from "node:events"
import { createServer } from "node:net"
import { reasonOf, smoke } from "./smoke.js"

const [, , how, url, apiKey] = process.argv

/** The platform's `fetch` needs nothing of Node. */
const serverOf = async (url) => {
  if (how === "fetch") return { url, apiKey }
  if (how === "embedded") {
    const { AshEmbedded } = await import("effect-ash/embedded")
    const { agents } = await import("./agents.js")
    return AshEmbedded.layer({ agents })
  }
  const { AshNode } = await import("effect-ash/node")
  return AshNode[how]({ url, apiKey })
}

/** A port on which nothing listens. */
const freePort = async () => {
  const closed = createServer().listen(0, "127.0.0.1")
  await once(closed, "listening")
  const { port } = closed.address()
  await new Promise((done) => closed.close(done))
  return port
}

const ash = await connect(await serverOf(url))
const failures = await smoke(ash)
await ash[Symbol.asyncDispose]()

const port = await freePort()
const address = `http://127.0.0.1:${port}`
if (how === "embedded") {
  const { AshEmbedded } = await import("effect-ash/embedded")
  const { agents } = await import("./agents.js")
  const server = await connect(AshEmbedded.layerHttp({ agents, port, apiKey: "key" }))
  const client = await connect({ url: address, apiKey: "key" })
  for (const [check, why] of Object.entries(await smoke(client))) failures[`${check} on a port`] = why
  await client[Symbol.asyncDispose]()
  // Its end waits for no connection that a client keeps; where it does, this process is ended, and fails.
  await server[Symbol.asyncDispose]()
} else {
  const nowhere = await connect(await serverOf(address))
  const reason = await reasonOf(nowhere.sessions.open({ agent: "echo" }))
  await nowhere[Symbol.asyncDispose]()
  if (reason !== "NotReached") failures.unreached = `expected NotReached, not ${reason}`
}
console.log(JSON.stringify(failures))
