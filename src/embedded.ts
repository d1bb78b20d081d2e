/**
 * An Ash server inside the process, for tests and first tries: no server, no key, no network.
 *
 * @module effect-ash/embedded
 */
export type { EmbeddedHttpOptions, EmbeddedOptions } from "./embedded/EmbeddedOptions.ts"
export * as FaultProxy from "./embedded/FaultProxy.ts"
export type { Quirks } from "./embedded/Quirks.ts"
export * as AgentScript from "./embedded/Scripts.ts"
export * as AshEmbedded from "./layers/AshEmbedded.ts"
