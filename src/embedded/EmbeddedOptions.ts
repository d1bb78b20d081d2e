/** How an embedded server is set up. */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import * as AgentScript from "./AgentScript.ts"
import * as Quirks from "./Quirks.ts"

/** The options of an embedded server. */
export interface EmbeddedOptions {
  /**
   * What every agent answers.
   *
   * @default AgentScript.offline
   */
  readonly script?: AgentScript.AgentScript | undefined
  /**
   * The key that clients must send.
   *
   * @default "embedded"
   */
  readonly apiKey?: string | undefined
  /**
   * Further keys that the server takes, each with its tenant. A tenant sees nothing of another; `apiKey` is that of the
   * tenant `default`.
   *
   * @default {}
   */
  readonly tenants?: Readonly<Record<string, string>> | undefined
  /**
   * What the server does as real servers do, though a client does not expect it.
   *
   * @default the quirks of the newest server
   */
  readonly quirks?: Partial<Quirks.Quirks> | undefined
  /**
   * Whether the server refuses what goes beyond 20 new sessions, 20 deployments and 1500 other requests in 15 minutes,
   * and tells in the headers of its answers how many are left.
   *
   * @default false
   */
  readonly rateLimits?: boolean | undefined
  /**
   * How many sandboxes may live at once. What needs another one takes the place of an idle one, whose session becomes
   * `paused` and keeps a snapshot of its workspace; where all run a turn or a command, it is refused with 503.
   *
   * @default 1000
   */
  readonly maxSandboxes?: number | undefined
}

/** The options of an embedded server on a port. */
export interface EmbeddedHttpOptions extends EmbeddedOptions {
  /**
   * The port to listen on; 0 is any free port.
   *
   * @default 0
   */
  readonly port?: number | undefined
  /**
   * The interface to listen on. The server runs commands for whoever has the key: keep it on loopback.
   *
   * @default "127.0.0.1"
   */
  readonly host?: string | undefined
}

/** The key of a server that was given none. */
export const defaultApiKey = "embedded"

/** The options of this server, with the defaults filled in. */
export class Settings extends Context.Service<Settings, {
  readonly script: AgentScript.AgentScript
  readonly apiKey: string
  readonly tenants: Readonly<Record<string, string>>
  readonly quirks: Quirks.Quirks
  readonly rateLimits: boolean
  readonly maxSandboxes: number
}>()("effect-ash/embedded/EmbeddedOptions/Settings") {
  static readonly layer = (options: EmbeddedOptions): Layer.Layer<Settings> =>
    Layer.succeed(Settings, {
      script: options.script ?? AgentScript.offline,
      apiKey: options.apiKey ?? defaultApiKey,
      tenants: options.tenants ?? {},
      quirks: { ...Quirks.defaults, ...options.quirks },
      rateLimits: options.rateLimits ?? false,
      maxSandboxes: options.maxSandboxes ?? 1000
    })
}
