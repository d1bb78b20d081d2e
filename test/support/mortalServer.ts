/** A scripted server with one session that may come to harm while this program does not use it. */
import type { AshOptions } from "../../src/layers/Ash.ts"
import { noSession, session, sessionId } from "./fixtures.ts"
import * as Server from "./ScriptedServer.ts"

/** What may happen to a session while this program does not use it. */
export type Accident = "server restarted" | "sandbox killed" | "sandbox gone" | "paused" | "stopped" | "in error"

/**
 * A server with one session, as a real one behaves: a restart of the server leaves it paused, a killed sandbox leaves
 * it active and answers "Not connected" until it is stopped and resumed, or "Sandbox not found" (docs/ash.md 5.6). An
 * accident happens when it is told to, or behind the turn of the prompt `then <accident>`.
 */
export const make = (options: Partial<AshOptions> = {}) => {
  let status = "active"
  let sandbox = 0
  let lives = true
  let found = true
  let running = false
  const mixed: Array<string> = []
  const sandboxId = () => `00000000-0000-4000-8000-${String(sandbox).padStart(12, "0")}`
  const describeSession = () => ({ session: { ...session, sandboxId: sandboxId(), status } })
  const wrong = (error: string) => Server.json({ error, statusCode: 400 }, 400)()
  const fresh = () => {
    sandbox += 1
    lives = true
    found = true
    running = false
  }
  const turn = (text: string) =>
    [
      ["session_start", { sessionId }],
      ["message", { type: "assistant", message: { content: [{ type: "text", text }] } }],
      ["message", { type: "result", subtype: "success", is_error: false, result: text }],
      ["done", { sessionId }]
    ] as const
  const server = Server.make(({ body, method, path }) => {
    if (path.includes(noSession)) return Server.json({ error: "Session not found" }, 404)()
    const action = path.split("/").at(-1) ?? ""
    switch (`${method} ${action}`) {
      case "POST pause":
        if (status !== "active") return wrong(`Cannot pause session with status "${status}"`)
        status = "paused"
        return Server.json(describeSession())()
      case "POST stop":
        if (status !== "active") return wrong(`Cannot stop session with status "${status}"`)
        status = "stopped"
        running = false
        found = false
        return Server.json(describeSession())()
      case "POST resume":
        if (status === "ended") return Server.json({ error: "Session has ended" }, 410)()
        if (status !== "active" && !found) fresh()
        status = "active"
        return Server.json(describeSession())()
      case "DELETE " + sessionId:
        status = "ended"
        return Server.json(describeSession())()
      case "POST exec":
        if (status !== "active") return wrong(`Session is ${status}`)
        if (!found) {
          status = "error"
          return Server.json({ error: "Sandbox not found", statusCode: 500 }, 500)()
        }
        return Server.json({ exitCode: 0, stdout: "ok\n", stderr: "" })()
      case "POST messages": {
        if (status !== "active") return wrong(`Session is ${status}`)
        if (!found) {
          status = "error"
          return Server.json({ error: "Sandbox not found", statusCode: 500 }, 500)()
        }
        if (!lives) {
          return Server.sse(
            Server.frames(["session_start", { sessionId }], ["error", { error: "Not connected" }], ["done", {
              sessionId
            }])
          )()
        }
        if (running) mixed.push(body)
        const { content } = JSON.parse(body)
        const accident = accidents.find((accident) => content === `then ${accident}`)
        if (accident !== undefined) happen(accident)
        if (content === "break") {
          running = true
          return Server.breaking(Server.frames(["session_start", { sessionId }]))()
        }
        return Server.sse(Server.frames(...turn(`You said: ${content}`)))()
      }
      default:
        if (path.includes("/messages?")) return Server.json({ messages: [] })()
        if (path.includes("/events?")) return Server.json({ events: [] })()
        return action === "workspace" && method === "GET"
          ? Server.json({ error: "No workspace" }, 404)()
          : Server.json(describeSession())()
    }
  }, options)
  const happen = (accident: Accident) => {
    switch (accident) {
      case "server restarted":
        status = "paused"
        found = false
        running = false
        break
      case "sandbox killed":
        lives = false
        running = false
        break
      case "sandbox gone":
        found = false
        running = false
        break
      case "paused":
        status = "paused"
        break
      case "stopped":
        status = "stopped"
        found = false
        running = false
        break
      case "in error":
        status = "error"
        found = false
        running = false
    }
  }
  const sent = () =>
    server.requests.filter(({ method, path }) => method === "POST" && path.endsWith(`${sessionId}/messages`))
  return { ...server, happen, mixed, sent, status: () => status }
}

export const accidents: ReadonlyArray<Accident> = [
  "server restarted",
  "sandbox killed",
  "sandbox gone",
  "paused",
  "stopped",
  "in error"
]
