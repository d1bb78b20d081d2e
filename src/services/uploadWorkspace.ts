/** Sends a folder on disk into a session's workspace. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import { readFolder } from "../internal/folder.ts"
import { AshError, InvalidRequest } from "../schema/AshError.ts"
import { Workspaces } from "./Workspaces.ts"

/**
 * Lays the files of a folder over a session's workspace and answers their number. Left out is what `deployDirectory`
 * leaves out. As a bundle the folder may have 100 MiB.
 */
export const uploadWorkspace: (
  sessionId: string,
  directory: string
) => Effect.Effect<number, AshError, Workspaces> = Effect.fn("uploadWorkspace")(
  function*(sessionId, directory) {
    const workspaces = yield* Workspaces
    const path = yield* Path.Path
    const files = yield* readFolder(path.resolve(directory))
    yield* workspaces.upload(sessionId, yield* Workspaces.pack(files))
    return files.length
  },
  Effect.catchTag("PlatformError", ({ message }) =>
    Effect.fail(
      new AshError({
        operation: "uploadWorkspace",
        reason: new InvalidRequest({ message: `the folder could not be read: ${message}`, field: "directory" })
      })
    )),
  Effect.provide(Layer.merge(NodeFileSystem.layer, NodePath.layer))
)
