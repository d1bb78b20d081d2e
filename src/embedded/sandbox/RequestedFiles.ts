/** The files of a folder as requests name and send them: what is refused of agents' files and sessions' files alike. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import { Buffer } from "node:buffer"
import * as Errors from "../wire/Errors.ts"
import * as FileTree from "./FileTree.ts"

/** A file as a request carries it: its content in base64, which is decoded leniently. */
export interface IncomingFile {
  readonly path: string
  readonly content: string
}

/** The content of a file. Node's decoder drops what is no base64, as the real server does. */
export const contentOf = ({ content }: IncomingFile): Uint8Array => Buffer.from(content, "base64")

/** Where a path leads within a folder, and what is there. */
export const find = Effect.fnUntraced(function*(folder: string, file: string) {
  const fileSystem = yield* FileSystem.FileSystem
  const target = yield* FileTree.within(folder, file)
  const info = Option.isSome(target) ? yield* Effect.option(fileSystem.stat(target.value)) : Option.none()
  return Option.isNone(target) || Option.isNone(info)
    ? yield* Errors.notFound("File not found")
    : { target: target.value, type: info.value.type, size: info.value.size }
})

/** A file that is there, and no folder. */
export const findFile = Effect.fnUntraced(function*(folder: string, file: string) {
  const found = yield* find(folder, file)
  return found.type === "File" ? found : yield* Errors.badRequest("Path is not a file")
})

/** Reads a file of at most so many bytes. */
export const read = Effect.fnUntraced(function*(folder: string, file: string, limit: number) {
  const fileSystem = yield* FileSystem.FileSystem
  const { size, target } = yield* findFile(folder, file)
  if (size > limit) return yield* Errors.badRequest(`File too large (${size} bytes, max ${limit})`)
  return yield* Effect.orDie(fileSystem.readFile(target))
})
