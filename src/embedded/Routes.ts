/**
 * What the real server's routes accept (contract 3). The package's own contract does not say it: it declares what clients
 * should send, which is less.
 */
import type { ErrorResponse } from "../schema/ErrorResponse.ts"
import * as Errors from "./Errors.ts"
import type { Quirks } from "./Quirks.ts"
import type { Rule } from "./Validation.ts"

/** What a route accepts. */
export interface Route {
  /** Absent where the route takes no body, and then whatever is sent is ignored. */
  readonly body?: Rule
  readonly query?: Rule
  /** Whether a bad request is answered without a reason (contract 2.1, shape C). */
  readonly declaresBadRequest?: boolean
  readonly filePath?: {
    readonly isBad: (path: string) => boolean
    readonly bad: ErrorResponse
    readonly empty: ErrorResponse
  }
}

const text = (maxLength?: number): Rule => maxLength === undefined ? { type: "string" } : { type: "string", maxLength }
const texts: Rule = { type: "array", items: { type: "string" } }
const textMap: Rule = { type: "object", others: { type: "string" } }
const object: Rule = { type: "object" }
const page = (more: Readonly<Record<string, Rule>> = {}): Rule => ({
  type: "object",
  properties: {
    limit: { type: "integer", minimum: 1, maximum: 1000 },
    after: { type: "integer", minimum: 0 },
    ...more
  }
})

const files: Rule = {
  type: "array",
  items: { type: "object", properties: { path: text(), content: text() }, required: ["path", "content"] }
}

const querySettings: Readonly<Record<string, Rule>> = {
  model: text(100),
  allowedTools: texts,
  disallowedTools: texts,
  betas: texts,
  subagents: object,
  initialAgent: text()
}

const createAgent: Rule = {
  type: "object",
  properties: {
    name: { type: "string", minLength: 1, maxLength: 255, pattern: "^[a-zA-Z0-9_-]+$" },
    path: text(4096),
    systemPrompt: text(1_000_000),
    files,
    env: textMap
  },
  required: ["name"]
}

const createSession: Rule = {
  type: "object",
  properties: {
    agent: { type: "string", minLength: 1, maxLength: 255 },
    credentialId: text(255),
    extraEnv: textMap,
    mcpServers: {
      type: "object",
      others: { type: "object", properties: { url: text(), command: text(), args: texts, env: textMap } }
    },
    systemPrompt: text(1_000_000),
    permissionMode: { type: "string", enum: ["bypassPermissions", "permissionsByAgent", "default"] },
    ...querySettings
  },
  required: ["agent"]
}

const exec: Rule = {
  type: "object",
  properties: { command: text(), timeout: { type: "integer", minimum: 1, maximum: 300_000 } },
  required: ["command"]
}

const sendMessage = (quirk: Quirks["content"]): Rule => ({
  type: "object",
  properties: {
    content: content[quirk],
    includePartialMessages: { type: "boolean" },
    model: text(100),
    maxTurns: { type: "integer", minimum: 1 },
    maxBudgetUsd: { type: "number", minimum: 0 },
    effort: { type: "string", enum: ["low", "medium", "high", "max"] },
    thinking: {
      type: "object",
      properties: { type: text(), budgetTokens: { type: "integer" } },
      required: ["type"]
    },
    outputFormat: { type: "object", properties: { type: text(), schema: object }, required: ["type", "schema"] }
  },
  required: ["content"]
})

const blocks: Rule = {
  type: "array",
  maxItems: 20,
  items: {
    type: "object",
    properties: { type: { type: "string", enum: ["text", "image", "document"] } },
    required: ["type"]
  }
}

const content: Readonly<Record<Quirks["content"], Rule>> = {
  mangled: { type: "oneOf", rules: [text(500_000), blocks] },
  strings: text(100_000),
  intact: { type: "anyOf", rules: [text(500_000), blocks] }
}

/** The routes, by method and path. */
export const make = (quirks: Quirks): ReadonlyMap<string, Route> =>
  new Map<string, Route>([
    ["POST /api/agents", { body: createAgent, declaresBadRequest: true }],
    ["PATCH /api/agents/:name", { body: { type: "object", properties: { env: textMap, config: object } } }],
    ["PATCH /api/agents/:name/config", { body: object }],
    ["GET /api/agents/:name/files/:path", {
      query: { type: "object", properties: { format: { type: "string", enum: ["json", "raw"] } } },
      filePath: {
        isBad: (path) => path.includes("..") || path.startsWith("/"),
        bad: Errors.badRequest("Invalid file path"),
        empty: Errors.badRequest("Invalid file path")
      }
    }],
    ["POST /api/agents/:name/files", {
      body: { type: "object", properties: { files }, required: ["files"] }
    }],
    ["DELETE /api/agents/:name/files/:path", {
      filePath: {
        isBad: (path) => path.split("/").includes("..") || path.startsWith("/"),
        bad: Errors.badRequest("Path escapes agent directory"),
        empty: Errors.framework(500, "EISDIR: illegal operation on a directory, unlink", "EISDIR")
      }
    }],
    ["POST /api/sessions", { body: createSession, declaresBadRequest: true }],
    ["GET /api/sessions", { query: { type: "object", properties: { agent: text() } } }],
    ["PATCH /api/sessions/:id/config", { body: { type: "object", properties: querySettings } }],
    ["POST /api/sessions/:id/pause", { declaresBadRequest: true }],
    ["POST /api/sessions/:id/stop", { declaresBadRequest: true }],
    ["POST /api/sessions/:id/exec", { body: exec, declaresBadRequest: true }],
    ["GET /api/sessions/:id/events", { query: page({ type: text() }) }],
    ["GET /api/sessions/:id/logs", {
      query: { type: "object", properties: { after: { type: "integer", minimum: -1 } } }
    }],
    ["POST /api/sessions/:id/messages", { body: sendMessage(quirks.content), declaresBadRequest: true }],
    ["GET /api/sessions/:id/messages", { query: page() }]
  ])
