import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import type * as Http from "node:http"
import * as V8 from "node:v8"
import * as Vm from "node:vm"
import * as Zlib from "node:zlib"
import type { AshError } from "../../src/schema/AshError.ts"
import { AshClient } from "../../src/services/AshClient.ts"
import { clientNames, clients } from "../support/clients.ts"
import { sessionId } from "../support/fixtures.ts"
import { promise } from "../support/promise.ts"
import { answering, serve } from "../support/ScriptedServer.ts"

V8.setFlagsFromString("--expose_gc")
const collectGarbage: () => void = Vm.runInNewContext("gc")

const mebibyte = 1_048_576
const piece = Buffer.alloc(65_536, "x")

/** A server that sends without end. */
const endless = (type: string, status: number, isCompressed: boolean) =>
  answering((_, response) => {
    const headers: Http.OutgoingHttpHeaders = { "content-type": type }
    response.writeHead(status, isCompressed ? { ...headers, "content-encoding": "gzip" } : headers)
    const body = isCompressed ? Zlib.createGzip({ level: 1 }) : response
    if (body !== response) body.pipe(response)
    const write = () => {
      if (!response.destroyed && body.write(piece)) setImmediate(write)
    }
    body.on("drain", write)
    response.on("close", () => body.destroy())
    if (type === "text/event-stream") body.write("event: message\ndata: ")
    write()
  })

type Ask = (ash: AshClient["Service"]) => Effect.Effect<unknown, AshError>

const kinds: ReadonlyArray<readonly [what: string, type: string, status: number, limit: number, ask: Ask]> = [
  ["JSON", "application/json", 200, 64, ({ sessions }) => sessions.get(sessionId)],
  ["a file as text", "text/plain", 200, 100, ({ sessionFiles }) => sessionFiles.readText(sessionId, "a.txt")],
  ["an error", "application/json", 404, 1, ({ sessions }) => sessions.get(sessionId)],
  [
    "a line of a turn",
    "text/event-stream",
    200,
    65,
    ({ messages }) => Stream.runDrain(messages.send(sessionId, "hello"))
  ]
]

/** The most memory that is in use when it is looked at, beyond what is before and behind. */
const meter = () => {
  const used = () => {
    collectGarbage()
    const { arrayBuffers, heapUsed } = process.memoryUsage()
    return arrayBuffers + heapUsed
  }
  const before = used()
  let most = before
  return {
    look: () => {
      most = Math.max(most, used())
    },
    peak: () => most - Math.min(before, used())
  }
}

/** The most memory that is in use meanwhile, beyond what was before. */
const peakOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const { look, peak } = meter()
    const timer = setInterval(look, 200)
    const result = yield* Effect.ensuring(effect, Effect.sync(() => clearInterval(timer)))
    return [result, peak()] as const
  })

describe("what a server sends", () => {
  for (const client of clientNames) {
    promise(
      "P26",
      `what a server sends is bounded (${client})`,
      { fast: 1, full: kinds.length },
      (size) =>
        Effect.gen(function*() {
          const failures: Array<string> = []
          // The smallest of them in every run.
          const chosen = size === 1 ? kinds.slice(2, 3) : kinds
          for (const [what, type, status, limit, ask] of chosen) {
            for (const isCompressed of [false, true]) {
              const url = yield* endless(type, status, isCompressed)
              const options = { url, apiKey: Redacted.make("key"), retry: { times: 0 } }
              const ash = Context.get(yield* Layer.build(clients[client](options)), AshClient)
              const [error, peak] = yield* peakOf(Effect.flip(ask(ash)))
              if (error.reason._tag !== "Undecodable") failures.push(`${what}: ${error.message}`)
              // Beside what is taken in there are the server's own buffers, as it is of this process.
              if (peak > (2 * limit + 32) * mebibyte) failures.push(`${what}: ${Math.round(peak / mebibyte)} MiB`)
            }
          }
          return { cases: chosen.length * 2, failures, note: "each as it is and compressed" }
        })
    )
  }
})

describe("what is sent", () => {
  it.live.each(clientNames)("takes little more memory than the largest file (%s)", (client) =>
    Effect.gen(function*() {
      let look = () => {}
      const url = yield* serve((request, response) => {
        let size = 0
        request.on("data", ({ length }: Buffer) => {
          if (Math.floor(size / (4 * mebibyte)) < Math.floor((size += length) / (4 * mebibyte))) look()
        })
        request.on("end", () => response.setHeader("content-type", "application/json").end("{\"files\":[]}"))
      })
      const layer = clients[client]({ url, apiKey: Redacted.make("key") })
      const { sessionFiles } = Context.get(yield* Layer.build(layer), AshClient)
      const size = 48 * mebibyte
      // The pieces are the stream's own, as those of a file on the disk are.
      const content = Stream.map(Stream.range(1, size / piece.length), () => new Uint8Array(piece))
      yield* sessionFiles.write(sessionId, [{ path: "first", content: "x" }])
      const memory = meter()
      look = memory.look
      yield* sessionFiles.write(sessionId, [{ path: "a", content }])
      // Beside the file there is what `fetch` keeps of a body in case that it is redirected. A quiet machine shows 1.3 and
      // 2.7, a busy one what its sockets hold as well; a body in one piece takes 3.7 and 7.7.
      assert.isBelow(memory.peak() / size, client === "fetch" ? 5 : 2.8)
    }).pipe(Effect.scoped))
})
