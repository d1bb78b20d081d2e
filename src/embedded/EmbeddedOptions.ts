/** How an embedded server is set up. */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import { aFunction, between, count, flag, listOf, rule, text } from "../internal/request/options.ts"
import { isSecret } from "../schema/Wire.ts"
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
   * @default without a socket "embedded", on a port of loopback a random one; elsewhere there is no default
   */
  readonly apiKey?: string | Redacted.Redacted<string> | undefined
  /**
   * Further keys that the server takes, each with its tenant; `apiKey` is that of the tenant `default`. A tenant sees
   * nothing of another, but for two things, as on real servers: agents of the same name have one folder, which who deploys
   * last overwrites, and any key can delete any other by its id.
   *
   * @default {}
   */
  readonly tenants?: Readonly<Record<string, string>> | undefined
  /**
   * What the server does as real servers do, though a client does not expect it.
   *
   * @default the quirks of the newest server
   */
  readonly quirks?: { readonly [Name in keyof Quirks.Quirks]?: Quirks.Quirks[Name] | undefined } | undefined
  /**
   * Whether the server refuses what goes beyond 20 new sessions, 20 deployments and 1500 other requests in 15 minutes,
   * and reports in the headers of its answers how many are left.
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
  /**
   * Whether a deployment may name a folder of this machine by `path`, which any holder of the key reads and writes then.
   *
   * @default false
   */
  readonly agentPaths?: boolean | undefined
  /**
   * The origins whose pages may read answers in a browser, such as `https://app.example.com`.
   *
   * @default those of loopback, on whatever port
   */
  readonly origins?: ReadonlyArray<string> | undefined
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
   * The interface to listen on. The server runs commands for any holder of the key: keep it on loopback. Any other needs an
   * `apiKey`.
   *
   * @default "127.0.0.1"
   */
  readonly host?: string | undefined
  /**
   * Names by which requests may ask for this server, beside its address and the names of loopback: a page whose name leads
   * to this machine is refused.
   *
   * @default []
   */
  readonly hostNames?: ReadonlyArray<string> | undefined
}

const isText = (value: unknown) => Predicate.isString(value) && value !== ""

const matches = (form: RegExp) => (value: unknown) => Predicate.isString(value) && form.test(value)

/** A host as requests name it. */
const isHost = matches(/^(?:[\w.-]+|\[[\da-f:.]+\])$/i)

/** An origin as browsers send it: in small letters, without a path. */
const isOrigin = matches(/^(?:null|[a-z][a-z\d+.-]*:\/\/[^\s/A-Z]+)$/)

/** What the options of a server must be. A tenant is told by its key, which is in no message. */
export const serverRules = {
  script: aFunction,
  apiKey: rule("a text or a `Redacted` one", (key) => Predicate.isString(key) || isSecret(key)),
  tenants: rule("names by keys", (tenants) => Predicate.isObject(tenants) && Object.values(tenants).every(isText)),
  quirks: Quirks.areQuirks,
  rateLimits: flag,
  maxSandboxes: count(1),
  agentPaths: flag,
  origins: listOf("origins, such as \"http://localhost:3000\"", isOrigin),
  port: between(0, 65_535),
  host: text,
  hostNames: listOf("host names, without a scheme or a port", isHost)
}

export const defaultHost = "127.0.0.1"

/** The key of a server without a socket that was given none. */
const defaultApiKey = "embedded"

export const keyOf = ({ apiKey = defaultApiKey }: EmbeddedOptions): Redacted.Redacted<string> =>
  Predicate.isString(apiKey) ? Redacted.make(apiKey) : apiKey

const settingsOf = (options: EmbeddedOptions) => ({
  script: options.script ?? AgentScript.offline,
  apiKey: keyOf(options),
  tenants: new Map(Object.entries(options.tenants ?? {})),
  quirks: Object.assign(
    { ...Quirks.defaults },
    Object.fromEntries(Object.entries({ ...options.quirks }).filter(([, value]) => value !== undefined))
  ),
  rateLimits: options.rateLimits ?? false,
  maxSandboxes: options.maxSandboxes ?? 1000,
  agentPaths: options.agentPaths ?? false,
  origins: options.origins
})

export class Settings extends Context.Service<Settings, ReturnType<typeof settingsOf>>()(
  "effect-ash/embedded/EmbeddedOptions/Settings"
) {
  static readonly layer = (options: EmbeddedOptions) => Layer.succeed(Settings, settingsOf(options))
}
