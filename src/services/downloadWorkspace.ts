/** Fetches a session's workspace into a folder on disk. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as Stream from "effect/Stream"
import { AshError, InvalidRequest } from "../schema/AshError.ts"
import { type BundleFile, Workspaces } from "./Workspaces.ts"

/**
 * Writes the files of a session's workspace over those of a folder, which is made where there is none, and answers their
 * number. No file can come to lie outside the folder: a path that would leave it fails, and so does one through a link.
 */
export const downloadWorkspace: (
  sessionId: string,
  directory: string
) => Effect.Effect<number, AshError, Workspaces> = Effect.fn("downloadWorkspace")(
  function*(sessionId, directory) {
    const workspaces = yield* Workspaces
    const fileSystem = yield* FileSystem.FileSystem
    yield* fileSystem.makeDirectory(directory, { recursive: true })
    const root = yield* fileSystem.realPath(directory)
    return yield* Stream.runFoldEffect(
      workspaces.files(sessionId),
      () => 0,
      (count, file) => Effect.as(writeFile(root, file), count + 1)
    )
  },
  Effect.catchTag("PlatformError", ({ message }) => refuse(`the folder could not be written: ${message}`)),
  Effect.provide(Layer.merge(NodeFileSystem.layer, NodePath.layer))
)

const refuse = (message: string) =>
  Effect.fail(
    new AshError({ operation: "downloadWorkspace", reason: new InvalidRequest({ message, field: "directory" }) })
  )

const writeFile = Effect.fnUntraced(
  function*(root: string, { content, mode, path: name }: BundleFile & { readonly content: Uint8Array }) {
    const fileSystem = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const target = path.join(root, name)
    yield* makeFolders(root, path.dirname(name))
    if (yield* isLink(target)) return yield* refuse(`${name} is a link in the folder`)
    yield* fileSystem.writeFile(target, content)
    if (mode !== undefined) yield* fileSystem.chmod(target, mode)
  }
)

/** Makes the folders of a path one by one, so that none of them is made on the other side of a link. */
const makeFolders = Effect.fnUntraced(function*(root: string, folders: string) {
  const fileSystem = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  let folder = root
  for (const name of folders.split("/").filter((name) => name !== ".")) {
    folder = path.join(folder, name)
    if (yield* isLink(folder)) return yield* refuse(`${path.relative(root, folder)} is a link in the folder`)
    yield* fileSystem.makeDirectory(folder, { recursive: true })
  }
})

const isLink = Effect.fnUntraced(function*(path: string) {
  const fileSystem = yield* FileSystem.FileSystem
  return yield* Effect.isSuccess(fileSystem.readLink(path))
})
