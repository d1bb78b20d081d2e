/**
 * Answers as Ash does, and as the servers of the peers do, from bodies that are made once. Run as a process of its own;
 * sends its origin to the process that started it.
 *
 * The path selects what is sent, before the API's own path: `/<number>/<cut>/api/sessions/...`. The cut is how many bytes a
 * write has, or `event` (one event a write), `short` (the same, of six events), `live` (a delta each 5 ms), `idle` (the first
 * events, and then nothing) or `mebibytes` (one event of so many). A write is a chunk of HTTP's chunked encoding, which is what a client sees of it;
 * the chunks are joined into one buffer, so that the server costs the machine next to nothing.
 */
import { createServer, type ServerResponse } from "node:http"
import * as Frames from "./frames.ts"

const chunk = (bytes: Buffer) => Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, crlf])

const crlf = Buffer.from("\r\n")

const chunked = (frames: ReadonlyArray<Buffer>, cut: string): Buffer => {
  if (["event", "idle", "short"].includes(cut)) return Buffer.concat(frames.map(chunk))
  const size = cut === "mebibytes" ? 16_384 : Number(cut)
  const body = Buffer.concat(frames)
  const chunks = Array.from(
    { length: Math.ceil(body.length / size) },
    (_, index) => chunk(body.subarray(index * size, (index + 1) * size))
  )
  return Buffer.concat(chunks)
}

const bodies = new Map<string, Buffer>()

const framesOf = (path: string, number: number, cut: string) => {
  if (path.startsWith("/v1/messages")) return Frames.anthropicTurn(number)
  if (path.startsWith("/chat/completions")) return Frames.openaiTurn(number)
  if (cut === "idle") return Frames.turnStart
  if (cut === "short") return Frames.shortTurn
  return cut === "mebibytes" ? Frames.largeTurn(number) : Frames.turn(number)
}

const bodyOf = (path: string, number: number, cut: string): Buffer => {
  const key = `${number} ${cut} ${path}`
  const known = bodies.get(key)
  if (known !== undefined) return known
  const session = Frames.sessionIn(path)
  const body = session === undefined || session === Frames.sessionId
    ? chunked(framesOf(path, number, cut), cut)
    : inSession(bodyOf(path.replace(session, Frames.sessionId), number, cut), session)
  bodies.set(key, body)
  return body
}

/** The same turn in another session, whose id is as long. */
const inSession = (body: Buffer, session: string) =>
  Buffer.from(body.toString("latin1").replaceAll(Frames.sessionId, session), "latin1")

/** Sends a delta each 5 ms; its text is the time at which it was sent. */
const sendLive = (response: ServerResponse, deltas: number, session: string) => {
  let sent = 0
  const timer = setInterval(() => {
    response.write(Frames.liveDelta(process.hrtime.bigint().toString()))
    sent += 1
    if (sent < deltas) return
    clearInterval(timer)
    response.end(inSession(Frames.turnEnd, session))
  }, 5)
}

const sendJson = (response: ServerResponse, status: number, body: Buffer) => {
  response.writeHead(status, { "content-type": "application/json; charset=utf-8", "content-length": body.length })
  response.end(body)
}

const thousandSessions = Frames.thousandSessions()

const accepted = Buffer.from("{}")

const notFound = Buffer.from(JSON.stringify({ error: "Session not found", statusCode: 404 }))

const server = createServer((request, response) => {
  const [, number = "", cut = "", path = ""] = /^\/(\d+)\/(\w+)(\/.*)$/.exec(request.url ?? "") ?? []
  request.resume()
  request.on("end", () => {
    if (request.method === "GET") {
      return sendJson(response, 200, Frames.sessionIn(path) !== undefined ? Frames.oneSession : thousandSessions)
    }
    // What a program exports of itself.
    if (/^\/v1\/(?:logs|metrics|traces)$/.test(path)) return sendJson(response, 200, accepted)
    // Clients ask about a session that does not exist, to learn which form of content the server takes.
    if (path.startsWith("/api") && Frames.sessionIn(path) === undefined) {
      return sendJson(response, 404, notFound)
    }
    const body = cut === "live" ? undefined : bodyOf(path, Number(number), cut)
    response.writeHead(200, {
      "content-type": "text/event-stream",
      "cache-control": "no-cache",
      "transfer-encoding": "chunked"
    })
    response.flushHeaders()
    if (body === undefined) return sendLive(response, Number(number), Frames.sessionIn(path) ?? Frames.sessionId)
    response.socket?.write(body)
    if (cut !== "idle") response.end()
  })
})

server.keepAliveTimeout = 0
server.requestTimeout = 0
server.listen({ host: "127.0.0.1", port: 0, backlog: 1024 }, () => {
  const address = server.address()
  if (address !== null && typeof address === "object") process.send?.(`http://127.0.0.1:${address.port}`)
})
process.on("disconnect", () => process.exit())
