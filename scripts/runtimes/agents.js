/** The agents of the checks. */
import { AgentScript } from "effect-ash/embedded"
import * as Stream from "effect/Stream"

export const agents = {
  echo: { script: AgentScript.echo },
  endless: { script: () => Stream.concat(Stream.make(AgentScript.say("I begin.")), Stream.never) }
}
