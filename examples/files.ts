/**
 * Files in and out of a session, with a progress line: sends a folder and some large files, has a command read them, fetches
 * what there is then, one by one and as a whole, and keeps a file with the session as an attachment.
 *
 * With `ASH_SERVER_URL` (and `ASH_API_KEY`) it runs on that server, otherwise on an embedded one. `--megabytes` changes how much
 * is sent. What it makes on the disk and on the server is gone when it ends.
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Config, Console, Data, Effect, FileSystem, Layer, Path, Stream, Terminal } from "effect"
import { Agents, type SessionHandle, Sessions } from "effect-ash"
import { AshEmbedded } from "effect-ash/embedded"
import { AshNode, downloadWorkspace, uploadWorkspace } from "effect-ash/node"
import { Command, Flag } from "effect/cli"

class Different extends Data.TaggedError("Different")<{ readonly message: string }> {}

const agent = "files-example"

const width = 30
const megabyte = 1_000_000

/** A function that shows how many bytes of all there are: over itself on a terminal, and a line for each tenth elsewhere. */
const progressLine = Effect.fnUntraced(function*(label: string, total: number) {
  const terminal = yield* Terminal.Terminal
  const isTerminal = (yield* terminal.columns) > 0
  let shown = -1
  return (bytes: number) => {
    const step = Math.floor((isTerminal ? 100 : 10) * bytes / total)
    if (step === shown) return Effect.void
    shown = step
    const bar = "#".repeat(Math.floor(width * bytes / total)).padEnd(width, ".")
    const line = `${label} [${bar}] ${(bytes / megabyte).toFixed(1)} of ${(total / megabyte).toFixed(1)} MB`
    return terminal.display(isTerminal ? `\r${line}\u001b[K${bytes === total ? "\n" : ""}` : `${line}\n`)
  }
})

/** Makes a folder with a script and so many files of a megabyte, and answers their paths within it. */
const makeFolder = Effect.fn(function*(folder: string, megabytes: number) {
  const fileSystem = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  for (const name of ["scripts", "data"]) yield* fileSystem.makeDirectory(path.join(folder, name), { recursive: true })
  yield* fileSystem.writeFileString(path.join(folder, "scripts/count.sh"), "cat data/*.csv | wc -l\n")
  return yield* Effect.forEach(Array.from({ length: megabytes }, (_, index) => `data/${index + 1}.csv`), (name) => {
    const line = `${name},an order of two books,20 characters\n`
    return Effect.as(
      fileSystem.writeFileString(path.join(folder, name), line.repeat(megabyte / line.length)),
      name
    )
  })
})

/** Sends the folder: its small files as one bundle, the large ones by themselves, each read when it is its turn. */
const send = Effect.fn(function*(session: SessionHandle, folder: string, large: ReadonlyArray<string>) {
  const fileSystem = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const small = yield* uploadWorkspace(session.id, folder, { exclude: ["data"] })
  yield* Console.log(`Sent ${small} file of the folder as a bundle`)
  const sizes = yield* Effect.forEach(large, (name) => fileSystem.stat(path.join(folder, name)))
  const total = sizes.reduce((sum, { size }) => sum + Number(size), 0)
  const show = yield* progressLine("Sending ", total)
  const files = large.map((name) => ({ path: name, content: fileSystem.stream(path.join(folder, name)) }))
  yield* session.files.write(files, { onProgress: ({ bytesSent }) => show(Math.min(bytesSent, total)) })
  return total
})

/** Fetches the large files one by one into a folder. */
const fetch = Effect.fn(function*(session: SessionHandle, folder: string, large: ReadonlyArray<string>, total: number) {
  const fileSystem = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const show = yield* progressLine("Fetching", total)
  let bytes = 0
  yield* fileSystem.makeDirectory(path.join(folder, "data"), { recursive: true })
  yield* Effect.forEach(large, (name) =>
    Effect.scoped(Effect.gen(function*() {
      const { content } = yield* session.files.read(name)
      yield* content.pipe(
        Stream.tap((chunk) => show(Math.min(bytes += chunk.length, total))),
        Stream.run(fileSystem.sink(path.join(folder, name)))
      )
    })))
})

/** Fails where a file of one folder is not the same in the other. */
const checkSame = Effect.fn(function*(one: string, other: string, names: ReadonlyArray<string>) {
  const fileSystem = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  for (const name of names) {
    const [sent, received] = yield* Effect.all([
      fileSystem.readFileString(path.join(one, name)),
      fileSystem.readFileString(path.join(other, name))
    ])
    if (sent !== received) return yield* new Different({ message: `${name} is not what was sent` })
  }
})

/** Keeps a text with the session, and reads it again. */
const attach = Effect.fn(function*({ attachments }: SessionHandle, text: string) {
  const { id } = yield* attachments.upload({ filename: "count.txt", mimeType: "text/plain", content: text })
  for (const { filename, size } of yield* attachments.list()) {
    yield* Console.log(`Attachment ${filename}, ${size} bytes`)
  }
  const { content } = yield* attachments.download(id)
  yield* Console.log(`Its content: ${(yield* content.pipe(Stream.decodeText, Stream.mkString)).trim()}`)
  yield* attachments.delete(id)
}, Effect.scoped)

const inAndOut = Effect.fn(function*(megabytes: number) {
  const fileSystem = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const sessions = yield* Sessions
  const home = yield* fileSystem.makeTempDirectoryScoped({ prefix: "effect-ash-files-" })
  const sent = path.join(home, "sent")
  const fetched = path.join(home, "fetched")
  const whole = path.join(home, "whole")
  const session = yield* sessions.open({ agent })
  const large = yield* makeFolder(sent, megabytes)
  const total = yield* send(session, sent, large)
  const { stdout } = yield* session.exec("sh scripts/count.sh")
  yield* Console.log(`A command in the workspace counts ${stdout.trim()} lines`)
  yield* fetch(session, fetched, large, total)
  yield* checkSame(sent, fetched, large)
  const count = yield* downloadWorkspace(session.id, whole)
  yield* checkSame(sent, whole, large)
  yield* Console.log(`Fetched the workspace as a whole, ${count} files: all that was sent is as it was`)
  yield* attach(session, stdout)
}, Effect.scoped)

const program = Effect.fn(function*(megabytes: number) {
  const agents = yield* Agents
  yield* Effect.acquireRelease(
    agents.create({ name: agent, systemPrompt: "You read the files of your workspace." }),
    () => Effect.ignore(agents.delete(agent), { log: true })
  )
  yield* inAndOut(megabytes)
}, Effect.scoped)

const services = Layer.unwrap(
  Effect.map(
    Config.withDefault(Config.String("ASH_SERVER_URL"), ""),
    (url) => url === "" ? AshEmbedded.layer() : AshNode.layerConfig()
  )
)

const command = Command.make("files", {
  megabytes: Flag.Int("megabytes").pipe(Flag.withDescription("How much is sent"), Flag.withDefault(30))
}, ({ megabytes }) =>
  program(megabytes).pipe(
    Effect.provide(services),
    Effect.tapError((error) => Console.error(error.message)),
    Effect.tapDefect((defect) => Console.error(String(defect)))
  )).pipe(Command.withDescription("Sends files to a session and fetches them"))

// A reader that closes the pipe, as `head` does, ends the program as Ctrl-C does: what it made on the server goes, too.
process.stdout.on("error", () => process.emit("SIGINT"))

Command.run(command, { version: "0.1.0" }).pipe(
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain({ disableErrorReporting: true })
)
