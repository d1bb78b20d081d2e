/** Sessions: an agent at work in a sandbox of its own, from its creation to its end. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Scope from "effect/Scope"
import { AshApiClient } from "../client/AshApiClient.ts"
import { RequestPolicy, whileFull } from "../client/RequestPolicy.ts"
import { TurnTransport } from "../client/TurnTransport.ts"
import * as Creations from "../internal/request/creations.ts"
import { failure, renamed } from "../internal/request/operations.ts"
import { anObject, checked } from "../internal/request/options.ts"
import { AshError } from "../schema/AshError.ts"
import { NotSupported } from "../schema/Reasons.ts"
import type { CreateSessionRequest, ExecResult, Session } from "../schema/Session.ts"
import { Attachments } from "./Attachments.ts"
import { Messages } from "./Messages.ts"
import * as Command from "./session/command.ts"
import * as Creation from "./session/creation.ts"
import type { OpenSessionOptions } from "./session/creation.ts"
import type {
  AttachSessionOptions,
  ExecOptions,
  HandleServices,
  KnownSession,
  SessionHandleOptions
} from "./session/handleState.ts"
import { lifecycleOf } from "./session/lifecycle.ts"
import { type ListSessionsOptions, readingOf } from "./session/reading.ts"
import type { SessionMethods } from "./session/sessionMethods.ts"
import { halting, type SessionsParts } from "./session/sessionsParts.ts"
import type { SweepOptions } from "./session/sweep.ts"
import { SessionFiles } from "./SessionFiles.ts"
import { SessionGates } from "./SessionGates.ts"
import * as SessionHandle from "./SessionHandle.ts"
import { Usage } from "./Usage.ts"
import { Workspaces } from "./Workspaces.ts"

export type { ListEventsOptions, SessionEventsOptions, TailOptions } from "./session/reading.ts"

export type { AttachSessionOptions, ExecOptions, ListSessionsOptions, OpenSessionOptions, SessionMethods, SweepOptions }

/** Which page of sessions to list. */
export interface ListSessionPageOptions extends ListSessionsOptions {
  readonly limit?: number | undefined
  readonly offset?: number | undefined
}

/** A page of sessions, and how many there are in all. */
export interface SessionPage {
  readonly sessions: ReadonlyArray<Session>
  readonly total: number
}

/** Opens and manages sessions. */
export class Sessions extends Context.Service<
  Sessions,
  SessionMethods<[id: string]> & {
    /**
     * Starts a session that ends when the surrounding scope closes, however it closes. The end takes 10 seconds at most;
     * where it fails, a warning is logged and the program's own outcome stands. Whatever is waited for before the request
     * goes out can be interrupted at once; one that is on its way is awaited for 10 seconds, and beyond that in the
     * background, and the session is ended as soon as it is there.
     */
    readonly scoped: (session: CreateSessionRequest) => Effect.Effect<Session, AshError, Scope.Scope>
    /**
     * As `scoped`, and answers a handle: a session to work with, in which one turn runs at a time, and none behind one that
     * was not read completely.
     */
    readonly open: (
      session: CreateSessionRequest,
      options?: OpenSessionOptions
    ) => Effect.Effect<SessionHandle.SessionHandle, AshError, Scope.Scope>
    /**
     * The scope of the layer, for sessions that are to live as long as it:
     * `Scope.provide(sessions.open({ agent: "helper" }), sessions.layerScope)`. They end side by side: what is to close before
     * its session belongs into a scope forked from it, together with that.
     */
    readonly layerScope: Scope.Scope
    /** A handle to a session that is there already, and that it does not end. Nothing is sent. */
    readonly attach: (id: string, options?: AttachSessionOptions) => SessionHandle.SessionHandle
    /** Starts a session. It lives until it is ended; prefer `scoped`. A server allows 20 creations in 15 minutes. */
    readonly create: (session: CreateSessionRequest) => Effect.Effect<Session, AshError>
    /**
     * Lists sessions, the newest first. The server sends all sessions, or all of one agent: it has no pages, and a status
     * is filtered here.
     */
    readonly list: (options?: ListSessionsOptions) => Effect.Effect<ReadonlyArray<Session>, AshError>
    /** Lists a page of sessions with their total. Only the hosted product can; another server fails with `NotSupported`. */
    readonly listPage: (options?: ListSessionPageOptions) => Effect.Effect<SessionPage, AshError>
    /**
     * Runs a shell command in a session's workspace, when no turn and no other command of this program runs in it, unless
     * the request option `exclusive` is false: it would end the turn's stream. An exit code other than 0 is a result, not a
     * failure; so is a time-out, as exit code 1.
     */
    readonly exec: (
      id: string,
      command: string,
      options?: ExecOptions
    ) => Effect.Effect<ExecResult, AshError>
    /**
     * Ends the sessions of a label that were left behind, by a process that was killed for example, and answers them; not those
     * that a handle of this layer has open. One that was killed between a creation and its label leaves none to find. Asks
     * for the attachments of every session that was not active for as long, so narrow it to an agent where there are many.
     */
    readonly sweep: (options: SweepOptions) => Effect.Effect<ReadonlyArray<Session>, AshError>
  }
