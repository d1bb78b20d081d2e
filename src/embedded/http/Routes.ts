/**
 * What the real server's routes accept (docs/ash.md 3). It is more than the contract of this package declares, which is
 * what clients should send.
 */
import type { Quirks } from "../Quirks.ts"
import type { Fields, Rule, Typed } from "./Validation.ts"

export interface Route {
  /** Absent where the route takes no body. Then a body is ignored. */
  readonly body?: Rule
  /** Whether the body may be absent: anything but an object counts as an empty object. */
  readonly isBodyOptional?: boolean
  /** Whether the id in the path is any text, not a UUID. */
  readonly isPlainId?: boolean
  readonly query?: Fields
  /** The statuses that the route declares: their errors lack their reason (docs/ash.md 2.2, shape C). */
  readonly declares?: ReadonlyArray<number>
  /** Whether a file path with `..` or a slash in front is refused, wherever it leads. */
  readonly refusesFilePath?: boolean
}

type Rules = Readonly<Record<string, Rule>>

const fields = (properties: Rules, required: ReadonlyArray<string> = []): Fields => ({
  type: "object",
  properties,
  required
})

const text = (maxLength?: number): Typed => maxLength === undefined ? { type: "string" } : { type: "string", maxLength }
const someText: Typed = { type: "string", minLength: 1 }
const texts: Typed = { type: "array", items: { type: "string" } }
const word = (...words: ReadonlyArray<string>): Typed => ({ type: "string", enum: words })
const upTo = (maximum: number): Rule => ({ type: "integer", minimum: 1, maximum })
const atLeast = (minimum: number): Rule => ({ type: "integer", minimum })
const textMap: Rule = { type: "object", others: { type: "string" } }
const object: Rule = { type: "object" }
const page = (more: Rules = {}): Fields => fields({ limit: upTo(1000), after: atLeast(0), ...more })

const file = { path: text(), content: text() }
const files: Rule = { type: "array", items: fields(file, ["path", "content"]) }

const querySettings: Rules = {
  model: text(100),
  allowedTools: texts,
  disallowedTools: texts,
  betas: texts,
  subagents: object,
  initialAgent: text()
}

const createAgent: Rule = fields({
  name: { type: "string", minLength: 1, maxLength: 255, pattern: "^[a-zA-Z0-9_-]+$" },
  path: text(4096),
  systemPrompt: text(1_000_000),
  files,
  env: textMap
}, ["name"])

const createSession: Rule = fields({
  agent: { type: "string", minLength: 1, maxLength: 255 },
  credentialId: text(255),
  extraEnv: textMap,
  mcpServers: { type: "object", others: fields({ url: text(), command: text(), args: texts, env: textMap }) },
  systemPrompt: text(1_000_000),
  permissionMode: word("bypassPermissions", "permissionsByAgent", "default"),
  ...querySettings
}, ["agent"])

const exec: Rule = fields({ command: text(), timeout: upTo(300_000) }, ["command"])

const sendMessage = (quirk: Quirks["content"]): Rule =>
  fields({
    content: contentOf(quirk),
    includePartialMessages: { type: "boolean" },
    model: text(100),
    maxTurns: atLeast(1),
    maxBudgetUsd: { type: "number", minimum: 0 },
    effort: word("low", "medium", "high", "max"),
    thinking: fields({ type: text(), budgetTokens: { type: "integer" } }, ["type"]),
    outputFormat: fields({ type: text(), schema: object }, ["type", "schema"])
  }, ["content"])

const blocks: Typed = {
  type: "array",
  maxItems: 20,
  items: fields({ type: word("text", "image", "document") }, ["type"])
}

const contentOf = (quirk: Quirks["content"]): Rule => {
  switch (quirk) {
    case "mangled":
      return { type: "oneOf", rules: [text(500_000), blocks] }
    case "strings":
      return text(100_000)
    case "intact":
      return { type: "either", rules: [text(500_000), blocks], isStrict: true }
  }
}

const nullable = (rule: Typed): Rule => ({ type: "either", rules: [rule, { type: "null" }] })
const onOrOff = word("true", "false")
const uuid: Rule = { type: "string", format: "uuid" }
const time: Rule = { type: "string", format: "date-time" }

const versionFields: Rules = {
  name: text(255),
  systemPrompt: text(1_000_000),
  releaseNotes: text(10_000),
  knowledgeFiles: texts
}

const caseFields: Rules = {
  question: someText,
  expectedTopics: nullable(texts),
  expectedNotTopics: nullable(texts),
  referenceAnswer: nullable(text()),
  category: nullable(text()),
  tags: nullable(texts),
  chatHistory: nullable({ type: "array", items: fields({ role: text(), content: text() }, ["role", "content"]) }),
  isActive: { type: "boolean" }
}

const newCase: Rule = fields(caseFields, ["question"])

const scoreFields: Rules = {
  humanScore: { type: "number", minimum: 1, maximum: 5 },
  humanNotes: text(10_000)
}

const fileFormat: Fields = fields({ format: word("json", "raw") })

