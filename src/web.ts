/**
 * A turn for a browser: server-sent events, the UI message stream of the AI SDK, and the routes of a chat.
 *
 * @module effect-ash/web
 */
export {
  type EventStream,
  type EventStreamOptions,
  toHttpServerResponse,
  toResponse,
  type TurnEvents
} from "./web/EventStream.ts"
export * from "./web/serverSentEvents.ts"
export { type UiMessage, type UiMessagePart, uiMessagesOf } from "./web/uiMessages.ts"
export {
  toUiMessageStream,
  type UiMessageChunk,
  uiMessageChunks,
  type UiMessageMetadata,
  type UiMessageStreamOptions
} from "./web/uiMessageStream.ts"
export * as WebChat from "./web/WebChat.ts"
