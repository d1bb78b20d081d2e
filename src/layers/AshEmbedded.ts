/** How a program gets the services without a server and without a key: an Ash server inside the process. */
import * as Context from "effect/Context"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import type { RequestOptionsInput } from "../client/RequestOptions.ts"
import type { SharedLimits } from "../client/RequestPolicy.ts"
import * as AgentScript from "../embedded/AgentScript.ts"
import { AskedTurns, make as makeAskedTurns } from "../embedded/AskedTurns.ts"
import {
  defaultHost,
  type EmbeddedHttpOptions,
  type EmbeddedOptions,
  keyOf,
  serverRules
} from "../embedded/EmbeddedOptions.ts"
import { isLoopback, layerHttpClient, layerHttpServer, randomKey } from "../embedded/EmbeddedServer.ts"
import { aFunction, anObject, checked, optionsOf, refusal, required, type Rule } from "../internal/request/options.ts"
import { MayRepeat } from "../internal/request/sendOnce.ts"
import type { AshError } from "../schema/AshError.ts"
import { Agents, type CreateAgent } from "../services/Agents.ts"
import * as Ash from "./Ash.ts"
import * as AshNode from "./AshNode.ts"

export { type AskedTurn, AskedTurns } from "../embedded/AskedTurns.ts"

/** An agent that an embedded server has from its start. */
export interface EmbeddedAgent extends Omit<CreateAgent, "name" | "path"> {
  /** What it answers. @default the `script` of the server */
  readonly script?: AgentScript.AgentScript | undefined
}

/** The agents that an embedded server has from its start. */
export interface WithAgents {
  /**
   * Agents by name, deployed as by `Agents.create` when the layer is built, so that each counts where there are
   * `rateLimits`. The layer fails with `InvalidRequest` for what no agent can have.
   *
   * @default {}
   */
  readonly agents?: Readonly<Record<string, EmbeddedAgent>> | undefined
}

/** How the embedded server behaves, and how requests to it are made. */
export interface AshEmbeddedOptions extends EmbeddedOptions, WithAgents, RequestOptionsInput, SharedLimits {}

/** As {@link AshEmbeddedOptions}, and where the server listens. */
export interface AshEmbeddedHttpOptions extends EmbeddedHttpOptions, WithAgents, RequestOptionsInput, SharedLimits {}

/** The script of a server whose agents have scripts of their own. */
const scriptOf = ({ agents = {}, script = AgentScript.offline }: AshEmbeddedOptions): AgentScript.AgentScript => {
  const scripts = new Map(Object.entries(agents).map(([name, agent]) => [name, agent.script]))
  return (turn) => (scripts.get(turn.agent.name) ?? script)(turn)
}

/** Adds to a failure which of the agents is invalid. */
const namingAgent = (operation: string, name: string) => (error: AshError): AshError => {
  const { reason } = error
  if (reason._tag !== "InvalidRequest") return error
  const agent = `agents[${JSON.stringify(name)}]`
  const field = reason.field === undefined ? agent : `${agent}.${reason.field}`
  return refusal(operation, field, `${agent}: ${reason.message}`)
}

const deploy = Effect.fnUntraced(function*(operation: string, { agents = {} }: WithAgents) {
  const { create } = yield* Agents
  for (const [name, { env, files, systemPrompt }] of Object.entries(agents)) {
    yield* Effect.mapError(create({ name, env, files, systemPrompt }), namingAgent(operation, name))
  }
})

const agentRules = required(optionsOf<Pick<EmbeddedAgent, "script">>({ script: aFunction }))

/** The others of an agent are refused where it is deployed. */
const areAgents: Rule = (agents, field) =>
  anObject(agents, field) ??
    Object.entries({ ...Object(agents) }).map(([name, agent]) => agentRules(agent, `${field}[${JSON.stringify(name)}]`))
      .find(Predicate.isNotUndefined)

