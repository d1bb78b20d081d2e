/** Packs and unpacks bundles, the gzipped tar archives that workspaces travel in. */
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import * as Internal from "../internal/files/bundle.ts"
import type { AshError } from "../schema/AshError.ts"

/** A file of a bundle. */
export type BundleFile = Internal.BundleFile

/**
 * Packs files into a bundle of at most 100 MiB. Fails with `InvalidRequest` at a path that would leave the workspace.
 *
 * **Example**
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Bundle, Workspaces } from "effect-ash"
 *
 * const upload = Effect.fn(function*(sessionId: string) {
 *   const bundle = yield* Bundle.pack([{ path: "notes/today.md", content: "Read the report." }])
 *   yield* (yield* Workspaces).upload(sessionId, bundle)
 * })
 * ```
 */
export const pack: (files: ReadonlyArray<BundleFile>) => Effect.Effect<Uint8Array, AshError> = Internal.pack

/**
 * Unpacks a bundle, within the limits of `Workspaces.files`. Fails with `Undecodable` at a path that would leave a folder.
 *
 * **Example**
 *
 * ```ts
 * import { Console, Stream } from "effect"
 * import { Bundle } from "effect-ash"
 *
 * const list = (bundle: Uint8Array) =>
 *   Bundle.unpack(Stream.succeed(bundle)).pipe(
 *     Stream.runForEach(({ content, path }) => Console.log(path, content.length))
 *   )
 * ```
 */
export const unpack: <E, R>(
  bundle: Stream.Stream<Uint8Array, E, R>
) => Stream.Stream<BundleFile & { readonly content: Uint8Array }, E | AshError, R> = Internal.unpack
