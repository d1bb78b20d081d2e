/**
 * A chat in the browser: `npm run start:web`, then open the address that it logs.
 *
 * With `ASH_SERVER_URL` (and `ASH_API_KEY`) it runs on that server, otherwise on an embedded one. `PORT` is 3000 by default.
 */
import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Config, Effect, Layer, Stream } from "effect"
import { AgentScript, AshEmbedded } from "effect-ash/embedded"
import { AshNode } from "effect-ash/node"
import { HttpRouter } from "effect/http"
import { createServer } from "node:http"
import { routes } from "./routes.ts"

/** It has no model behind it, so that it shows what a page makes of tools. */
const script: AgentScript.AgentScript = (turn) =>
  Stream.make(
    AgentScript.think("I have no model behind me, so I look around."),
    AgentScript.say("I look at my files.", { delay: "50 millis" }),
    AgentScript.bash(turn, "ls -l"),
    AgentScript.say("Now something that takes a while, which you can stop.", { delay: "50 millis" }),
    AgentScript.bash(turn, "sleep 5 && date"),
    AgentScript.say(`You wrote: ${turn.prompt}`, { delay: "50 millis" })
  )

const ash = Layer.unwrap(
  Effect.map(
    Config.withDefault(Config.String("ASH_SERVER_URL"), ""),
    (url) => url === "" ? AshEmbedded.layer({ script }) : AshNode.layerConfig()
  )
)

const http = NodeHttpServer.layerConfig(createServer, {
  host: Config.succeed("127.0.0.1"),
  port: Config.Int("PORT").pipe(Config.withDefault(3000)),
  gracefulShutdownTimeout: Config.succeed("1 second")
})

// A reader that closes the pipe, as `head` does, ends the program as Ctrl-C does: what it made on the server goes, too.
process.stdout.on("error", () => process.emit("SIGINT"))

HttpRouter.serve(routes, { disableLogger: true }).pipe(
  Layer.provide([ash, http]),
  Layer.launch,
  NodeRuntime.runMain
)
