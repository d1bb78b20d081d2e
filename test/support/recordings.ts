/**
 * Real exchanges with a real server. They are not part of the project: `ASH_RECORDINGS` names their folder, or they lie
 * beside the project.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Zlib from "node:zlib"

const folder = process.env["ASH_RECORDINGS"] ??
  Path.resolve(import.meta.dirname, "../../../shared/ash-api/recordings")

export interface Recording {
  readonly file: string
  readonly request: {
    readonly method: string
    readonly path: string
    readonly headers: Readonly<Record<string, string>>
    readonly body?: any
    /** A body that is no JSON, or none that was read as such. */
    readonly bodyText?: string
    readonly bodyBase64?: string
    /** What the body was, where it was too large to keep. */
    readonly bodyNote?: string
  }
  readonly response: {
    readonly status: number
    readonly headers: Readonly<Record<string, string>>
    readonly body?: unknown
    readonly text?: string
    readonly bodyBase64?: string
    readonly sse?: string
    readonly sseFile?: string
    readonly chunks?: ReadonlyArray<readonly [milliseconds: number, bytes: number]>
    readonly endedBy: string
  }
}

const load = (file: string): Recording => ({
  file,
  ...JSON.parse(Fs.readFileSync(Path.join(folder, file), "utf8"))
})

export const bytesOf = ({ body, bodyBase64, sse, sseFile, text }: Recording["response"]): Buffer =>
  sseFile !== undefined
    ? Zlib.gunzipSync(Fs.readFileSync(Path.join(folder, sseFile)))
    : bodyBase64 !== undefined
    ? Buffer.from(bodyBase64, "base64")
    : Buffer.from(sse ?? text ?? (body === undefined ? "" : JSON.stringify(body)))

/** The bytes in the pieces in which they arrived. */
export const piecesOf = (response: Recording["response"]): ReadonlyArray<Uint8Array<ArrayBuffer>> => {
  const bytes = new Uint8Array(bytesOf(response))
  let from = 0
  const pieces = (response.chunks ?? []).map(([, size]) => bytes.slice(from, from += size))
  return [...pieces, bytes.slice(from)].filter(({ length }) => length > 0)
}

/** Whether there are any. */
export const found = Fs.existsSync(folder)

/** What is said of a suite, where there are none. */
export const none = found ? "" : " (none: set ASH_RECORDINGS to their folder)"

/** All of them, in the order in which they were made. */
export const recordings: ReadonlyArray<Recording> = found
  ? Fs.readdirSync(folder).filter((file) => file.endsWith(".json")).toSorted().map(load)
  : []
