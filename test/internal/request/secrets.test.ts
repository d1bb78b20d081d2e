import { assert, describe, it } from "@effect/vitest"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import { userAgent } from "../../../src/internal/request/connection.ts"
import { redactOf, redactTogether } from "../../../src/internal/request/secrets.ts"
import { jsonBody } from "../../../src/internal/request/upload.ts"

const headed = (headers: Record<string, string>) =>
  redactOf(HttpClientRequest.setHeaders(HttpClientRequest.get("http://ash.test/api/sessions"), headers))
const carrying = (body: object, harmless: ReadonlyArray<string> = []) =>
  redactOf(
    HttpClientRequest.post("http://ash.test/api/sessions", {
      body: jsonBody(HttpBody.jsonUnsafe(body), new Set(harmless))
    })
  )

const base64 = (text: string) => Buffer.from(text).toString("base64")

describe("what is sent in a header", () => {
  const credentials = [
    "user:a-very-long-passphrase-0815",
    "user:a-very-long-passphrase-08155",
    "user:a-very-long-passphrase-081555"
  ]
  it.each(credentials)("is hidden behind its scheme, whatever its base64 ends in: %s", (credential) => {
    const redact = headed({ "x-basic": `Basic ${base64(credential)}` })
    assert.notInclude(redact(`no login for ${credential}`), "passphrase")
    assert.notInclude(redact(`no password ${credential.slice(5)}`), "passphrase")
  })

  it.each(["tok12345==", "abc12def=", "pa,ss1word", "k=v1x9z8", "Hunters", "sk-ash-0123456789abcdefghij"])(
    "is hidden whole, as the key is: %s",
    (key) =>
      assert.strictEqual(
        headed({ authorization: `Bearer ${key}` })(`unknown key ${key} given`),
        "unknown key <redacted> given"
      )
  )

  it.each(["user-agent", "x-correlation-id", "server", "type", "date", "cookie", "x-anything"])(
    "is hidden under the name of %s",
    (name) =>
      assert.strictEqual(
        headed({ [name]: "value-of-the-caller-1" })("bad value-of-the-caller-1 here"),
        "bad <redacted> here"
      )
  )

  it("is not hidden where it is this package's own", () =>
    assert.strictEqual(headed({ "user-agent": userAgent })(`who is ${userAgent}?`), `who is ${userAgent}?`))
})

describe("a message of ordinary words", () => {
  const cases: ReadonlyArray<readonly [string, (text: string) => string]> = [
    ["headers/x-flag must be true or false", headed({ "x-flag": "true" })],
    ["the default agent is missing", headed({ "x-tenant": "default" })],
    ["must be a string", headed({ "x-kind": "string" })],
    ["Agent directory for support-agent not found", carrying({ name: "support-agent" }, ["name"])],
    ["unknown tool WebSearch", carrying({ agent: "a", allowedTools: ["WebSearch"] })],
    ["not allowed in production mode", carrying({ extraEnv: { NODE_ENV: "production" } })],
    ["connect ECONNREFUSED localhost:5432", carrying({ extraEnv: { DB: "localhost" } })],
    ["Cannot continue: session is paused", carrying({ content: "continue" })]
  ]
  it.each(cases)("stays as it is: %s", (message, redact) => assert.strictEqual(redact(message), message))
})

describe("what a body holds", () => {
  it("is hidden in a key, however short, and in a long number", () => {
    assert.strictEqual(carrying({ type: "custom", key: "Hunters" })("bad Hunters given"), "bad <redacted> given")
    assert.strictEqual(carrying({ pin: 123456789012345 })("bad 123456789012345"), "bad <redacted>")
  })

  it("is hidden whatever its field is called, where the schema does not call it harmless", () => {
    const redact = carrying({ path: "secret-root-path-value" })
    assert.strictEqual(redact("bad secret-root-path-value"), "bad <redacted>")
  })

  it.each([1000, 3000])("is hidden %i levels deep, where JSON can be written", (levels) => {
    const deep = Array.from({ length: levels }).reduce<object>((value) => ({ value }), { secret: "a-secret-far-down" })
    assert.strictEqual(carrying(deep)("bad a-secret-far-down"), "bad <redacted>")
  })

  const texts = ["Grüße über größere Öfen", "日本語の秘密の文章はここに", "🙂🙃😀😃😄😁😆😅😂🤣🥲", "Секретная фраза"]
  const bytes = (write: (byte: number) => string, isAll: boolean) => (text: string) =>
    Array.from(Buffer.from(text), (byte) => byte > 127 || isAll ? write(byte) : String.fromCharCode(byte)).join("")
  const hex = (byte: number) => byte.toString(16).padStart(2, "0")
  const octal = (byte: number) => byte.toString(8).padStart(3, "0")
  const spellings = [true, false].flatMap((isAll) => [
    bytes((byte) => `\\x${hex(byte)}`, isAll),
    bytes((byte) => `\\x${hex(byte).toUpperCase()}`, isAll),
    bytes((byte) => `\\${octal(byte)}`, isAll),
    bytes((byte) => `%${hex(byte)}`, isAll)
  ])

  it.each(texts)("is hidden as bytes, however they are escaped: %s", (text) => {
    const redact = carrying({ systemPrompt: text })
    for (const spell of spellings) {
      assert.strictEqual(redact(`no ${spell(text)} here`), "no <redacted> here")
      assert.strictEqual(redact(JSON.stringify(`no ${spell(text)} here`)), "\"no <redacted> here\"")
    }
  })

  it("is hidden in another case of any alphabet", () => {
    const redact = carrying({ content: "ÄÖÜÄÖÜÄÖÜÄÖÜÄÖ Schlüssel-ÜberÄrger" })
    assert.notMatch(redact("äöüäöüäöüäöüäö"), /ä/)
    assert.notMatch(redact("SCHLÜSSEL-ÜBERÄRGER"), /BER/)
  })
})

describe("texts that are looked through together", () => {
  const secrets = ["a-secret-of-the-caller", "caller-a-secret\u001fcaller-b-secret", "caller\u001f\u001fsecret-of-it"]
  const texts = [
    "no caller-a-secret",
    "caller-b-secret here",
    "caller",
    "",
    "secret-of-it",
    "ends in \\",
    "harmless",
    ""
  ]

  it.each(secrets)("read as each by itself does: what was sent is %j", (secret) => {
    const redact = carrying({ content: secret })
    const together = redactTogether([undefined, ...texts], redact)
    assert.deepStrictEqual(texts.map(together), texts.map(redact))
  })
})
