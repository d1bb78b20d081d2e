/** The end of a server on a port. */
import * as Effect from "effect/Effect"
import type * as Http from "node:http"

/** Closes a server and all its connections: Node waits for one that its client keeps and has sent nothing over yet. */
export const closed = (server: Http.Server): Effect.Effect<void> =>
  Effect.callback((resume) => {
    server.close(() => resume(Effect.void))
    server.closeAllConnections()
  })
