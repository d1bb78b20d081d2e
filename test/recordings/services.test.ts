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

/** Events of a turn go into the list that is given, so that those of a turn that fails are there. */
type Call = (ash: AshClient["Service"], parts: Parts, events: Array<StreamEvent>) => Effect.Effect<unknown, AshError>

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
  "GET /health": ({ health }) => health.get(),
  "GET /metrics": ({ health }) => health.metrics(),
  "POST /api/agents": ({ agents }, { body }) =>
    agents.create("files" in body ? { ...body, files: files(body.files) } : body),
  "GET /api/agents": ({ agents }) => agents.list(),
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
  "POST /api/sessions/:id/messages": ({ messages }, { body: { content, ...options }, params: { id } }, events) =>
    Stream.runForEach(
      messages.send(id!, Array.isArray(content) ? content.map(decoded) : content, options),
      (event) => Effect.sync(() => events.push(event))
    ),
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
  "GET /api/credentials": ({ credentials }) => credentials.list(),
  "DELETE /api/credentials/:id": ({ credentials }, { params: { id } }) => credentials.delete(id!),
  "POST /api/queue": ({ queueItems }, { body }) => queueItems.enqueue(body),
  "GET /api/queue": ({ queueItems }, { query }) => queueItems.list(query),
  "GET /api/queue/stats": ({ queueItems }) => queueItems.stats(),
  "GET /api/queue/:id": ({ queueItems }, { params: { id } }) => queueItems.get(id!),
  "DELETE /api/queue/:id": ({ queueItems }, { params: { id } }) => queueItems.cancel(id!),
  "GET /api/usage": ({ usage }, { query }) => usage.listEvents(times(query)),
  "GET /api/usage/stats": ({ usage }, { query }) => usage.stats(times(query)),
  "GET /api/analytics": ({ analytics }, { query }) => analytics.get(times(query)),
  "GET /api/api-keys": ({ apiKeys }) => apiKeys.list(),
  "POST /api/api-keys": ({ apiKeys }, { body }) => apiKeys.create(body),
  "DELETE /api/api-keys/:id": ({ apiKeys }, { params: { id } }) => apiKeys.delete(id!),
  "GET /api/files": ({ projectFiles }) => projectFiles.list(),
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

/** What a typed client cannot ask for: what is about HTTP, what the compiler refuses, and other forms of a file. */
const isBelowTheServices = ({ file, request, response }: Recording, { query, route }: Match) =>
  [
    "299-files-list-bad-hidden.json",
    "304-files-write-missing.json",
    "305-files-write-not-base64.json",
    "362-credentials-create-bad-type.json"
  ].includes(file) ||
  // Files are asked for as bytes, whatever they are.
  (/^GET .*\/files\/\*$/.test(route) && query.format !== "raw" && !/(?:dotdot|escape)/.test(file)) ||
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
  "017": "paths that leave the folder: the server leaves such files out in silence",
  "150": "a text for a list of texts: the server makes it one",
  "284": "a number for a text: the server makes it one",
  "285": "null for a text: the server makes it an empty one",
  "359": "an account without its key: the server takes it, and has no session with it"
}

/** Requests that servers refuse, and that are refused here before they are sent. */
const refusedByBoth: ReadonlySet<string> = new Set(
  [
    "024",
    "025",
    "030",
    "035",
    "055",
    "059",
    "065",
    "079",
    "092",
    "097",
    "105",
    "124",
    "125",
    "129",
    "137",
    "140",
    "147",
    "184",
    "190",
    "197",
    "280",
    "287",
    "289",
    "292",
    "317",
    "339",
    "340",
    "379",
    "380",
    "392",
    "397",
    "399",
    "404"
  ]
)

/** Fields of a recording's body that the API does not have: they are not sent. */
const unknownFields: Readonly<Record<string, ReadonlyArray<string>>> = {
  "020": ["slug", "description", "model", "backend", "config"],
  "290": ["bogus"]
}

/** The frames, read as the server writes them: several lines of data are one text, of several names the last one counts. */
const framesOf = (text: string) => {
  const linesOf = (frame: string, field: string) =>
    frame.split("\n").filter((line) => line.startsWith(`${field}: `)).map((line) => line.slice(field.length + 2))
  return text.split("\n\n").flatMap((frame) => {
    const data = linesOf(frame, "data")
    return data.length === 0
      ? []
      : [{ event: linesOf(frame, "event").at(-1) || "message", data: data.join("\n") }]
  })
}

