/** Ash for programs of promises: nothing of Effect is needed in a program's own imports. */
export * from "./promise/AshPromise.ts"
export type { ByteContent, Content, Download } from "./promise/Download.ts"
export * from "./promise/events.ts"
export type * from "./promise/Promised.ts"
export type { CallOptions } from "./promise/Runner.ts"
export type * from "./promise/Session.ts"
export type * from "./promise/uploads.ts"
export * from "./schema/index.ts"
