/** Files of an agent or a workspace, as a server lists them and as a request carries them. */
import * as Schema from "effect/Schema"
import { BytesFromBase64 } from "./Bytes.ts"
import { FilePath } from "./Ids.ts"
import { nullish, open, Time } from "./Wire.ts"

/** A file in a listing. */
export interface FileEntry extends Schema.Schema.Type<typeof FileEntry> {}
export const FileEntry = Schema.Struct({
  /** Relative, with `/` between its segments. */
  path: Schema.String,
  /** Bytes. */
  size: Schema.Finite,
  modifiedAt: Time
}).annotate({ identifier: "FileEntry" })

/** Where a session's files were read: in the live sandbox, or in what was kept of it. */
const FileSource = open(["sandbox", "snapshot"])

/** The files of a session's workspace. */
export interface SessionFileList extends Schema.Schema.Type<typeof SessionFileList> {}
export const SessionFileList = Schema.Struct({ files: Schema.Array(FileEntry), source: FileSource })
  .annotate({ identifier: "SessionFileList" })

/** What became of a file that was sent. */
export interface WriteFileResult extends Schema.Schema.Type<typeof WriteFileResult> {}
export const WriteFileResult = Schema.Struct({
  path: Schema.String,
  written: Schema.Boolean,
  /** Bytes; of a file that was written. */
  size: nullish(Schema.Finite),
  /** Why it was not written. */
  error: nullish(Schema.String)
}).annotate({ identifier: "WriteFileResult" })

/** Content of at most so many bytes, base64 on the wire. */
export const bytesUpTo = (maximum: number) =>
  BytesFromBase64.check(
    Schema.makeFilter((bytes: Uint8Array) => bytes.byteLength <= maximum, { expected: `at most ${maximum} bytes` })
  )

/** A file to write. On the wire its content is base64 in JSON. */
export interface FileUpload extends Schema.Schema.Type<typeof FileUpload> {}
export const FileUpload = Schema.Struct({
  path: FilePath,
  /** At most 50 MiB. */
  content: bytesUpTo(52_428_800)
}).annotate({ identifier: "FileUpload" })
