/** Keys as plain text, which programs of promises have and need: the services have them `Redacted`. */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type { NewApiKey } from "../schema/ApiKey.ts"
import type { StoredCredential } from "../schema/Credential.ts"
import type { ApiKeys } from "../services/ApiKeys.ts"
import type { BedrockKey, CredentialOptions, Credentials } from "../services/Credentials.ts"
import { type Promised, promised } from "./Promised.ts"
import type { Runner } from "./Runner.ts"

/** An account of Amazon Bedrock. */
export interface PromiseBedrockKey extends Pick<BedrockKey, "region"> {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string | undefined
}

/** Stores a key, as plain text. */
type Create<Key> = (key: Key, options?: CredentialOptions) => Promise<StoredCredential>

/**
 * Stores keys to models. A stored key is never shown again. Sessions take it by `credentialId`, unless they get a
 * pre-warmed sandbox.
 */
export interface PromiseCredentials extends Promised<Pick<Credentials["Service"], "delete" | "list">> {
  /** Stores a key of Anthropic: sessions have it as `ANTHROPIC_API_KEY`. */
  readonly createAnthropic: Create<string>
  /** Stores a key of OpenAI: sessions have it as `OPENAI_API_KEY`. */
  readonly createOpenAi: Create<string>
  /** Stores any other key: sessions have it as `ASH_CUSTOM_API_KEY`. */
  readonly createCustom: Create<string>
  /** Stores an account of Amazon Bedrock: sessions have it as `AWS_*`, with `CLAUDE_CODE_USE_BEDROCK=1`. */
  readonly createBedrock: Create<PromiseBedrockKey>
}

/** A new key, as plain text. The server returns it only once. */
export interface PromiseNewApiKey extends Omit<NewApiKey, "key"> {
  readonly key: string
}

/** Manages the keys of the tenant of the key in use. */
export interface PromiseApiKeys extends Promised<Omit<ApiKeys["Service"], "create">> {
  /** Creates a key with the permissions of the key in use. The server returns it only once. */
  readonly create: (...options: Parameters<ApiKeys["Service"]["create"]>) => Promise<PromiseNewApiKey>
}

export const credentials = (runner: Runner, service: Credentials["Service"]): PromiseCredentials =>
  promised(runner)({
    ...service,
    createAnthropic: (key: string, options?: CredentialOptions) => service.createAnthropic(Redacted.make(key), options),
    createOpenAi: (key: string, options?: CredentialOptions) => service.createOpenAi(Redacted.make(key), options),
    createCustom: (key: string, options?: CredentialOptions) => service.createCustom(Redacted.make(key), options),
    createBedrock: (account: PromiseBedrockKey, options?: CredentialOptions) => {
      const { accessKeyId, region, secretAccessKey, sessionToken } = { ...account }
      return service.createBedrock({
        region,
        accessKeyId: Redacted.make(accessKeyId),
        secretAccessKey: Redacted.make(secretAccessKey),
        ...(sessionToken !== undefined && { sessionToken: Redacted.make(sessionToken) })
      }, options)
    }
  })

export const apiKeys = (runner: Runner, service: ApiKeys["Service"]): PromiseApiKeys =>
  promised(runner)({
    ...service,
    create: (...options: Parameters<ApiKeys["Service"]["create"]>) =>
      Effect.map(service.create(...options), ({ key, ...rest }) => ({ ...rest, key: Redacted.value(key) }))
  })
