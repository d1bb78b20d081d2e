/** Bundles: workspaces as gzipped tar archives. */
import * as Effect from "effect/Effect"
import * as Tar from "effect/encoding/Tar"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { AshError, InvalidRequest, Undecodable } from "../schema/AshError.ts"
import { FilePath } from "../schema/Ids.ts"
import { collect, upTo } from "./answer.ts"
import { gather, gatherFiles, type WholeContent } from "./content.ts"
import { through } from "./through.ts"

/** A file of a workspace. */
export interface BundleFile {
  /** Relative, its segments separated by `/`. */
  readonly path: string
  readonly content: WholeContent
  /** The permissions, such as `0o755`. @default 0o644 */
  readonly mode?: number | undefined
}

/** Bytes that a bundle may have, and each file in it. */
export const maxSize = 104_857_600

const broken = (why: string) =>
  new AshError({
    operation: "Workspaces.unpack",
    reason: new Undecodable({ message: `the bundle is not a gzipped tar archive of files: ${why}` })
  })

const refused = (message: string, field: string) =>
  new AshError({ operation: "Workspaces.pack", reason: new InvalidRequest({ message, field }) })

const brokenGzip = (cause: unknown) => broken(String(cause))
const gzip = through(() => new CompressionStream("gzip"), brokenGzip)
const gunzip = through(() => new DecompressionStream("gzip"), brokenGzip)

const isFilePath = Schema.is(FilePath)

const isTarError = (error: unknown): error is Tar.TarError => Tar.isTarError(error)

/** Packs files into a bundle. */
export const pack = (files: ReadonlyArray<BundleFile>): Effect.Effect<Uint8Array, AshError> => {
  const bad = files.findIndex(({ path }) => !isFilePath(path))
  if (bad >= 0) {
    const field = `files[${bad}].path`
    return Effect.fail(refused(`${field} must be a relative path without empty, . or .. segments`, field))
  }
  return Effect.flatMap(gatherFiles("Workspaces.pack", files), (files) => {
    const entries = files.map(({ content, mode, path }) => Tar.file(path, content, { mode }))
    const archive = Stream.pipeThroughChannel(Stream.fromIterable(entries), Tar.encode()).pipe(
      Stream.mapError(({ message }) => refused(message, "files")),
      gzip
    )
    return gather("Workspaces.pack", archive, "bundle", maxSize)
  })
}

/** The files of a bundle, one after the other. Fails at an entry that is a link, or whose path would leave a folder. */
export const unpack = <E, R>(
  bundle: Stream.Stream<Uint8Array, E, R>
): Stream.Stream<BundleFile & { readonly content: Uint8Array }, E | AshError, R> =>
  Stream.pipeThroughChannel(gunzip(bundle), Tar.decode<E | AshError>()).pipe(
    Stream.filter(({ header }) => header.type !== "Directory"),
    Stream.mapEffect(({ body, header: { mode, path, type } }) =>
      type === "File" && isFilePath(path.replace(/^\.\//, ""))
        ? Effect.map(
          collect(upTo(maxSize, () => broken(`${path} is larger than the limit of ${maxSize} bytes`))(body)),
          (content) => ({ path: path.replace(/^\.\//, ""), content, mode })
        )
        : Effect.fail(broken(`it holds ${JSON.stringify(path)} (${type}), which is no file within a folder`))
    ),
    Stream.mapError((error) => isTarError(error) ? broken(error.message) : error)
  )
