/// <reference lib="esnext.disposable" preserve="true" />
/** The services for programs of promises: the same methods, the same errors, no Effect in the imports. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Scope from "effect/Scope"
import { failure } from "../internal/request/operations.ts"
import * as Ash from "../layers/Ash.ts"
import { WrongState } from "../schema/Reasons.ts"
import type { CreateSessionRequest } from "../schema/Session.ts"
import { AshClient } from "../services/AshClient.ts"
import type { AttachSessionOptions, OpenSessionOptions, Sessions } from "../services/Sessions.ts"
import * as Agents from "./Agents.ts"
import { type ByteContent, bytesOf } from "./Download.ts"
import { type Promised, promised } from "./Promised.ts"
import * as Runner from "./Runner.ts"
import * as Secrets from "./secrets.ts"
import * as Session from "./Session.ts"
import {
  type AttachmentInput,
  type AttachmentMethods,
  type FileMethods,
  fileOf,
  filesOf,
  optionsOf,
  type SessionFileInput,
  type WorkspaceMethods,
  type WriteOptions
} from "./uploads.ts"

/** Opens and manages sessions. */
export interface PromiseSessions
  extends Promised<Omit<Sessions["Service"], "attach" | "layerScope" | "open" | "scoped">>
{
  /**
   * Starts a session that `await using` ends, as does the end of its client. One that neither ends lives on: give it a
   * `label`, by which `sweep` finds it.
   */
  readonly open: (session: CreateSessionRequest, options?: OpenSessionOptions) => Promise<Session.PromiseSession>
  /** A session that is there already, and that is not ended here. Nothing is sent. */
  readonly attach: (id: string, options?: AttachSessionOptions) => Session.PromiseSession
}

/** Attaches files to sessions. The sandbox has a copy in `attachments/`; the model is not informed. */
export interface PromiseAttachments extends AttachmentMethods<[sessionId: string]> {}

/** Reads and writes the files of sessions. */
export interface PromiseFiles extends FileMethods<[sessionId: string]> {}

/** Sends and fetches workspaces. */
export interface PromiseWorkspaces extends WorkspaceMethods<[sessionId: string]> {}

type Services = AshClient["Service"]

/** Every service of a server. `await using` closes it: what it runs is aborted, and the sessions that it opened are ended. */
export interface AshPromise extends
  Promised<
    Omit<Services, "agents" | "apiKeys" | "attachments" | "credentials" | "sessionFiles" | "sessions" | "workspaces">
  >,
  AsyncDisposable
{
  readonly agents: Agents.PromiseAgents
  readonly apiKeys: Secrets.PromiseApiKeys
  readonly attachments: PromiseAttachments
  readonly credentials: Secrets.PromiseCredentials
  readonly sessionFiles: PromiseFiles
  readonly sessions: PromiseSessions
  readonly workspaces: PromiseWorkspaces
  /** The same client, whose calls have further options: `ash.with({ signal, timeout: "10 seconds" }).agents.list()`. */
  readonly with: (options: Runner.CallOptions) => AshPromise
}

const clientOf = (runner: Runner.Runner, services: Services, dispose: () => Promise<void>): AshPromise => {
  const { attachments, sessionFiles, workspaces } = services
  const { layerScope: _layerScope, scoped: _scoped, ...sessions } = services.sessions
  const of = promised(runner)
  return {
    ...of(services),
    agents: Agents.make(runner, services.agents, services.sessions),
    apiKeys: Secrets.apiKeys(runner, services.apiKeys),
    credentials: Secrets.credentials(runner, services.credentials),
    attachments: of({
      ...attachments,
      upload: (id: string, attachment: AttachmentInput) => attachments.upload(id, fileOf(attachment))
    }),
    sessionFiles: of({
      ...sessionFiles,
      write: (id: string, files: ReadonlyArray<SessionFileInput>, options?: WriteOptions) =>
        sessionFiles.write(id, filesOf(files), optionsOf(options))
    }),
    sessions: of({
      ...sessions,
      attach: (id: string, options?: AttachSessionOptions) =>
        Session.make(runner, sessions.attach(id, options), Effect.void),
      open: (session: CreateSessionRequest, options?: OpenSessionOptions) =>
        runner.held(
          sessions.open(session, options),
          (handle, end) => Effect.succeed(Session.make(runner, handle, end))
        )
    }),
    workspaces: of({
      ...workspaces,
      upload: (id: string, bundle: ByteContent) => workspaces.upload(id, bytesOf(bundle))
    }),
    with: (options) => clientOf(runner.with(options ?? {}), services, dispose),
    [Symbol.asyncDispose]: dispose
  }
}

const closed = () =>
  failure("AshPromise", WrongState, { message: "the client is closed; connect again", status: "closed" })

const isLayer = (server: Ash.AshOptions | Layer.Layer<AshClient, unknown>): server is Layer.Layer<AshClient, unknown> =>
  Layer.isLayer(server)

/**
 * Connects to a server: to that of `ASH_SERVER_URL` and `ASH_API_KEY`, of options, or of a layer, such as
 * `AshNode.layerConfig()` or `AshEmbedded.layer()`. On Node prefer a layer of `AshNode`: over `fetch`, which options
 * stand for, a stream that is silent for 300 seconds ends. Nothing is sent. Rejects with `InvalidRequest` for an address
 * or a key that cannot be used.
 */
export const connect = (server?: Ash.AshOptions | Layer.Layer<AshClient, unknown>): Promise<AshPromise> => {
  const given = server ?? Ash.layerConfig()
  const runtime = ManagedRuntime.make(isLayer(given) ? given : Ash.layer(given))
  const closing = new AbortController()
  const dispose = () => {
    closing.abort(closed())
    return runtime.dispose()
  }
  return Effect.runPromise(Effect.onError(runtime.contextEffect, () => runtime.disposeEffect)).then((context) => {
    // Sessions end side by side: a server that answers no end holds each up for its time.
    const holds = Scope.forkUnsafe(runtime.scope, "parallel")
    return clientOf(Runner.make(runtime, context, holds, closing.signal), Context.get(context, AshClient), dispose)
  })
}