const usageFilter: Rules = { sessionId: uuid, agentName: text(), after: time, before: time }

const credentialType = word("anthropic", "openai", "bedrock", "custom")

const itemStatus = word("pending", "processing", "completed", "failed", "cancelled")

/** What routes accept, each by its method and path; but for messages, whose content is a matter of a quirk. */
const routes: ReadonlyArray<readonly [route: string, Route]> = [
  ["POST /api/agents", { body: createAgent, declares: [400] }],
  ["PATCH /api/agents/:name", { body: fields({ env: textMap, config: object }) }],
  ["PATCH /api/agents/:name/config", { body: object }],
  ["GET /api/agents/:name/files/:path", { query: fileFormat, refusesFilePath: true }],
  ["POST /api/agents/:name/files", { body: fields({ files }, ["files"]) }],
  ["POST /api/agents/:name/versions", {
    body: fields({ ...versionFields, cloneFrom: { type: "either", rules: [{ type: "integer" }, text()] } }),
    declares: [400]
  }],
  ["PATCH /api/agents/:name/versions/:versionNumber", { body: fields(versionFields) }],
  ["GET /api/agents/:name/eval-cases", { query: fields({ category: text(), isActive: onOrOff }) }],
  ["POST /api/agents/:name/eval-cases", { body: newCase }],
  ["POST /api/agents/:name/eval-cases/import", {
    body: fields({ cases: { type: "array", items: newCase } }, ["cases"])
  }],
  ["PATCH /api/agents/:name/eval-cases/:id", { body: fields(caseFields) }],
  ["POST /api/agents/:name/eval-runs", {
    body: fields({ versionNumber: { type: "integer" }, categories: texts, tags: texts })
  }],
  ["GET /api/agents/:name/eval-runs/compare", { query: fields({ runA: uuid, runB: uuid }, ["runA", "runB"]) }],
  ["POST /api/agents/:name/eval-runs/:id/score", {
    body: fields({ resultId: uuid, ...scoreFields }),
    declares: [400]
  }],
  ["PATCH /api/agents/:name/eval-results/:id", { body: fields(scoreFields) }],
  ["POST /api/sessions", { body: createSession, declares: [400] }],
  ["GET /api/sessions", { query: fields({ agent: text() }) }],
  ["PATCH /api/sessions/:id/config", { body: fields(querySettings) }],
  ["POST /api/sessions/:id/pause", { declares: [400] }],
  ["POST /api/sessions/:id/stop", { declares: [400] }],
  ["POST /api/sessions/:id/exec", { body: exec, declares: [400] }],
  ["GET /api/sessions/:id/events", { query: page({ type: text() }) }],
  ["GET /api/sessions/:id/logs", { query: fields({ after: atLeast(-1) }) }],
  ["GET /api/sessions/:id/messages", { query: page() }],
  ["GET /api/sessions/:id/files", { query: fields({ includeHidden: onOrOff }) }],
  ["GET /api/sessions/:id/files/:path", { query: fileFormat, refusesFilePath: true }],
  ["POST /api/sessions/:id/files", {
    body: fields({
      files: {
        type: "array",
        items: fields({ ...file, mimeType: text() }, ["path", "content"]),
        minItems: 1,
        maxItems: 500
      },
      targetPath: text()
    }, ["files"])
  }],
  ["DELETE /api/sessions/:id/files/:path", { refusesFilePath: true }],
  ["POST /api/sessions/:id/workspace", { body: fields({ bundle: text() }, ["bundle"]), declares: [400] }],
  ["POST /api/sessions/:id/attachments", {
    body: fields({ filename: someText, mimeType: text(), content: text(), messageId: uuid }, ["filename", "content"]),
    declares: [400, 413]
  }],
  ["POST /api/credentials", {
    body: fields({ type: credentialType, key: someText, label: text() }, ["type", "key"]),
    declares: [400]
  }],
  ["DELETE /api/credentials/:id", { isPlainId: true }],
  ["POST /api/api-keys", { body: fields({ label: text() }), isBodyOptional: true }],
  ["DELETE /api/api-keys/:id", { isPlainId: true }],
  ["POST /api/queue", {
    body: fields({
      agentName: text(),
      prompt: someText,
      sessionId: uuid,
      priority: atLeast(0),
      maxRetries: atLeast(0)
    }, ["agentName", "prompt"]),
    declares: [400]
  }],
  ["GET /api/queue", { query: fields({ status: itemStatus, limit: upTo(500) }) }],
  ["DELETE /api/queue/:id", { declares: [400] }],
  ["GET /api/usage", { query: fields({ ...usageFilter, limit: upTo(1000) }) }],
  ["GET /api/usage/stats", { query: fields(usageFilter) }],
  ["GET /api/analytics", { query: fields({ after: time, before: time }) }]
]

export const make = (quirks: Quirks): ReadonlyMap<string, Route> =>
  new Map([
    ...routes,
    ["POST /api/sessions/:id/messages", { body: sendMessage(quirks.content), declares: [400] }]
  ])
