/**
 * The wire contract: every noun of the API as a schema, the errors, and the API itself.
 *
 * @module effect-ash/schema
 */
export * from "./Agent.ts"
export * from "./AgentVersion.ts"
export * from "./Analytics.ts"
export * from "./AnswerIssue.ts"
export * from "./ApiKey.ts"
export { AshApi } from "./AshApi.ts"
export * from "./AshError.ts"
export * from "./Attachment.ts"
export {
  AssistantMessage,
  ClaudeMessage,
  MessageBlock,
  ModelUsage,
  PartialMessage,
  ResultMessage,
  SystemInit,
  TextBlock,
  ThinkingBlock,
  TokenUsage,
  ToolResultBlock,
  ToolUseBlock,
  UserMessage
} from "./ClaudeMessage.ts"
export * from "./Credential.ts"
export * from "./ErrorResponse.ts"
export * from "./Eval.ts"
export { FileEntry, FileUpload, SessionFileList, WriteFileResult } from "./File.ts"
export * from "./Health.ts"
export { HostedApi } from "./HostedApi.ts"
export * from "./HttpExchange.ts"
export * from "./Ids.ts"
export * from "./Message.ts"
export * from "./ProjectFile.ts"
export * from "./QueueItem.ts"
export * as Reasons from "./Reasons.ts"
export * from "./Session.ts"
export * from "./SessionEvent.ts"
export {
  ClaudeMessageEvent,
  DoneEvent,
  PartialEvent,
  SessionEndEvent,
  SessionStartEvent,
  StreamEvent,
  TextDeltaEvent,
  TextReplacedEvent,
  ThinkingDeltaEvent,
  ThinkingReplacedEvent,
  ToolResultEvent,
  ToolUseEvent,
  TurnCompleteEvent,
  TurnErrorEvent,
  UnknownEvent
} from "./StreamEvent.ts"
export { ToolCall, Turn, TurnOutcome, UsageScope } from "./Turn.ts"
export { UsageEvent, UsageFilter, UsageStats } from "./Usage.ts"
export { type JsonInput, UnknownJson } from "./Wire.ts"
