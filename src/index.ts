/**
 * The Effect SDK for Ash: layers, services and the nouns that they work with.
 *
 * @module effect-ash
 */
export type * from "./client/ApiMethods.ts"
export * from "./client/AshApiClient.ts"
export type { FileDownload } from "./client/FileDownload.ts"
export * as RequestOptions from "./client/RequestOptions.ts"
export type {
  BufferOptions,
  RequestOptionsInput,
  ResponseLimits,
  RetryOptions,
  TelemetryOptions,
  TurnTimeouts
} from "./client/RequestOptions.ts"
// Of the policy only the type, which the layers of services name.
export type { RequestPolicy, SharedLimits } from "./client/RequestPolicy.ts"
export * as Budget from "./functions/Budget.ts"
export * as Bundle from "./functions/Bundle.ts"
export * as MessageReader from "./functions/MessageReader.ts"
export * as Transcript from "./functions/Transcript.ts"
export * as TurnStream from "./functions/TurnStream.ts"
export * as Ash from "./layers/Ash.ts"
export type { AshServices } from "./layers/Ash.ts"
export type { AshCoreServices } from "./layers/AshCore.ts"
export * as AshCore from "./layers/AshCore.ts"
export type { AshOptions, LayerConfigOptions } from "./layers/AshOptions.ts"
export * from "./schema/index.ts"
export * from "./services/Agents.ts"
export * from "./services/AgentVersions.ts"
export * from "./services/Analytics.ts"
export * from "./services/ApiKeys.ts"
export { AshClient } from "./services/AshClient.ts"
export * from "./services/Attachments.ts"
export * from "./services/Credentials.ts"
export * from "./services/Evals.ts"
export * from "./services/Health.ts"
export * from "./services/Messages.ts"
export * from "./services/ProjectFiles.ts"
export * from "./services/QueueItems.ts"
export * from "./services/SessionFiles.ts"
export { SessionGates } from "./services/SessionGates.ts"
export type {
  AskAsOptions,
  Prompt,
  Prompts,
  PromptWithOptions,
  ReconcileOutcome,
  ReconcileQuery,
  SessionHandle,
  SessionHandleAttachments,
  SessionHandleFiles,
  SessionHandleOptions,
  SessionHandleWorkspace,
  SessionRestarted,
  TypedAnswer
} from "./services/SessionHandle.ts"
export * from "./services/Sessions.ts"
export * from "./services/Usage.ts"
export * from "./services/Workspaces.ts"
