import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { ask, at, deploy, listAt, textAt, withServer } from "../../support/embeddedServer.ts"

const store = (type: string, key: string) => ask("POST", "/api/credentials", { json: { type, key } })

/** The environment of a session with a credential: the machine's own, and the credential's. */
const environmentOf = Effect.fnUntraced(function*(type: string, key: string) {
  const { body } = yield* store(type, key)
  const credentialId = textAt(body, "credential", "id")
  const session = yield* ask("POST", "/api/sessions", { json: { agent: "demo", credentialId } })
  assert.strictEqual(session.status, 201)
  const json = { command: "env" }
  const { body: result } = yield* ask("POST", `/api/sessions/${textAt(session.body, "session", "id")}/exec`, { json })
  return textAt(result, "stdout").trim().split("\n")
})

/** What a session says to an account that is none. */
const refusalOf = Effect.fnUntraced(function*(key: string) {
  const { body } = yield* store("bedrock", key)
  const json = { agent: "demo", credentialId: textAt(body, "credential", "id") }
  return (yield* ask("POST", "/api/sessions", { json })).body
})

describe("credentials", () => {
  it.effect("are stored, listed from the newest without their keys, and deleted", () =>
    Effect.gen(function*() {
      yield* deploy("demo")
      const first = yield* ask("POST", "/api/credentials", { json: { type: "custom", key: "geheim", label: "mine" } })
      assert.strictEqual(first.status, 201)
      assert.hasAllKeys(at(first.body, "credential"), ["id", "type", "label", "active", "createdAt"])
      assert.deepInclude(at(first.body, "credential"), { type: "custom", label: "mine", active: true })
      yield* store("anthropic", "k")
      const list = yield* ask("GET", "/api/credentials")
      assert.notInclude(list.text, "geheim")
      const rows = listAt(list.body, "credentials")
      assert.deepStrictEqual(rows.map((row) => [at(row, "type"), at(row, "label"), at(row, "lastUsedAt")]), [
        ["anthropic", "", null],
        ["custom", "mine", null]
      ])
      const path = `/api/credentials/${textAt(first.body, "credential", "id")}`
      assert.strictEqual((yield* ask("DELETE", path)).status, 204)
      assert.deepStrictEqual((yield* ask("DELETE", path)).body, { error: "Credential not found", statusCode: 404 })
      const bad = yield* store("azure", "k")
      assert.deepStrictEqual(bad.body, { error: "Bad Request", statusCode: 400 })
    }).pipe(withServer()))

  it.effect("are in the environment of the sessions that name them", () =>
    Effect.gen(function*() {
      yield* deploy("demo")
      assert.includeMembers(yield* environmentOf("anthropic", "a"), ["ANTHROPIC_API_KEY=a"])
      assert.includeMembers(yield* environmentOf("openai", "o"), ["OPENAI_API_KEY=o"])
      assert.includeMembers(yield* environmentOf("custom", "c"), ["ASH_CUSTOM_API_KEY=c"])
      const account = { accessKeyId: "A", secretAccessKey: "S", region: "eu-west-1" }
      assert.includeMembers(yield* environmentOf("bedrock", JSON.stringify(account)), [
        "AWS_ACCESS_KEY_ID=A",
        "AWS_REGION=eu-west-1",
        "AWS_SECRET_ACCESS_KEY=S",
        "CLAUDE_CODE_USE_BEDROCK=1"
      ])
      const [used] = listAt((yield* ask("GET", "/api/credentials")).body, "credentials")
      assert.isString(at(used, "lastUsedAt"))
    }).pipe(withServer()))

  it.effect("that are none are refused by the session", () =>
    Effect.gen(function*() {
      yield* deploy("demo")
      assert.deepStrictEqual(yield* refusalOf("no json"), {
        error: "Bedrock credential must be a JSON object with accessKeyId, secretAccessKey, and region",
        statusCode: 400
      })
      assert.deepStrictEqual(yield* refusalOf("{\"accessKeyId\":\"A\"}"), {
        error: "Bedrock credential requires accessKeyId, secretAccessKey, and region",
        statusCode: 400
      })
      const { body } = yield* ask("POST", "/api/sessions", { json: { agent: "demo", credentialId: "nosuch" } })
      assert.deepStrictEqual(body, { error: "Invalid or inaccessible credential", statusCode: 400 })
    }).pipe(withServer()))
})
