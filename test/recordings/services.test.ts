/** Recordings of a real server, replayed through the services. */
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type { AshError, AshErrorReason } from "../../src/schema/AshError.ts"
import type { StreamEvent } from "../../src/schema/StreamEvent.ts"
import { AshClient } from "../../src/services/AshClient.ts"
import { noSession } from "../support/fixtures.ts"
import { bytesOf, found, none, piecesOf, type Recording, recordings } from "../support/recordings.ts"
import * as Server from "../support/ScriptedServer.ts"

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

/** What a call is made of: parts of the path, and body and query as they were recorded, right or wrong. */
interface Parts {
  readonly params: Readonly<Record<string, string>>
  readonly body: any
  readonly query: any
}

type Call = (ash: AshClient["Service"], parts: Parts) => Effect.Effect<unknown, AshError>

const read = (download: ReturnType<AshClient["Service"]["attachments"]["download"]>) =>
  Effect.scoped(Effect.flatMap(download, ({ content }) => Stream.runCollect(content)))

const version = ({ versionNumber = "" }: Parts["params"]) =>
  /^\d+$/.test(versionNumber) ? Number(versionNumber) : versionNumber

const times = ({ after, before, ...query }: Parts["query"]) => ({
  ...query,
  ...(after === undefined ? {} : { after: time(after) }),
  ...(before === undefined ? {} : { before: time(before) })
})

const time = (text: string) => Option.getOrElse(DateTime.make(text), () => text)

const credential = ({ credentials }: AshClient["Service"], { key, label, type }: any) => {
  const redacted = Redacted.make(key)
  switch (type) {
    case "anthropic":
      return credentials.createAnthropic(redacted, { label })
    case "openai":
      return credentials.createOpenAi(redacted, { label })
    case "custom":
      return credentials.createCustom(redacted, { label })
    default: {
      const { accessKeyId, region, secretAccessKey } = JSON.parse(key)
      return credentials.createBedrock({
        accessKeyId: Redacted.make(accessKeyId),
        secretAccessKey: Redacted.make(secretAccessKey),
        region
      }, { label })
    }
  }
}

const bytes = (content: unknown) => isText(content) ? Buffer.from(content, "base64") : content

