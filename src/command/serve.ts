/** `effect-ash serve`: the embedded server on a port, for clients in any language. */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Record from "effect/Record"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Struct from "effect/Struct"
import { defaultQuirks, type Exchange, OnExchange } from "../embedded/EmbeddedServer.ts"
import * as AshEmbedded from "../layers/AshEmbedded.ts"
import { deployDirectory } from "../node/deployDirectory.ts"

/** What ends the command, in one line. */
export class CommandError extends Data.TaggedError("CommandError")<{ readonly message: string }> {}

const refuse = (message: string) => Effect.fail(new CommandError({ message }))

/** The first line of an error. */
const lineOf = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).trim().replace(/\s*[\r\n][^]*/, "")

const switches = Struct.omit(defaultQuirks, ["content"])

const OnOff = Schema.optionalKey(Schema.Literals(["true", "false"]).transform([true, false]))

/** The quirks that `--quirks` sets. */
export const QuirkValues = Schema.Struct({
  ...Record.map(switches, () => OnOff),
  content: Schema.optionalKey(Schema.Literals(["mangled", "strings", "intact"]))
})

const decodeQuirks = Schema.decodeUnknownEffect(QuirkValues, { onExcessProperty: "error" })

const quirksFrom = (values: Readonly<Record<string, string>>) =>
  Effect.catch(decodeQuirks(values), () =>
    refuse(
      `--quirks takes content=mangled, strings or intact, and ${Object.keys(switches).join(", ")}=true or false`
    ))

const logExchange = ({ duration, method, path, status }: Exchange) =>
  Console.log(`${method} ${path} ${status} ${duration} ms`)

/** Deploys a folder, and prints that. */
const deploy = Effect.fnUntraced(function*(folder: string) {
  const agent = yield* deployDirectory(folder)
  yield* Console.log(`Agent ${agent.name}, version ${agent.version}, from ${folder}`)
  return agent.name
})

/** Folders whose changes change no agent. */
const isElsewhere = (path: string) => /(?:^|[\\/])(?:\.git|node_modules)(?:[\\/]|$)/.test(path)

/**
 * Waits in a fiber for a change in a folder, and for nothing after it. Each change has a watcher of its own, begun before the
 * folder is read: on Linux, that of Node no longer sees a file or a folder in whose place another is put, so that the folder
 * itself is watched in the one around it, where that may be read.
 */
const watch = Effect.fnUntraced(function*(folder: string) {
  const fileSystem = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const ready = yield* Deferred.make<void>()
  const place = path.resolve(folder)
  let beginning = 2
  const onReady = () => {
    if (--beginning === 0) Deferred.doneUnsafe(ready, Effect.void)
  }
  const within = fileSystem.watch(place, { recursive: true, onReady })
  const around = fileSystem.watch(path.dirname(place), { onReady })
  const change = yield* Stream.merge(
    Stream.filter(within, (event) => !isElsewhere(event.path)),
    Stream.filter(around, (event) => event.path === path.basename(place)).pipe(
      Stream.catch(() => Stream.fromEffectDrain(Effect.sync(onReady)))
    )
  ).pipe(
    Stream.debounce("200 millis"),
    Stream.runHead,
    Effect.ensuring(Deferred.succeed(ready, undefined)),
    Effect.forkScoped
  )
  yield* Deferred.await(ready)
  return change
})

/** Deploys a folder after each change. It prints a failure, and waits for the next change. */
const follow = Effect.fnUntraced(
  function*(folder: string, first: Effect.Success<ReturnType<typeof watch>>) {
    let change = first
    while (Option.isSome(yield* Fiber.join(change))) {
      change = yield* watch(folder)
      yield* Effect.catch(deploy(folder), (error) => Console.error(lineOf(error)))
    }
  },
  (self, folder) =>
    Effect.catch(
      self,
      (error) => Console.error(`${folder} cannot be watched: ${lineOf(error)}; start again to deploy its changes`)
    )
)

const run = Effect.fnUntraced(function*(folders: ReadonlyArray<string>) {
  const changes = yield* Effect.forEach(folders, watch)
  const names = yield* Effect.forEach(folders, deploy)
  const twice = names.find((name, index) => names.indexOf(name) < index)
  if (twice !== undefined) return yield* refuse(`two folders deploy an agent named ${twice}: rename one of them`)
  yield* Effect.forEach(Arr.zip(folders, changes), ([folder, change]) => Effect.forkScoped(follow(folder, change)))
  const { apiKey, url } = yield* AshEmbedded.EmbeddedAddress
  yield* Console.log(`The embedded Ash server listens:\nASH_SERVER_URL=${url}\nASH_API_KEY=${Redacted.value(apiKey)}`)
  return yield* Effect.never
}, Effect.scoped)

/** The command. */
export const serve = Command.make("serve", {
  agent: Flag.String("agent").pipe(
    Flag.withDescription("Deploys the agent in a folder, and again when a file there changes; may be repeated"),
    Flag.withMetavar("folder"),
    Flag.between(0, Infinity)
  ),
  port: Flag.Int("port").pipe(
    Flag.withDescription("The port to listen on; 0 is any free one"),
    Flag.filter((port) => port >= 0 && port <= 65_535, () => "0 to 65535"),
    Flag.withDefault(4100)
  ),
  host: Flag.String("host").pipe(
    Flag.withDescription("The interface to listen on: a client that reaches it and has the key runs commands here"),
    Flag.withDefault("127.0.0.1")
  ),
  hostNames: Flag.String("host-name").pipe(
    Flag.withDescription("A name by which requests may ask for the server, beside its address; may be repeated"),
    Flag.between(0, Infinity)
  ),
  key: Flag.String("key").pipe(Flag.withDescription("The key that clients must send"), Flag.optional),
  quirks: Flag.KeyValuePair("quirks").pipe(
    Flag.withDescription("What the server does as real ones do, such as mixTurns=false; may be repeated"),
    Flag.withDefault({})
  ),
  rateLimits: Flag.Boolean("rate-limits").pipe(
    Flag.withDescription("Refuses requests beyond the rate limits of real servers"),
    Flag.withDefault(false)
  )
}, ({ agent, host, hostNames, key, port, quirks, rateLimits }) =>
  Effect.gen(function*() {
    const server = AshEmbedded.layerHttp({
      host,
      hostNames,
      port,
      rateLimits,
      quirks: yield* quirksFrom(quirks),
      whenRateLimited: "fail",
      ...(Option.isSome(key) ? { apiKey: key.value } : {})
    }).pipe(Layer.provide(Layer.succeed(OnExchange, logExchange)))
    return yield* Effect.provide(run(agent), server)
  }).pipe(
    Effect.catchCause((cause): Effect.Effect<never, CommandError> => {
      if (Cause.hasInterrupts(cause)) return Effect.interrupt
      return refuse(lineOf(Cause.squash(cause)))
    })
  )).pipe(Command.withDescription("Runs the embedded Ash server on a port, for clients in any language"))
