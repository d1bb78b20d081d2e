/**
 * Ash for programs of promises: nothing of Effect is needed in a program's own imports. What rejects a promise has no type:
 * where services have the failures of what they are handed, `unknown` stands here.
 *
 * @module effect-ash/promise
 */
export type { BatchCallbacks, PromiseAgents, PromiseBatchOptions, PromiseBatchWithOptions } from "./promise/Agents.ts"
export * from "./promise/AshPromise.ts"
export type { ByteContent, Content, Download } from "./promise/Download.ts"
export * from "./promise/events.ts"
export type { Promised, PromisedMember, Settled, Started } from "./promise/Promised.ts"
export type { CallOptions } from "./promise/Runner.ts"
export type { PromiseApiKeys, PromiseBedrockKey, PromiseCredentials, PromiseNewApiKey } from "./promise/secrets.ts"
export type {
  PromiseSession,
  PromiseSessionAttachments,
  PromiseSessionFiles,
  PromiseSessionWorkspace
} from "./promise/Session.ts"
export type { AttachmentInput, PromptSource, SessionFileInput, WriteOptions } from "./promise/uploads.ts"
export * from "./schema/index.ts"
