/** Agents as language models of `effect/ai`. */
export * as AshLanguageModel from "./ai/AshLanguageModel.ts"
export type { ConversationOptions } from "./ai/conversations.ts"
