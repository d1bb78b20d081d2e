/** The files of a folder as requests name and send them: what is refused of agents' files and sessions' files alike. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Schema from "effect/Schema"
import { Buffer } from "node:buffer"
import * as Errors from "../wire/Errors.ts"
import * as FileTree from "./FileTree.ts"

/** Files as a request carries them: their contents in base64, which is decoded leniently. */
export type IncomingFiles = typeof IncomingFiles.Type
export const IncomingFiles = Schema.Array(Schema.Struct({ path: Schema.String, content: Schema.String }))

/** The content of a file. Node's decoder drops what is no base64, as the real server does. */
export const contentOf = ({ content }: IncomingFiles[number]): Uint8Array => Buffer.from(content, "base64")

export const find = Effect.fnUntraced(function*(folder: string, file: string) {
  const fileSystem = yield* FileSystem.FileSystem
  const target = yield* FileTree.within(folder, file)
  if (target === undefined) return yield* Errors.notFound("File not found")
  const { size, type } = yield* Effect.mapError(fileSystem.stat(target), () => Errors.notFound("File not found"))
  return { target, type, size }
})

export const findFile = Effect.fnUntraced(function*(folder: string, file: string) {
  const found = yield* find(folder, file)
  return found.type === "File" ? found : yield* Errors.badRequest("Path is not a file")
})

export const read = Effect.fnUntraced(function*(folder: string, file: string, limit: number) {
  const fileSystem = yield* FileSystem.FileSystem
  const { size, target } = yield* findFile(folder, file)
  if (size > limit) return yield* Errors.badRequest(`File too large (${size} bytes, max ${limit})`)
  return yield* Effect.orDie(fileSystem.readFile(target))
})

/** The size in bytes up to which a file is answered as JSON. */
const jsonLimit = 1_048_576

export const readText = Effect.fnUntraced(function*(folder: string, file: string) {
  const bytes = yield* read(folder, file, jsonLimit)
  return { path: file, content: new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes), size: bytes.length }
})
