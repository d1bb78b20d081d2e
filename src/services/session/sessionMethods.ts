/** What `Sessions` and the handle of a session both have. */
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { AshError } from "../../schema/AshError.ts"
import type { SandboxLogs, Session, UpdateSessionConfigRequest } from "../../schema/Session.ts"
import type { SessionEvent } from "../../schema/SessionEvent.ts"
import type { ListEventsOptions, SessionEventsOptions, TailOptions } from "./reading.ts"

/** The methods for a session, which `At` names where they are not of one session. */
export interface SessionMethods<At extends ReadonlyArray<string>> {
  /** Fetches one session. */
  readonly get: (...session: At) => Effect.Effect<Session, AshError>
  /** Merges into a session's settings, in force from the next message on. They cannot be read back. */
  readonly updateConfig: (...args: [...At, config: UpdateSessionConfigRequest]) => Effect.Effect<Session, AshError>
  /** Pauses an active session. Its sandbox stays alive, and a running turn is not interrupted. */
  readonly pause: (...session: At) => Effect.Effect<Session, AshError>
  /**
   * Makes a paused, stopped or failed session active again. After a stop the workspace and the memory may be gone.
   * Interrupted on its way, it is awaited for 10 seconds, as are `stop` and `pause`: a server does it all the same. Whoever ends
   * the session before it is answered ends it again behind that.
   */
  readonly resume: (...session: At) => Effect.Effect<Session, AshError>
  /**
   * Stops an active session: its sandbox is destroyed, and with it a running turn, whose stream fails with `TurnCancelled`
   * in this program, and falls silent in others. A turn that waits to be sent fails so, too, and what is sent meanwhile waits
   * for the answer. A restart or a resumption by this program that runs is waited for, as by `pause`, and undone.
   */
  readonly stop: (...session: At) => Effect.Effect<Session, AshError>
  /** Makes a paused copy of a session with its messages and settings, not its files nor its memory. Resume it to use it. */
  readonly fork: (...session: At) => Effect.Effect<Session, AshError>
  /**
   * Ends a session for good, and its running turn as `stop` does. Its record stays readable. What stops or resumes the session
   * in this program is waited for, for 5 seconds at most, as it would undo that; what takes longer ends the session again.
   */
  readonly end: (...session: At) => Effect.Effect<Session, AshError>
  /** Lists rows of a session's timeline, oldest first. */
  readonly listEvents: (
    ...args: [...At, options?: ListEventsOptions]
  ) => Effect.Effect<ReadonlyArray<SessionEvent>, AshError>
  /** Streams the whole timeline of a session, oldest first, page by page. */
  readonly events: (...args: [...At, options?: SessionEventsOptions]) => Stream.Stream<SessionEvent, AshError>
  /** Streams the timeline of a session, and what is added to it, by polling, until the session ends. */
  readonly tail: (...args: [...At, options?: TailOptions]) => Stream.Stream<SessionEvent, AshError>
  /** Reads the logs of a session's sandbox, those behind the index `after`. */
  readonly logs: (
    ...args: [...At, options?: { readonly after?: number | undefined }]
  ) => Effect.Effect<SandboxLogs, AshError>
}
