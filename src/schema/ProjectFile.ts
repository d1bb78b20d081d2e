/** Files of a project: a part of the hosted product. The open server has no route for them. */
import * as Schema from "effect/Schema"
import { BytesFromBase64 } from "./Bytes.ts"
import { harmless, nullish, omittable, open, rowFields, Time, WellFormed } from "./Wire.ts"

const lifetimes = ["1h", "24h", "7d", "30d", "permanent"] as const

/** A file of a project. */
export interface ProjectFile extends Schema.Schema.Type<typeof ProjectFile> {}
export const ProjectFile = Schema.Struct({
  ...rowFields,
  filename: Schema.String,
  storagePath: nullish(Schema.String),
  mimeType: nullish(Schema.String),
  /** Bytes. */
  size: Schema.Finite,
  /** How long the file is kept. */
  ttl: nullish(open(lifetimes)),
  expiresAt: nullish(Time)
}).annotate({ identifier: "ProjectFile" })

/** The body of `POST /api/files`. */
export interface CreateProjectFileRequest extends Schema.Schema.Type<typeof CreateProjectFileRequest> {}
export const CreateProjectFileRequest = Schema.Struct({
  filename: WellFormed.check(Schema.isNonEmpty({ expected: "not empty" })).annotate(harmless),
  /** On the wire base64. */
  content: BytesFromBase64,
  mimeType: omittable(Schema.String.annotate(harmless)),
  ttl: omittable(Schema.Literals(lifetimes))
}).annotate({ identifier: "CreateProjectFileRequest" })
