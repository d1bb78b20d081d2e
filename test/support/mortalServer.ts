/** A scripted server with one session that may come to harm while this program does not use it. */
import * as Struct from "effect/Struct"
import type { AshOptions } from "../../src/layers/Ash.ts"
import { session, sessionId } from "./fixtures.ts"
import * as Server from "./ScriptedServer.ts"
import * as Turns from "./turns.ts"

/** What may happen to a session while this program does not use it, and what it is like then. */
const harm = {
  "server restarted": { status: "paused", found: false, running: false },
  "sandbox killed": { lives: false, running: false },
  "sandbox gone": { found: false, running: false, words: "Sandbox not found" },
  "runner gone": { found: false, running: false, words: "Runner not available" },
  paused: { status: "paused" },
  stopped: { status: "stopped", found: false, running: false },
  "in error": { status: "error", found: false, running: false }
}

type Accident = keyof typeof harm

export const accidents: ReadonlyArray<Accident> = Struct.keys(harm)

/**
 * A server with one session, as a real one behaves: a restart of the server leaves it paused, a killed sandbox leaves
 * it active and answers "Not connected" until it is stopped and resumed, or "Sandbox not found" (docs/ash.md 5.6), or
 * "Runner not available" (docs/ash.md 3.6). An accident happens when it is told to, or behind the turn of the prompt `then <accident>`.
 */
export const make = (options: Partial<AshOptions> = {}) => {
  const state = { status: "active", lives: true, found: true, running: false, words: "Sandbox not found" }
  let sandbox = 0
  const mixed: Array<string> = []
  const sandboxId = () => `00000000-0000-4000-8000-${String(sandbox).padStart(12, "0")}`
  const describeSession = () => ({ session: { ...session, sandboxId: sandboxId(), status: state.status } })
  const wrong = (error: string) => Server.json({ error, statusCode: 400 }, 400)()
  const unusable = () => {
    if (state.status !== "active") return wrong(`Session is ${state.status}`)
    if (state.found) return undefined
    state.status = "error"
    return Server.json({ error: state.words, statusCode: 500 }, 500)()
  }
  const server = Server.forTurns(({ body, method, path }) => {
    const action = path.split("/").at(-1) ?? ""
    switch (`${method} ${action}`) {
      case "POST pause":
        if (state.status !== "active") return wrong(`Cannot pause session with status "${state.status}"`)
        happen("paused")
        return Server.json(describeSession())()
      case "POST stop":
        if (state.status !== "active") return wrong(`Cannot stop session with status "${state.status}"`)
        happen("stopped")
        return Server.json(describeSession())()
      case "POST resume":
        if (state.status === "ended") return Server.json({ error: "Session has ended" }, 410)()
        if (state.status !== "active" && !state.found) {
          sandbox += 1
          Object.assign(state, { lives: true, found: true, running: false })
        }
        state.status = "active"
        return Server.json(describeSession())()
      case "DELETE " + sessionId:
        state.status = "ended"
        return Server.json(describeSession())()
      case "POST exec": {
        const refusal = unusable()
        if (refusal !== undefined) return refusal
        return state.lives
          ? Server.json({ exitCode: 0, stdout: "ok\n", stderr: "" })()
          : Server.json({ error: "Exec failed: Not connected", statusCode: 500 }, 500)()
      }
      case "POST messages": {
        const refusal = unusable()
        if (refusal !== undefined) return refusal
        if (!state.lives) {
          return Server.sse(Server.frames(Turns.start, ["error", { error: "Not connected" }], Turns.done))()
        }
        if (state.running) mixed.push(body)
        const { content } = JSON.parse(body)
        const accident = accidents.find((accident) => content === `then ${accident}`)
        if (accident !== undefined) happen(accident)
        if (content === "break") {
          state.running = true
          return Server.breaking(Server.frames(Turns.start))()
        }
        return Turns.saying(`You said: ${content}`)()
      }
      default:
        if (path.includes("/messages?")) return Server.json({ messages: [] })()
        if (path.includes("/events?")) return Server.json({ events: [] })()
        return action === "workspace" && method === "GET"
          ? Server.json({ error: "No workspace" }, 404)()
          : Server.json(describeSession())()
    }
  }, options)
  const happen = (accident: Accident) => Object.assign(state, harm[accident])
  const sent = () =>
    server.requests.filter(({ method, path }) => method === "POST" && path.endsWith(`${sessionId}/messages`))
  return { ...server, happen, mixed, sent, status: () => state.status }
}
