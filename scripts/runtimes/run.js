/** The checks on Node, Bun and Deno: over a client of this runtime, or with the embedded server in it. */
import { connect } from "effect-ash/promise"
import { smoke } from "./smoke.js"

const [, , how, url, apiKey] = process.argv

/** The platform's `fetch` needs nothing of Node. */
const serverOf = async () => {
  if (how === "fetch") return { url, apiKey }
  if (how === "embedded") {
    const { AshEmbedded } = await import("effect-ash/embedded")
    const { agents } = await import("./agents.js")
    return AshEmbedded.layer({ agents })
  }
  const { AshNode } = await import("effect-ash/node")
  return AshNode[how]({ url, apiKey })
}

const ash = await connect(await serverOf())
const failures = await smoke(ash)
await ash[Symbol.asyncDispose]()
console.log(JSON.stringify(failures))
