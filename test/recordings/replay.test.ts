/**
 * Real exchanges with a real server, replayed through the services. The recordings are not part of the project:
 * `ASH_RECORDINGS` names their folder, or they lie beside the project.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Zlib from "node:zlib"
import type { AshError, AshErrorReason } from "../../src/schema/AshError.ts"
import type { StreamEvent } from "../../src/schema/StreamEvent.ts"
import { AshClient } from "../../src/services/AshClient.ts"
import { noSession } from "../support/fixtures.ts"
import * as Server from "../support/ScriptedServer.ts"

const folder = process.env["ASH_RECORDINGS"] ??
  Path.resolve(import.meta.dirname, "../../../shared/ash-api/recordings")

interface Recording {
  readonly file: string
  readonly request: {
    readonly method: string
    readonly path: string
    readonly headers: Readonly<Record<string, string>>
    readonly body?: any
    readonly bodyNote?: string
  }
  readonly response: {
    readonly status: number
    readonly headers: Readonly<Record<string, string>>
    readonly body?: unknown
    readonly text?: string
    readonly bodyBase64?: string
    readonly sse?: string
    readonly sseFile?: string
    readonly chunks?: ReadonlyArray<readonly [milliseconds: number, bytes: number]>
    readonly endedBy: string
  }
}

const load = (file: string): Recording => ({
  file,
  ...JSON.parse(Fs.readFileSync(Path.join(folder, file), "utf8"))
})

const bytesOf = ({ body, bodyBase64, sse, sseFile, text }: Recording["response"]): Buffer =>
  sseFile !== undefined
    ? Zlib.gunzipSync(Fs.readFileSync(Path.join(folder, sseFile)))
    : bodyBase64 !== undefined
    ? Buffer.from(bodyBase64, "base64")
    : Buffer.from(sse ?? text ?? (body === undefined ? "" : JSON.stringify(body)))

/** The bytes in the pieces in which they arrived. */
const piecesOf = (response: Recording["response"]): ReadonlyArray<Uint8Array<ArrayBuffer>> => {
  const bytes = new Uint8Array(bytesOf(response))
  let from = 0
  const pieces = (response.chunks ?? []).map(([, size]) => bytes.slice(from, from += size))
  return [...pieces, bytes.slice(from)].filter(({ length }) => length > 0)
}

const isText = (text: unknown): text is string => typeof text === "string"

const decoded = (content: any) => {
  const { source } = content ?? {}
  return isText(source?.data)
    ? { ...content, source: { ...source, data: Buffer.from(source.data, "base64") } }
    : content
}

const files = (list: any) =>
  Array.isArray(list)
    ? list.map((file) => isText(file?.content) ? { ...file, content: Buffer.from(file.content, "base64") } : file)
    : list

type Call = (
  ash: AshClient["Service"],
  id: string,
  rest: string,
  body: any,
  query: any
) => Effect.Effect<unknown, AshError>