/** What the server sent for an event: its name and its data, to the byte. */
const frameOf = (event: StreamEvent) => {
  const { _tag: tag, ...fields } = event
  const name = tag.replace(/(?<=.)[A-Z]/g, (letter) => `_${letter}`).toLowerCase()
  switch (event._tag) {
    case "Unknown":
      return { event: event.event, data: typeof event.data === "string" ? event.data : JSON.stringify(event.data) }
    case "Partial":
      return { event: "message", data: event.json }
    case "Message":
      return { event: name, data: JSON.stringify(event.message.raw) }
    case "TurnError":
      return { event: "error", data: JSON.stringify(event.raw ?? { error: event.error }) }
    default:
      return { event: name, data: JSON.stringify(fields) }
  }
}

/** Where what a service answers differs from what the server sent: every field of every element of every list. */
const differences = (sent: any, answered: any, path = "answer"): ReadonlyArray<string> => {
  const is = Redacted.isRedacted(answered)
    ? Redacted.value(answered)
    : DateTime.isDateTime(answered)
    ? DateTime.formatIso(answered)
    : answered
  // The key of the environment was made at no time.
  if (sent === "" && path.endsWith("].createdAt")) return is === null ? [] : [`${path} became ${is}`]
  if (sent === null || typeof sent !== "object") return Object.is(sent, is) ? [] : [`${path}: ${sent} became ${is}`]
  if (is === null || typeof is !== "object") return [`${path} became ${is}`]
  if (Array.isArray(sent)) {
    return sent.length === is.length
      ? sent.flatMap((element, index) => differences(element, is[index], `${path}[${index}]`))
      : [`${path}: ${sent.length} became ${is.length}`]
  }
  return Object.entries(sent).flatMap(([name, value]) =>
    isText(value) && is[name]?.raw !== undefined
      // A row of a conversation.
      ? differences(JSON.parse(value), is[name].raw, `${path}.${name}`)
      : isText(value) && "raw" in is && name === "data"
      // One of a timeline, whose JSON is beside what was made of it.
      ? differences(JSON.parse(value), is.raw, `${path}.raw`)
      : differences(value, is[name], `${path}.${name}`)
  )
}

/** What is in the envelope of an answer. */
const opened = (body: any) => {
  const values = Object.values(body)
  return values.length === 1 ? values[0] : "activated" in body ? body.versionNumber : body
}

/** A query whose order does not matter. */
const sorted = (path: string) => {
  const { pathname, searchParams } = new URL(path, "http://ash.test")
  return [pathname, ...[...searchParams].map((pair) => pair.join("=")).toSorted()]
}

const isUnknownRoute = ({ body }: Recording["response"]) => /^Route \S+ not found$/.test((body as any)?.message)

const refusesFiles = ({ body }: Recording["response"]) =>
  ((body as any)?.files ?? []).some?.(({ written }: any) => written === false) === true

const numberOf = ({ file }: Recording) => file.slice(0, 3)

const made = recordings.flatMap((recording) => {
  const matched = match(recording)
  return matched === undefined || isBelowTheServices(recording, matched)
    ? []
    : [{ file: recording.file, number: numberOf(recording), recording, matched }]
})

const isRefused = ({ number }: { readonly number: string }) => number in refusedHere || refusedByBoth.has(number)

const replayed = made.filter((each) => !isRefused(each))

/** Headers that a client of HTTP, or this package, sets by itself. */
const ownHeaders = new Set(["authorization", "content-length", "content-type", "accept", "host", "connection"])

const headersOf = ({ request }: Recording) =>
  Object.fromEntries(Object.entries(request.headers).filter(([name]) => !ownHeaders.has(name)))

/** What a recorded request comes to, and what was sent for it. */
const replay = Effect.fnUntraced(function*({ matched, recording }: typeof made[number]) {
  const { request, response } = recording
  const server = Server.forTurns(() =>
    new Response(
      response.status === 204 ? null : new ReadableStream({
        start: (controller) => {
          for (const piece of piecesOf(response)) controller.enqueue(piece)
          controller.close()
        }
      }),
      { status: response.status, headers: response.headers }
    ), { retry: { times: 0 }, whenRateLimited: "fail", headers: headersOf(recording) })
  const { params, query, route } = matched
  const call = calls[route]
  if (call === undefined) return yield* Effect.die(new Error(`no call for ${route}`))
  const events: Array<StreamEvent> = []
  const parts = { params, query, body: request.body ?? {} }
  const result = yield* Effect.result(Effect.flatMap(AshClient, (ash) => call(ash, parts, events))).pipe(
    Effect.provide(server.layer)
  )
  return { events, result, sent: server.requests.filter(({ path }) => !path.includes(noSession)) }
})

