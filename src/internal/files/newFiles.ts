/** Files that a caller gives to be sent: their paths checked, their contents gathered into bytes. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { AshError } from "../../schema/AshError.ts"
import { FilePath } from "../../schema/Ids.ts"
import { gather, type WholeContent } from "../request/content.ts"
import { refusedBy } from "../request/failures.ts"

const encodePaths = Schema.encodeUnknownEffect(
  Schema.Struct({ files: Schema.Array(Schema.Struct({ path: FilePath })) })
)

/** Refuses a path by its place among all files, and what is no file. */
export const checkPaths = (operation: string, files: unknown): Effect.Effect<unknown, AshError> =>
  Effect.mapError(encodePaths({ files }), refusedBy(operation))

export const gatherFiles = <File extends { readonly path: string; readonly content: WholeContent }>(
  operation: string,
  files: ReadonlyArray<File>
): Effect.Effect<ReadonlyArray<Omit<File, "content"> & { readonly content: Uint8Array }>, AshError> =>
  Effect.flatMap(checkPaths(operation, files), () =>
    Effect.forEach(files, (file, index) =>
      Effect.map(
        gather(operation, file.content, `files[${index}].content`, Infinity),
        (content) => ({ ...file, content })
      )))