/** How each request is made through the services. */
const calls: Readonly<Record<string, Call>> = {
  "GET /health": ({ health }) => health.get,
  "GET /metrics": ({ health }) => health.metrics,
  "POST /api/agents": ({ agents }, { body }) =>
    agents.create("files" in body ? { ...body, files: files(body.files) } : body),
  "GET /api/agents": ({ agents }) => agents.list,
  "GET /api/agents/:name": ({ agents }, { params: { name } }) => agents.get(name!),
  "PATCH /api/agents/:name": ({ agents }, { body, params: { name } }) => agents.update(name!, body),
  "DELETE /api/agents/:name": ({ agents }, { params: { name } }) => agents.delete(name!),
  "GET /api/agents/:name/config": ({ agents }, { params: { name } }) => agents.getConfig(name!),
  "PATCH /api/agents/:name/config": ({ agents }, { body, params: { name } }) => agents.updateConfig(name!, body),
  "GET /api/agents/:name/files": ({ agents }, { params: { name } }) => agents.listFiles(name!),
  "POST /api/agents/:name/files": ({ agents }, { body, params: { name } }) =>
    agents.writeFiles(name!, files(body.files)),
  "GET /api/agents/:name/files/*": ({ agents }, { params: { name, path } }) => read(agents.readFile(name!, path!)),
  "DELETE /api/agents/:name/files/*": ({ agents }, { params: { name, path } }) => agents.deleteFile(name!, path!),
  "GET /api/agents/:name/versions": ({ agentVersions }, { params: { name } }) => agentVersions.list(name!),
  "POST /api/agents/:name/versions": ({ agentVersions }, { body, params: { name } }) =>
    agentVersions.create(name!, body),
  "GET /api/agents/:name/versions/:versionNumber": ({ agentVersions }, { params }) =>
    agentVersions.get(params["name"]!, version(params)),
  "PATCH /api/agents/:name/versions/:versionNumber": ({ agentVersions }, { body, params }) =>
    agentVersions.update(params["name"]!, version(params), body),
  "DELETE /api/agents/:name/versions/:versionNumber": ({ agentVersions }, { params }) =>
    agentVersions.delete(params["name"]!, version(params)),
  "POST /api/agents/:name/versions/:versionNumber/activate": ({ agentVersions }, { params }) =>
    agentVersions.activate(params["name"]!, version(params)),
  "POST /api/agents/:name/eval-cases/import": ({ evals }, { body, params: { name } }) =>
    evals.importCases(name!, body.cases),
  "GET /api/agents/:name/eval-cases/export": ({ evals }, { params: { name } }) => evals.exportCases(name!),
  "GET /api/agents/:name/eval-cases": ({ evals }, { params: { name }, query: { isActive, ...query } }) =>
    evals.listCases(name!, isActive === undefined ? query : { ...query, isActive: isActive === "true" }),
  "POST /api/agents/:name/eval-cases": ({ evals }, { body, params: { name } }) => evals.createCase(name!, body),
  "GET /api/agents/:name/eval-cases/:id": ({ evals }, { params: { id, name } }) => evals.getCase(name!, id!),
  "PATCH /api/agents/:name/eval-cases/:id": ({ evals }, { body, params: { id, name } }) =>
    evals.updateCase(name!, id!, body),
  "DELETE /api/agents/:name/eval-cases/:id": ({ evals }, { params: { id, name } }) => evals.deleteCase(name!, id!),
  "GET /api/agents/:name/eval-runs/compare": ({ evals }, { params: { name }, query: { runA, runB } }) =>
    evals.compareRuns(name!, runA, runB),
  "POST /api/agents/:name/eval-runs": ({ evals }, { body, params: { name } }) => evals.startRun(name!, body),
  "GET /api/agents/:name/eval-runs": ({ evals }, { params: { name } }) => evals.listRuns(name!),
  "GET /api/agents/:name/eval-runs/:id": ({ evals }, { params: { id, name } }) => evals.getRun(name!, id!),
  "GET /api/agents/:name/eval-runs/:id/results": ({ evals }, { params: { id, name } }) => evals.listResults(name!, id!),
  "POST /api/agents/:name/eval-runs/:id/score": ({ evals }, { body, params: { id, name } }) =>
    evals.scoreRun(name!, id!, body),
  "PATCH /api/agents/:name/eval-results/:id": ({ evals }, { body, params: { id, name } }) =>
    evals.scoreResult(name!, id!, body),
  "POST /api/sessions": ({ sessions }, { body }) => sessions.create(body),
  "GET /api/sessions": ({ sessions }, { query }) => sessions.list(query),
  "GET /api/sessions/:id": ({ sessions }, { params: { id } }) => sessions.get(id!),
  "DELETE /api/sessions/:id": ({ sessions }, { params: { id } }) => sessions.end(id!),
  "PATCH /api/sessions/:id/config": ({ sessions }, { body, params: { id } }) => sessions.updateConfig(id!, body),
  "POST /api/sessions/:id/pause": ({ sessions }, { params: { id } }) => sessions.pause(id!),
  "POST /api/sessions/:id/resume": ({ sessions }, { params: { id } }) => sessions.resume(id!),
  "POST /api/sessions/:id/stop": ({ sessions }, { params: { id } }) => sessions.stop(id!),
  "POST /api/sessions/:id/fork": ({ sessions }, { params: { id } }) => sessions.fork(id!),
  "POST /api/sessions/:id/exec": ({ sessions }, { body: { command, timeout }, params: { id } }) =>
    sessions.exec(id!, command, timeout === undefined ? {} : { timeout: Duration.millis(timeout) }),
  "GET /api/sessions/:id/events": ({ sessions }, { params: { id }, query }) => sessions.listEvents(id!, query),
  "GET /api/sessions/:id/logs": ({ sessions }, { params: { id }, query }) => sessions.logs(id!, query),
  "GET /api/sessions/:id/messages": ({ messages }, { params: { id }, query }) => messages.list(id!, query),
  "POST /api/sessions/:id/messages": ({ messages }, { body: { content, ...options }, params: { id } }) =>
    Stream.runCollect(messages.send(id!, Array.isArray(content) ? content.map(decoded) : content, options)),
  "GET /api/sessions/:id/files": ({ sessionFiles }, { params: { id }, query: { includeHidden } }) =>
    sessionFiles.list(id!, includeHidden === undefined ? {} : { includeHidden: includeHidden === "true" }),
  "POST /api/sessions/:id/files": ({ sessionFiles }, { body, params: { id } }) =>
    sessionFiles.write(id!, files(body.files), { targetPath: body.targetPath }),
  "GET /api/sessions/:id/files/*": ({ sessionFiles }, { params: { id, path } }) => read(sessionFiles.read(id!, path!)),
  "DELETE /api/sessions/:id/files/*": ({ sessionFiles }, { params: { id, path } }) => sessionFiles.delete(id!, path!),
  "GET /api/sessions/:id/workspace": ({ workspaces }, { params: { id } }) => read(workspaces.download(id!)),
  "POST /api/sessions/:id/workspace": ({ workspaces }, { body, params: { id } }) =>
    workspaces.upload(id!, Buffer.from(body.bundle, "base64")),
  "POST /api/sessions/:id/attachments": ({ attachments }, { body, params: { id } }) =>
    attachments.upload(id!, { ...body, content: bytes(body.content) }),
  "GET /api/sessions/:id/attachments": ({ attachments }, { params: { id } }) => attachments.list(id!),
  "GET /api/attachments/:id": ({ attachments }, { params: { id } }) => read(attachments.download(id!)),
  "DELETE /api/attachments/:id": ({ attachments }, { params: { id } }) => attachments.delete(id!),
  "POST /api/credentials": (ash, { body }) => credential(ash, body),
  "GET /api/credentials": ({ credentials }) => credentials.list,
  "DELETE /api/credentials/:id": ({ credentials }, { params: { id } }) => credentials.delete(id!),
  "POST /api/queue": ({ queueItems }, { body }) => queueItems.enqueue(body),
  "GET /api/queue": ({ queueItems }, { query }) => queueItems.list(query),
  "GET /api/queue/stats": ({ queueItems }) => queueItems.stats,
  "GET /api/queue/:id": ({ queueItems }, { params: { id } }) => queueItems.get(id!),
  "DELETE /api/queue/:id": ({ queueItems }, { params: { id } }) => queueItems.cancel(id!),
  "GET /api/usage": ({ usage }, { query }) => usage.listEvents(times(query)),
  "GET /api/usage/stats": ({ usage }, { query }) => usage.stats(times(query)),
  "GET /api/analytics": ({ analytics }, { query }) => analytics.get(times(query)),
  "GET /api/api-keys": ({ apiKeys }) => apiKeys.list,
  "POST /api/api-keys": ({ apiKeys }, { body }) => apiKeys.create(body),
  "DELETE /api/api-keys/:id": ({ apiKeys }, { params: { id } }) => apiKeys.delete(id!),
  "GET /api/files": ({ projectFiles }) => projectFiles.list,
  "GET /api/files/:id/url": ({ projectFiles }, { params: { id } }) => projectFiles.getUrl(id!)
}

