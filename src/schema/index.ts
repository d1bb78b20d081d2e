/** The wire contract: every noun of the API as a schema, the errors, and the API itself. */
export * from "./Agent.ts"
export { AshApi } from "./AshApi.ts"
export * from "./AshError.ts"
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
export * from "./File.ts"
export * from "./Health.ts"
export * from "./Ids.ts"
export * from "./Message.ts"
export * from "./Session.ts"
export * from "./SessionEvent.ts"
export {
  DoneEvent,
  MessageEvent,
  SessionEndEvent,
  SessionStartEvent,
  StreamEvent,
  TextDeltaEvent,
  ThinkingDeltaEvent,
  ToolResultEvent,
  ToolUseEvent,
  TurnCompleteEvent,
  TurnErrorEvent,
  UnknownEvent
} from "./StreamEvent.ts"
export { Unknown } from "./Wire.ts"