>()("effect-ash/services/Sessions") {
  static readonly layer: Layer.Layer<Sessions, never, AshApiClient | RequestPolicy | SessionGates> = Layer.effect(
    Sessions,
    Effect.gen(function*() {
      const { hosted, messages, sessions: api } = yield* AshApiClient
      const policy = yield* RequestPolicy
      const gates = yield* SessionGates
      const end = (id: string, isScopeClosed = false) =>
        halting(gates, id, {
          how: "ended",
          call: (halt, onWire) => Effect.tap(policy.field(api.end, { params: { id } }, "session", { onWire }), halt),
          isScopeClosed
        })
      const creations = yield* Creations.make((id) => end(id, true))
      // Side by side, as a server that answers no end holds each up for its time.
      const layerScope = yield* Scope.fork(yield* Effect.scope, "parallel")
      const parts: SessionsParts = {
        api,
        policy,
        gates,
        end: (id) => end(id),
        attachments: yield* Attachments,
        creations,
        place: Effect.flatMap(Effect.scope, (scope) => {
          const run = whileFull.get(layerScope)
          return run === undefined ? policy.session(scope) : Effect.raceFirst(policy.session(scope), run)
        })
      }
      const reading = readingOf(parts)
      const lifecycle = lifecycleOf(parts)
      const handleServices: HandleServices = {
        ...parts,
        sessions: { ...reading, ...lifecycle },
        files: yield* SessionFiles,
        messages: yield* Messages,
        listMessages: messages.list,
        turns: yield* TurnTransport,
        usage: yield* Usage,
        workspaces: yield* Workspaces
      }
      const handleOf = (known: KnownSession, options?: SessionHandleOptions) =>
        SessionHandle.make(handleServices, known, options)

      return Sessions.of({
        ...reading,
        ...lifecycle,
        layerScope,
        scoped: (session) =>
          Creations.inOwnScope(
            (scope) =>
              Effect.andThen(parts.place, Creation.createIn(parts, session, scope)).pipe(
                Scope.provide(scope),
                Effect.mapError(renamed("Sessions.scoped"))
              ),
            childScope
          ),
        open: (session, options) =>
          Creations.inOwnScope(
            (scope) => Effect.map(Creation.open(parts, session, options, scope), (known) => handleOf(known, options)),
            childScope
          ),
        create: (session) => Creations.inOwnScope((scope) => Creation.createIn(parts, session, scope)),
        attach: (id, options) => {
          const reason = Creation.rules(options, "options")
          const refusal = (operation: string) => reason && new AshError({ operation, reason })
          const { after, agentName, ...handleOptions } = { ...options }
          return handleOf({ id, agentName, ignoredSettings: [], after, refusal }, handleOptions)
        },
        listPage: Effect.fnUntraced(function*(options) {
          const page = yield* checked("Sessions.listPage", anObject, options)
          const { sessions, total } = yield* policy.call(hosted.listSessions, {
            query: { ...page, includeTotal: true }
          })
          if (Predicate.isNumber(total)) return { sessions, total }
          return yield* failure("Sessions.listPage", NotSupported, {
            message: "this server lists all sessions at once, and only the hosted product has pages; use Sessions.list"
          })
        }),
        exec: (id, command, options) => Command.execAlone(parts, id, command, options)
      })
    })
  ).pipe(
    Layer.provide([
      Attachments.layer,
      Messages.layer,
      SessionFiles.layer,
      TurnTransport.layer,
      Usage.layer,
      Workspaces.layer
    ])
  )
}

/** A scope of its own that closes with the caller's. */
const childScope = Effect.flatMap(Scope.Scope, (scope) => Scope.fork(scope))
