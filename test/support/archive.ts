import * as Effect from "effect/Effect"
import * as Tar from "effect/encoding/Tar"
import * as Stream from "effect/Stream"
import { gzipSync } from "node:zlib"

/** A bundle as another program may have made it. */
export const archive = (entries: ReadonlyArray<Tar.Entry>) =>
  Stream.runCollect(Stream.pipeThroughChannel(Stream.fromIterable(entries), Tar.encode())).pipe(
    Effect.map((chunks) => new Uint8Array(gzipSync(Buffer.concat(chunks)))),
    Effect.orDie
  )