const isInit = (data: string) => data.includes("\"type\":\"system\",\"subtype\":\"init\"")

describe.skipIf(!found)(`recordings, through the services${none}`, () => {
  it("are many", () => {
    assert.isAbove(replayed.length, 220)
    assert.isBelow(made.length - replayed.length, 40)
  })

  it.effect.each(made.filter(isRefused))("$file is refused before it is sent", (each) =>
    Effect.gen(function*() {
      const { result, sent } = yield* replay(each)
      assert.deepStrictEqual(sent, [])
      assert.strictEqual(Result.isFailure(result) ? result.failure.reason._tag : undefined, "InvalidRequest")
      assert.strictEqual(each.recording.response.status < 400, each.number in refusedHere)
    }))

  it.effect.each(replayed)("$file", (each) =>
    Effect.gen(function*() {
      const { matched: { params, route }, number, recording } = each
      const { request, response } = recording
      const { events, result, sent } = yield* replay(each)
      assert.strictEqual(sent.length, 1)
      const [first] = sent
      assert.strictEqual(first?.method, request.method)
      assert.deepStrictEqual(sorted(first?.path ?? ""), sorted(request.path))
      assert.deepInclude(first?.headers, headersOf(recording))
      const fields = Object.entries(request.body ?? {}).filter(([name]) => !unknownFields[number]?.includes(name))
      assert.deepStrictEqual(first?.body === "" ? {} : JSON.parse(first?.body ?? ""), Object.fromEntries(fields))

      const error = Result.isFailure(result) ? result.failure : undefined
      if (response.status >= 400) {
        assert.include(isUnknownRoute(response) ? ["NotSupported"] : tags[response.status] ?? [], error?.reason._tag)
        assert.strictEqual(error?.reason.http?.status, response.status)
        assert.notInclude(error?.message, "no Ash error")
        return
      }
      if (route === "POST /api/sessions/:id/messages") {
        const frames = framesOf(bytesOf(response).toString())
        // An end that has another session, or none, is not the turn's.
        const end = frames.findIndex(({ data, event }) =>
          (event === "done" && data === JSON.stringify({ sessionId: params["id"] })) || event === "error"
        )
        // Two first messages are those of two turns; the same one may have come twice. Before it nothing is said.
        const first = frames.findIndex(({ data }) => isInit(data))
        const mixed = frames.slice(0, first).some(({ data }) => data.includes("\"content_block_delta\""))
          ? first
          : frames.findIndex(({ data }, index) => isInit(data) && index > first && data !== frames[first]?.data)
        const terminal = frames[end]
        const expected = mixed !== -1
          ? "TurnMixed"
          : terminal === undefined || terminal.data.includes("Client write timeout")
          ? "StreamTruncated"
          : terminal.event === "error"
          ? "TurnFailed"
          : undefined
        assert.strictEqual(error?.reason._tag, expected)
        const received = frames.slice(
          0,
          mixed !== -1 ? mixed : end === -1 ? undefined : expected === undefined ? end + 1 : end
        )
        assert.deepStrictEqual(events.filter(({ _tag }) => _tag !== "TextReplaced").map(frameOf), received)
        return
      }
      if (refusesFiles(response)) return assert.strictEqual(error?.reason._tag, "FilesRefused")
      if (Result.isFailure(result)) return assert.fail(result.failure.message)
      const answer = result.success
      if (answer === undefined) return assert.match(route, /^DELETE |^POST .*\/workspace$/)
      if (response.body === undefined || /^GET .*(?:\/workspace|\/files\/\*|attachments\/:id)$/.test(route)) {
        const bytes = isText(answer) ? Buffer.from(answer) : Buffer.concat(answer as ReadonlyArray<Uint8Array>)
        return assert.isTrue(bytes.equals(bytesOf(response)))
      }
      assert.deepStrictEqual(differences(opened(response.body), answer), [])
    }))
})
