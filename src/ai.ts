/**
 * Agents as language models of `effect/ai`.
 *
 * @module effect-ash/ai
 */
export * as AshLanguageModel from "./ai/AshLanguageModel.ts"
export type { ConversationOptions } from "./ai/conversations.ts"
