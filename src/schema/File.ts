/** Files of an agent or a workspace, as a server lists them and as a request carries them. */
import * as Schema from "effect/Schema"
import { FilePath } from "./Ids.ts"

/** A file in a listing. */
export interface FileEntry extends Schema.Schema.Type<typeof FileEntry> {}
export const FileEntry = Schema.Struct({
  /** Relative, with `/` between its segments. */
  path: Schema.String,
  /** Bytes. */
  size: Schema.Finite,
  modifiedAt: Schema.DateTimeUtcFromString
}).annotate({ identifier: "FileEntry" })

/** A file to write. On the wire its content is base64 in JSON. */
export interface FileUpload extends Schema.Schema.Type<typeof FileUpload> {}
export const FileUpload = Schema.Struct({
  path: FilePath,
  content: Schema.Uint8ArrayFromBase64
}).annotate({ identifier: "FileUpload" })
