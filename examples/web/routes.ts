/** The chat and its page, as the server and its test have them. */
import { Effect, Layer } from "effect"
import { Agents } from "effect-ash"
import { WebChat } from "effect-ash/web"
import { type HttpServerRequest, HttpStaticServer } from "effect/http"
import { join } from "node:path"

const agent = "web-example"

/**
 * A page of this machine is the one user. A site of another name that leads to this machine is refused. Where more than one
 * person has access, answer here who has signed in.
 */
const authorize = ({ headers }: HttpServerRequest.HttpServerRequest) =>
  Effect.succeed(/^(?:localhost|127\.0\.0\.1)(?::\d+)?$/.test(headers["host"] ?? "") ? "you" : undefined)

/** A turn runs on while its page is reloaded. The page stops it by a request. */
const chat = WebChat.layer({ session: { agent }, authorize, whenLeft: "detach" })

const page = HttpStaticServer.layer({ root: join(import.meta.dirname, "page"), cacheControl: "no-cache" })

/** The agent, which is there as long as the server. */
const deployed = Layer.effectDiscard(
  Effect.flatMap(Agents, (agents) =>
    Effect.acquireRelease(
      agents.create({ name: agent, systemPrompt: "You are a helpful assistant." }),
      () => Effect.ignore(agents.delete(agent))
    ))
)

export const routes = Layer.mergeAll(chat, page).pipe(Layer.provide(deployed))
