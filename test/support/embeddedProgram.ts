/** A program with an embedded server whose session runs a command in the background: to be ended in many ways. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import { AgentScript, AshEmbedded } from "../../src/embedded.ts"
import { Agents } from "../../src/services/Agents.ts"
import { Sessions } from "../../src/services/Sessions.ts"

const [run, end] = process.argv.slice(2)

// As hosts do that close themselves in order: before the server is there.
if (run === "once") process.once("SIGTERM", () => setImmediate(() => process.exit(4)))

const program = Effect.gen(function*() {
  yield* (yield* Agents).create({ name: "demo" })
  const session = yield* (yield* Sessions).open({ agent: "demo" })
  const { stdout } = yield* session.exec("$(command -v setsid) sleep 1000 >/dev/null 2>&1 & echo $!; pwd")
  const [pid, folder] = stdout.split("\n")
  process.stdout.write(`${JSON.stringify({ pid: Number(pid), folder })}\n`)
  return yield* end === "exit"
    ? Effect.sync(() => process.exit(3))
    : end === "throw"
    ? Effect.sync(() => setTimeout(() => JSON.parse("{"), 0)).pipe(Effect.andThen(Effect.never))
    : Effect.never
}).pipe(Effect.scoped, Effect.provide(AshEmbedded.layer({ script: AgentScript.echo })))

if (run === "runMain") NodeRuntime.runMain(program)
else await Effect.runPromise(program)
