/** What agents of the embedded server answer: scripts, and what makes them. */
export * from "./AgentScript.ts"
export { languageModel, type LanguageModelOptions } from "./ModelScript.ts"