const routes = Object.keys(calls).map((route) => ({
  route,
  pattern: new RegExp(`^${route.replaceAll(/:(\w+)/g, "(?<$1>[^/]+)").replace("*", "(?<path>.+)")}$`)
}))

interface Match extends Omit<Parts, "body"> {
  readonly route: string
}

const match = ({ request: { method, path } }: Recording): Match | undefined => {
  const { pathname, searchParams } = new URL(path, "http://ash.test")
  const matched = routes
    .map(({ pattern, route }) => ({ route, groups: pattern.exec(`${method} ${pathname}`)?.groups }))
    .find(({ groups, route }) => groups !== undefined || `${method} ${pathname}` === route)
  if (matched === undefined) return undefined
  const query = Object.fromEntries(
    [...searchParams].map(([key, value]) => [key, /^-?\d+$/.test(value) ? Number(value) : value])
  )
  const params = Object.fromEntries(
    Object.entries(matched.groups ?? {}).map(([name, value]) => [name, decodeURIComponent(value)])
  )
  return { route: matched.route, params, query }
}

/** What is about HTTP, or a type that the compiler refuses, and not about a request that a typed client can make. */
const isBelowTheServices = ({ file, request, response }: Recording) =>
  ["304-files-write-missing.json", "362-credentials-create-bad-type.json"].includes(file) ||
  request.bodyNote !== undefined || response.status === 415 || request.path.startsWith("//") ||
  (["POST", "PATCH"].includes(request.method) && typeof request.body !== "object" &&
    !/(?:pause|resume|stop|fork|activate)$/.test(request.path))

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