const rules = optionsOf<EmbeddedHttpOptions & WithAgents>({ ...serverRules, agents: areAgents })

/** A server whose turns are recorded, and which has its agents. */
const withAgents = <Options extends AshEmbeddedOptions, A>(
  operation: string,
  options: Options,
  make: (options: Options) => Layer.Layer<Ash.AshServices | A, AshError>
): Layer.Layer<Ash.AshServices | AskedTurns | A, AshError> =>
  Layer.unwrap(
    Effect.map(Effect.andThen(checked(operation, rules, options), makeAskedTurns), ({ record, service }) =>
      make({ ...options, script: record(scriptOf(options)) }).pipe(
        Layer.tap((services) =>
          Effect.provideContext(deploy(operation, options), services)
        ),
        Layer.merge(Layer.succeed(AskedTurns, service))
      ))
  )

/**
 * The services, talking to an embedded server without a socket. For tests, first tries and demonstrations; the end of
 * the scope removes all that the server made, workspaces of sessions included. `AskedTurns` has the turns of its agents.
 */
export const layer = (options: AshEmbeddedOptions = {}): Layer.Layer<Ash.AshServices | AskedTurns, AshError> =>
  withAgents(
    "AshEmbedded.layer",
    options,
    (options) =>
      Ash.layerWithClient({ ...options, url: "http://ash.embedded", apiKey: keyOf(options), allowPlainHttp: true })
        .pipe(
          Layer.provide([layerHttpClient(options), Layer.succeed(MayRepeat, false)])
        )
  )

/** The address of an embedded server, and its key: for clients other than these services. */
export class EmbeddedAddress extends Context.Service<EmbeddedAddress, {
  readonly url: string
  readonly apiKey: Redacted.Redacted<string>
}>()("effect-ash/layers/AshEmbedded/EmbeddedAddress") {}

/** The key of a server on a port. It allows running commands, so it is random by default. */
const portKeyOf = (
  { apiKey, host = defaultHost }: AshEmbeddedHttpOptions
): Effect.Effect<Redacted.Redacted<string>, AshError> =>
  apiKey !== undefined
    ? Effect.succeed(keyOf({ apiKey }))
    : isLoopback(host)
    ? Effect.map(randomKey, Redacted.make).pipe(Effect.provide(SecureRandom.layerWebCrypto))
    : refusal(
      "AshEmbedded.layerHttp",
      "apiKey",
      `host ${host} is open to other machines, and the server runs commands for any holder of its key: set an apiKey (--key)`
    )

/** The address of a server that listens on every interface is that of this machine itself. */
const address = (apiKey: Redacted.Redacted<string>) =>
  Layer.effect(
    EmbeddedAddress,
    Effect.map(HttpServer.HttpServer, ({ address }) => ({
      url: HttpServer.formatAddress(address).replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]"),
      apiKey
    }))
  )

/**
 * The services over `node:http`, talking to an embedded server on a port of this machine: by default a free one of
 * 127.0.0.1. For what needs a socket: other clients, other processes, tests of a network's faults.
 *
 * A client with the key can run commands with the rights of the user. The key is random at each start, unless `apiKey` sets
 * it. An interface other than loopback needs an `apiKey`, or fails with `InvalidRequest`, as do a port and a host on which it
 * cannot listen. `EmbeddedAddress` has the key.
 */
export const layerHttp = (
  options: AshEmbeddedHttpOptions = {}
): Layer.Layer<Ash.AshServices | AskedTurns | EmbeddedAddress, AshError> =>
  withAgents("AshEmbedded.layerHttp", options, (options) =>
    Layer.unwrap(
      Effect.map(portKeyOf(options), (apiKey) =>
        Layer.unwrap(Effect.map(EmbeddedAddress, ({ url }) =>
          AshNode.layer({ ...options, url, apiKey }))).pipe(
            Layer.provideMerge(address(apiKey)),
            Layer.provide(layerHttpServer({ ...options, apiKey }))
          ))
    ))