/** How each request is made through the services. A body or a query is as it was recorded, right or wrong. */
const calls: Readonly<Record<string, Call>> = {
  "GET /health": ({ health }) => health.get,
  "POST /api/agents": ({ agents }, _id, _rest, body) =>
    agents.create("files" in body ? { ...body, files: files(body.files) } : body),
  "GET /api/agents": ({ agents }) => agents.list,
  "GET /api/agents/*": ({ agents }, name) => agents.get(name),
  "PATCH /api/agents/*": ({ agents }, name, _rest, body) => agents.update(name, body),
  "DELETE /api/agents/*": ({ agents }, name) => agents.delete(name),
  "GET /api/agents/*/config": ({ agents }, name) => agents.getConfig(name),
  "PATCH /api/agents/*/config": ({ agents }, name, _rest, body) => agents.updateConfig(name, body),
  "GET /api/agents/*/files": ({ agents }, name) => agents.listFiles(name),
  "POST /api/agents/*/files": ({ agents }, name, _rest, body) => agents.writeFiles(name, files(body.files)),
  "GET /api/agents/*/files/*": ({ agents }, name, path) =>
    Effect.scoped(Effect.flatMap(agents.readFile(name, path), ({ content }) => Stream.runCollect(content))),
  "DELETE /api/agents/*/files/*": ({ agents }, name, path) => agents.deleteFile(name, path),
  "POST /api/sessions": ({ sessions }, _id, _rest, body) => sessions.create(body),
  "GET /api/sessions": ({ sessions }, _id, _rest, _body, query) => sessions.list(query),
  "GET /api/sessions/*": ({ sessions }, id) => sessions.get(id),
  "DELETE /api/sessions/*": ({ sessions }, id) => sessions.end(id),
  "PATCH /api/sessions/*/config": ({ sessions }, id, _rest, body) => sessions.updateConfig(id, body),
  "POST /api/sessions/*/pause": ({ sessions }, id) => sessions.pause(id),
  "POST /api/sessions/*/resume": ({ sessions }, id) => sessions.resume(id),
  "POST /api/sessions/*/stop": ({ sessions }, id) => sessions.stop(id),
  "POST /api/sessions/*/fork": ({ sessions }, id) => sessions.fork(id),
  "POST /api/sessions/*/exec": ({ sessions }, id, _rest, { command, timeout }) =>
    sessions.exec(id, command, timeout === undefined ? {} : { timeout: Duration.millis(timeout) }),
  "GET /api/sessions/*/events": ({ sessions }, id, _rest, _body, query) => sessions.listEvents(id, query),
  "GET /api/sessions/*/logs": ({ sessions }, id, _rest, _body, query) => sessions.logs(id, query),
  "GET /api/sessions/*/messages": ({ messages }, id, _rest, _body, query) => messages.list(id, query),
  "POST /api/sessions/*/messages": ({ messages }, id, _rest, { content, ...options }) =>
    Stream.runCollect(messages.send(id, Array.isArray(content) ? content.map(decoded) : content, options))
}

interface Match {
  readonly route: string
  readonly id: string
  readonly rest: string
  readonly query: Readonly<Record<string, unknown>>
}

const match = ({ request: { method, path } }: Recording): Match | undefined => {
  const { pathname, searchParams } = new URL(path.replace(/^\/+/, "/"), "http://ash.test")
  const [, api, resource, id = "", kind, ...rest] = pathname.split("/")
  const route = [
    `${method} /${[api, resource].filter(isText).join("/")}`,
    ...(id === "" ? [] : ["*"]),
    ...(kind === undefined ? [] : [kind]),
    ...(rest.length === 0 ? [] : ["*"])
  ].join("/")
  const query = Object.fromEntries(
    [...searchParams].map(([key, value]) => [key, /^-?\d+$/.test(value) ? Number(value) : value])
  )
  return route in calls
    ? { route, id: decodeURIComponent(id), rest: rest.map(decodeURIComponent).join("/"), query }
    : undefined
}

/** What is about HTTP and not about a request that a typed client can make. */
const isBelowTheServices = ({ request, response }: Recording) =>
  request.bodyNote !== undefined || response.status === 415 || request.path.startsWith("//") ||
  (["POST", "PATCH"].includes(request.method) && typeof request.body !== "object" &&
    !/(?:pause|resume|stop|fork)$/.test(request.path))

const tags: Readonly<Record<number, ReadonlyArray<AshErrorReason["_tag"]>>> = {
  400: ["InvalidRequest", "WrongState"],
  401: ["Unauthorized"],
  404: ["NotFound"],
  410: ["WrongState"],
  413: ["InvalidRequest"],
  429: ["RateLimited"],
  500: ["ServerFailure"],
  503: ["AtCapacity"]
}

