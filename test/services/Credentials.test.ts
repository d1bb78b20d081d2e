import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as AshEmbedded from "../../src/layers/AshEmbedded.ts"
import { Agents } from "../../src/services/Agents.ts"
import { Credentials } from "../../src/services/Credentials.ts"
import { Sessions } from "../../src/services/Sessions.ts"
import * as Server from "../support/ScriptedServer.ts"

const key = Redacted.make("sk-geheim")
const wiped = Redacted.make("sk-geheim")
Redacted.wipeUnsafe(wiped)

describe("Credentials", () => {
  it.effect("stores keys of each kind, which sessions then have", () =>
    Effect.gen(function*() {
      yield* (yield* Agents).create({ name: "demo" })
      const credentials = yield* Credentials
      const sessions = yield* Sessions
      const account = {
        accessKeyId: Redacted.make("A"),
        secretAccessKey: Redacted.make("S"),
        region: "eu-west-1",
        sessionToken: Redacted.make("T")
      }
      const stored = yield* Effect.all([
        credentials.createAnthropic(key, { label: "mine" }),
        credentials.createOpenAi(key),
        credentials.createCustom(key),
        credentials.createBedrock(account)
      ])
      const variables = ["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "ASH_CUSTOM_API_KEY", "AWS_SESSION_TOKEN"]
      for (const [index, { id }] of stored.entries()) {
        const session = yield* sessions.create({ agent: "demo", credentialId: id })
        const { stdout } = yield* sessions.exec(session.id, `printenv ${variables[index]}`)
        assert.strictEqual(stdout, index === 3 ? "T\n" : "sk-geheim\n")
      }
      const listed = yield* credentials.list()
      assert.deepStrictEqual(listed.map(({ type }) => type), ["bedrock", "custom", "openai", "anthropic"])
      assert.strictEqual(listed.at(-1)?.label, "mine")
      for (const { id } of stored) yield* credentials.delete(id)
      assert.deepStrictEqual(yield* credentials.list(), [])
    }).pipe(Effect.provide(AshEmbedded.layer())))

  const accounts = ["accessKeyId", "secretAccessKey", "region", "sessionToken"].flatMap((field) =>
    ["", undefined, null, 7, {}, Symbol("x")].flatMap((part) =>
      (field === "region" ? [part] : [part, Redacted.make(part), wiped])
        .filter((part) => field !== "sessionToken" || part !== undefined).map((part) => [field, part] as const)
    )
  )

  it.effect("stores no account with a part that is none, and names it", () => {
    const server = Server.make(Server.json({}))
    return Effect.gen(function*() {
      const { createBedrock } = yield* Credentials
      for (const [field, part] of accounts) {
        const account = {
          accessKeyId: key,
          secretAccessKey: key,
          region: "eu-west-1",
          sessionToken: key,
          [field]: part
        }
        const error = yield* Effect.flip(createBedrock(account))
        assert.strictEqual(error.operation, "Credentials.createBedrock")
        assert.strictEqual(error.reason._tag === "InvalidRequest" ? error.reason.field : error.reason._tag, field)
        assert.notInclude(`${error} ${JSON.stringify(error)}`, "geheim")
      }
      assert.deepStrictEqual(server.requests, [])
    }).pipe(Effect.provide(server.layer))
  })

  it.effect("sends a key only to the server", () => {
    const server = Server.make(Server.json({ error: "Bad Request", statusCode: 400 }, 400))
    return Effect.gen(function*() {
      const { createAnthropic } = yield* Credentials
      const error = yield* Effect.flip(createAnthropic(key))
      assert.include(server.requests[0]?.body, "sk-geheim")
      assert.notInclude(`${error} ${JSON.stringify(error)}`, "geheim")
    }).pipe(Effect.provide(server.layer))
  })
})
