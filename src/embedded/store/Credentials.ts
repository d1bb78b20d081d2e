/** The keys to models that sessions use, encrypted at rest (docs/ash.md 3.10). */
import * as Context from "effect/Context"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Struct from "effect/Struct"
import { createCipheriv, createDecipheriv } from "node:crypto"
import type { CreateCredentialRequest, StoredCredential } from "../../schema/Credential.ts"
import { parseJson } from "../../schema/Wire.ts"
import * as Errors from "../wire/Errors.ts"
import { textField } from "../wire/Json.ts"
import * as Tables from "./Tables.ts"

type Sealed = Readonly<Record<"nonce" | "text" | "tag", Uint8Array>>

interface CredentialRow extends StoredCredential {
  readonly tenantId: string
  readonly sealed: Sealed
}

export class Credentials extends Context.Service<Credentials>()("effect-ash/embedded/store/Credentials", {
  make: Effect.gen(function*() {
    const random = yield* SecureRandom.SecureRandom
    const secret = yield* random.randomBytes(32)
    const table = Tables.make<CredentialRow>()

    const seal = Effect.fnUntraced(function*(key: string): Effect.fn.Return<Sealed> {
      const nonce = yield* random.randomBytes(12)
      const cipher = createCipheriv("aes-256-gcm", secret, nonce)
      const text = new Uint8Array([...cipher.update(key, "utf8"), ...cipher.final()])
      return { nonce, text, tag: cipher.getAuthTag() }
    })

    const open = ({ nonce, tag, text }: Sealed): string => {
      const decipher = createDecipheriv("aes-256-gcm", secret, nonce)
      decipher.setAuthTag(tag)
      return decipher.update(text, undefined, "utf8") + decipher.final("utf8")
    }

    return {
      /** Adds a credential, and encrypts its key. */
      create: Effect.fnUntraced(function*({ key, label = "", type }: CreateCredentialRequest) {
        const { tenantId, ...row } = yield* Tables.newRow
        const credential = { ...row, type, label, active: true }
        yield* table.put({ ...credential, tenantId, lastUsedAt: null, sealed: yield* seal(Redacted.value(key)) })
        return credential
      }),
      /** Newest first. */
      list: Effect.map(table.all, (rows) => rows.toReversed().map(shown)),
      remove: (id: string) =>
        Effect.andThen(Tables.orNotFound("Credential not found")(table.find(id)), table.remove(id)),
      /** The variables that a credential sets in the environment of a session. */
      environment: Effect.fnUntraced(function*(id: string) {
        const row = yield* table.find(id)
        if (Option.isNone(row)) return yield* Errors.badRequest("Invalid or inaccessible credential")
        const { sealed, type } = row.value
        const env = yield* environmentOf(type, open(sealed))
        yield* table.put({ ...row.value, lastUsedAt: yield* DateTime.now })
        return env
      })
    }
  })
}) {
  static readonly layer = Layer.effect(Credentials, Credentials.make)
}

const shown = (row: CredentialRow): StoredCredential => Struct.omit(row, ["sealed", "tenantId"])

const variables = new Map([
  ["anthropic", "ANTHROPIC_API_KEY"],
  ["openai", "OPENAI_API_KEY"],
  ["custom", "ASH_CUSTOM_API_KEY"]
])

const environmentOf = Effect.fnUntraced(function*(type: string, key: string) {
  const variable = variables.get(type)
  if (variable !== undefined) return { [variable]: key }
  const account = parseJson(key)
  if (!Predicate.isObject(account)) {
    return yield* Errors.badRequest(
      "Bedrock credential must be a JSON object with accessKeyId, secretAccessKey, and region"
    )
  }
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
