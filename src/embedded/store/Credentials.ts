/** The keys to models that sessions use (docs/ash.md 3.10). */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Struct from "effect/Struct"
import type { CreateCredentialRequest, StoredCredential } from "../../schema/Credential.ts"
import { parseJson } from "../../schema/Wire.ts"
import * as Errors from "../wire/Errors.ts"
import { textField } from "../wire/Json.ts"
import * as Tables from "./Tables.ts"

interface Credential extends StoredCredential {
  readonly key: Redacted.Redacted<string>
}

export const make = () => {
  const table = Tables.make<Credential>()
  return {
    create: Effect.fnUntraced(function*({ key, label = "", type }: CreateCredentialRequest) {
      const { tenantId, ...row } = yield* Tables.newRow
      const credential = { ...row, type, label, active: true }
      yield* table.put({ ...credential, tenantId, lastUsedAt: null, key })
      return credential
    }),
    /** Newest first. */
    list: Effect.map(table.all, (rows) => rows.toReversed().map(shown)),
    remove: (id: string) => Effect.andThen(Tables.orNotFound("Credential not found")(table.find(id)), table.remove(id)),
    /** The variables that a credential sets in the environment of a session. */
    environment: Effect.fnUntraced(function*(id: string) {
      const row = yield* table.find(id)
      if (row === undefined) return yield* Errors.badRequest("Invalid or inaccessible credential")
      const { key, type } = row
      const env = yield* environmentOf(type, Redacted.value(key))
      yield* table.put({ ...row, lastUsedAt: yield* DateTime.now })
      return env
    })
  }
}

const shown = (row: Tables.Row<Credential>): StoredCredential => Struct.omit(row, ["key", "tenantId"])

const variables = new Map([
  ["anthropic", "ANTHROPIC_API_KEY"],
  ["openai", "OPENAI_API_KEY"],
  ["custom", "ASH_CUSTOM_API_KEY"]
])

const noObject = "Bedrock credential must be a JSON object with accessKeyId, secretAccessKey, and region"

const environmentOf = Effect.fnUntraced(function*(type: string, key: string) {
  const variable = variables.get(type)
  if (variable !== undefined) return { [variable]: key }
  const account = parseJson(key)
  if (!Predicate.isObject(account)) return yield* Errors.badRequest(noObject)
  const accessKeyId = textField(account, "accessKeyId")
  const secretAccessKey = textField(account, "secretAccessKey")
  const region = textField(account, "region")
  const sessionToken = textField(account, "sessionToken")
  if (!accessKeyId || !secretAccessKey || !region) {
    return yield* Errors.badRequest("Bedrock credential requires accessKeyId, secretAccessKey, and region")
  }
  return {
    CLAUDE_CODE_USE_BEDROCK: "1",
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    AWS_REGION: region,
    ...(sessionToken === undefined ? {} : { AWS_SESSION_TOKEN: sessionToken })
  }
})
