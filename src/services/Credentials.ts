/** Credentials: gives the server keys to models, which sessions then use by id. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { refusedBy } from "../internal/request/failures.ts"
import { renamed } from "../internal/request/operations.ts"
import { anObject, checked } from "../internal/request/options.ts"
import type { AshError } from "../schema/AshError.ts"
import { CreateCredentialRequest, type StoredCredential } from "../schema/Credential.ts"
import { omittable } from "../schema/Wire.ts"
import { layerOf } from "./layerOf.ts"

/** What a credential may have besides its key. */
export interface CredentialOptions {
  /** @default "" */
  readonly label?: string | undefined
}

const { key } = CreateCredentialRequest.fields

/** An account of Amazon Bedrock. */
export interface BedrockKey extends Schema.Schema.Type<typeof BedrockKey> {}
const BedrockKey = Schema.Struct({
  accessKeyId: key,
  secretAccessKey: key,
  /** Such as `us-east-1`. */
  region: Schema.NonEmptyString,
  sessionToken: omittable(key)
})

type Create<Key> = (key: Key, options?: CredentialOptions) => Effect.Effect<StoredCredential, AshError>

/**
 * Stores keys to models. A stored key is never shown again. Sessions take it by `credentialId`, unless they get a
 * pre-warmed sandbox.
 */
export class Credentials extends Context.Service<Credentials, {
  /** Stores a key of Anthropic: sessions have it as `ANTHROPIC_API_KEY`. */
  readonly createAnthropic: Create<Redacted.Redacted<string>>
  /** Stores a key of OpenAI: sessions have it as `OPENAI_API_KEY`. */
  readonly createOpenAi: Create<Redacted.Redacted<string>>
  /** Stores any other key: sessions have it as `ASH_CUSTOM_API_KEY`. */
  readonly createCustom: Create<Redacted.Redacted<string>>
  /** Stores an account of Amazon Bedrock: sessions have it as `AWS_*`, with `CLAUDE_CODE_USE_BEDROCK=1`. */
  readonly createBedrock: Create<BedrockKey>
  /** Lists credentials, the newest first, without their keys. */
  readonly list: () => Effect.Effect<ReadonlyArray<StoredCredential>, AshError>
  /** Deletes a credential. Sessions that run keep the key. */
  readonly delete: (id: string) => Effect.Effect<void, AshError>
}>()("effect-ash/services/Credentials") {
  static readonly layer = layerOf(Credentials, ({ credentials: api }, { field, remove }) => {
    const create =
      (operation: string, type: CreateCredentialRequest["type"]): Create<Redacted.Redacted<string>> => (key, options) =>
        Effect.flatMap(
          checked(operation, anObject, options),
          ({ label }) =>
            Effect.mapError(field(api.create, { payload: { type, key, label } }, "credential"), renamed(operation))
        )
    return {
      createAnthropic: create("Credentials.createAnthropic", "anthropic"),
      createOpenAi: create("Credentials.createOpenAi", "openai"),
      createCustom: create("Credentials.createCustom", "custom"),
      createBedrock: (account, options) =>
        Effect.flatMap(
          Effect.mapError(encodeAccount(account), refusedBy("Credentials.createBedrock")),
          (key) => create("Credentials.createBedrock", "bedrock")(Redacted.make(key), options)
        ),
      list: () => field(api.list, {}, "credentials"),
      delete: (id) => remove(api.delete, { params: { id } })
    }
  })
}

/** The form in which the server keeps the parts of an account in one key. */
const encodeAccount = Schema.encodeUnknownEffect(Schema.fromJsonString(BedrockKey))