/** Requests that servers take and that are refused here, with the reason. */
const refusedHere: Readonly<Record<string, string>> = {
  "017-agents-create-with-files.json": "paths that leave the folder: the server leaves such files out in silence",
  "150-sessions-config-patch-bad.json": "a text for a list of texts: the server makes it one",
  "284-messages-content-number.json": "a number for a text: the server makes it one",
  "285-messages-content-null.json": "null for a text: the server makes it an empty one"
}

/** The names of the frames, read as the server writes them: the last line with a name counts. */
const namesOf = (text: string): ReadonlyArray<string> =>
  text.split("\n\n").filter((frame) => frame.includes("data: ")).map((frame) =>
    (frame.split("\n").findLast((line) => line.startsWith("event: ")) ?? "").slice("event: ".length) || "message"
  )

const nameOf = (event: StreamEvent): string =>
  event._tag === "Unknown"
    ? event.event
    : event._tag === "TurnError"
    ? "error"
    : event._tag.replace(/(?<=.)[A-Z]/g, (letter) => `_${letter}`).toLowerCase()

const isEvents = (result: unknown): result is ReadonlyArray<StreamEvent> => Array.isArray(result)

const found = Fs.existsSync(folder)
const recordings = found
  ? Fs.readdirSync(folder).filter((file) => file.endsWith(".json")).map(load).flatMap((recording) => {
    const matched = match(recording)
    return matched === undefined || isBelowTheServices(recording) ? [] : [{ file: recording.file, recording, matched }]
  })
  : []

describe.skipIf(!found)(`recordings${found ? "" : " (none: set ASH_RECORDINGS to their folder)"}`, () => {
  it("are there for every request of the table", () => {
    const seen = new Set(recordings.map(({ matched }) => matched.route))
    assert.deepStrictEqual(Object.keys(calls).filter((route) => !seen.has(route)), [])
  })

  it.effect.each(recordings)("$file", ({ file, matched, recording: { request, response } }) => {
    const server = Server.make(
      ({ path }) =>
        path.includes(noSession)
          ? Server.json({ error: "Session not found", statusCode: 404 }, 404)()
          : new Response(
            new ReadableStream({
              start: (controller) => {
                for (const piece of piecesOf(response)) controller.enqueue(piece)
                controller.close()
              }
            }),
            { status: response.status, headers: response.headers }
          ),
      { retry: { times: 0 } }
    )
    return Effect.gen(function*() {
      const { id, query, rest, route } = matched
      const call = calls[route]
      if (call === undefined) return
      const result = yield* Effect.result(call(yield* AshClient, id, rest, request.body ?? {}, query))
      const sent = server.requests.filter(({ path }) => !path.includes(noSession))
      const error = Result.isFailure(result) ? result.failure : undefined

      if (sent.length === 0) {
        assert.strictEqual(error?.reason._tag, "InvalidRequest")
        if (!(file in refusedHere)) assert.isAtLeast(response.status, 400)
        return
      }
      assert.strictEqual(sent[0]?.method, request.method)
      if (response.status >= 400) {
        assert.include(tags[response.status] ?? [], error?.reason._tag)
        assert.strictEqual(error?.reason.http?.status, response.status)
        assert.notInclude(error?.message, "no Ash error")
        return
      }
      if (!route.endsWith("/messages") || request.method === "GET") {
        assert.isUndefined(error)
        return
      }
      const names = namesOf(bytesOf(response).toString())
      const end = names.findIndex((name) => name === "done" || name === "error")
      const terminal = names[end]
      const expected = terminal === undefined ? "StreamTruncated" : terminal === "error" ? "TurnFailed" : undefined
      assert.strictEqual(error?.reason._tag, expected)
      if (Result.isSuccess(result) && isEvents(result.success)) {
        assert.deepStrictEqual(
          result.success.map(nameOf),
          names.slice(0, end + 1)
        )
      }
    }).pipe(Effect.provide(server.layer))
  })
})