const dataOf = (text: string): ReadonlyArray<string> =>
  text.split("\n\n").filter((frame) => frame.includes("data: ")).map((frame) =>
    (frame.split("\n").findLast((line) => line.startsWith("data: ")) ?? "").slice("data: ".length)
  )

const nameOf = (event: StreamEvent): string =>
  event._tag === "Unknown"
    ? event.event
    : event._tag === "TurnError"
    ? "error"
    : event._tag === "Partial"
    ? "message"
    : event._tag.replace(/(?<=.)[A-Z]/g, (letter) => `_${letter}`).toLowerCase()

const isUnknownRoute = ({ body }: Recording["response"]) => /^Route \S+ not found$/.test((body as any)?.message)

const refusesFiles = ({ body }: Recording["response"]) =>
  ((body as any)?.files ?? []).some?.(({ written }: any) => written === false) === true

const isEvents = (result: unknown): result is ReadonlyArray<StreamEvent> => Array.isArray(result)

const replayed = recordings.flatMap((recording) => {
  const matched = match(recording)
  return matched === undefined || isBelowTheServices(recording) ? [] : [{ file: recording.file, recording, matched }]
})

describe.skipIf(!found)(`recordings, through the services${none}`, () => {
  it("are many", () => {
    assert.isAbove(replayed.length, 0)
  })

  it.effect.each(replayed)("$file", ({ file, matched, recording: { request, response } }) => {
    const server = Server.make(
      ({ path }) =>
        path.includes(noSession)
          ? Server.json({ error: "Session not found", statusCode: 404 }, 404)()
          : new Response(
            response.status === 204 ? null : new ReadableStream({
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
      const { params, query, route } = matched
      const call = calls[route]
      if (call === undefined) return
      const result = yield* Effect.result(call(yield* AshClient, { params, query, body: request.body ?? {} }))
      const sent = server.requests.filter(({ path }) => !path.includes(noSession))
      const error = Result.isFailure(result) ? result.failure : undefined

      if (sent.length === 0) {
        assert.strictEqual(error?.reason._tag, "InvalidRequest")
        if (!(file in refusedHere)) assert.isAtLeast(response.status, 400)
        return
      }
      assert.strictEqual(sent[0]?.method, request.method)
      if (response.status >= 400) {
        assert.include(isUnknownRoute(response) ? ["NotSupported"] : tags[response.status] ?? [], error?.reason._tag)
        assert.strictEqual(error?.reason.http?.status, response.status)
        assert.notInclude(error?.message, "no Ash error")
        return
      }
      if (!route.endsWith("/messages") || request.method === "GET") {
        assert.strictEqual(error?.reason._tag, refusesFiles(response) ? "FilesRefused" : undefined)
        return
      }
      const names = namesOf(bytesOf(response).toString())
      const data = dataOf(bytesOf(response).toString())
      // An end that has another session, or none, is not the turn's.
      const end = names.findIndex((name, index) =>
        (name === "done" && data[index] === JSON.stringify({ sessionId: params["id"] })) || name === "error"
      )
      const wasDropped = data[end]?.includes("Client write timeout") === true
      const terminal = wasDropped ? undefined : names[end]
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
