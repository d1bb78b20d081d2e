/** What programs weigh when they are bundled: whole, and beyond effect, which most of them have anyway. */
import { buildSync, type Metafile } from "esbuild"
import { dirname } from "node:path"
import { gzipSync } from "node:zlib"
import { fromSources } from "./bundle.ts"

/** Bytes, minified and gzipped. */
export interface Size {
  readonly whole: number
  readonly beyondEffect: number
  /** Bytes that each room and each package has in the whole, minified, the largest first. */
  readonly rooms: ReadonlyArray<readonly [room: string, bytes: number]>
}

/** A program that streams one turn, as far as its bundle is concerned. */
export const streamsOneTurn = `export { Ash, Messages, Sessions } from "effect-ash"`

/** The same, with no service but the one that it uses. */
export const streamsByMessages = `export { AshCore, Messages } from "effect-ash"`

/** The folder of a source, or the package of what is not ours. */
const roomOf = (file: string) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1] ?? dirname(file)

const roomsIn = ({ outputs }: Metafile): Size["rooms"] => {
  const rooms = new Map<string, number>()
  for (const { inputs } of Object.values(outputs)) {
    for (const [file, { bytesInOutput }] of Object.entries(inputs)) {
      rooms.set(roomOf(file), (rooms.get(roomOf(file)) ?? 0) + bytesInOutput)
    }
  }
  return [...rooms].toSorted(([, a], [, b]) => b - a)
}

/** Bundles code that stands in a folder of the package, for browsers or for Node. */
export const sizeOf = (root: string, code: string, platform: "browser" | "node" = "browser"): Size => {
  const bundle = (external: Array<string>) => {
    const { metafile, outputFiles } = buildSync({
      ...fromSources(root),
      stdin: { contents: code, resolveDir: root, loader: "ts" },
      platform,
      minify: true,
      external,
      write: false,
      metafile: true
    })
    const [output] = outputFiles
    return { metafile, size: output === undefined ? 0 : gzipSync(output.contents).length }
  }
  const whole = bundle([])
  return {
    whole: whole.size,
    beyondEffect: bundle(["effect", "@effect/platform-node"]).size,
    rooms: roomsIn(whole.metafile)
  }
}
