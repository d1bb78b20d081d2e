/** Agents: deploys them, and reads and changes their settings and files. */
import * as Arr from "effect/Array"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as SubscriptionRef from "effect/SubscriptionRef"
import * as FileDownload from "../client/FileDownload.ts"
import { batches, isTooLarge } from "../internal/files/batches.ts"
import { gatherFiles } from "../internal/files/newFiles.ts"
import type { WholeContent } from "../internal/request/content.ts"
import { aFunction, anObject, checked, count, optionsOf, refusal, required } from "../internal/request/options.ts"
import { areBudgets, type Budgets } from "../internal/turn/ledger.ts"
import type { Agent, AgentConfig, CreateAgentRequest, UpdateAgentRequest } from "../schema/Agent.ts"
import type { AshError } from "../schema/AshError.ts"
import type { FileEntry } from "../schema/File.ts"
import type { SendMessageOptions } from "../schema/Message.ts"
import type { CreateSessionRequest } from "../schema/Session.ts"
import type { Turn } from "../schema/Turn.ts"
import type { JsonInput } from "../schema/Wire.ts"
import { layerOf } from "./layerOf.ts"
import { type BatchProgress, type BatchResult, isProgress, noProgress, runBatch } from "./session/batch.ts"
import { type OpenSessionOptions, rules as sessionRules } from "./session/creation.ts"
import { type Prompt, promptOf, type Prompts } from "./session/handleTurns.ts"
import type { SessionHandle } from "./SessionHandle.ts"
import type { Sessions } from "./Sessions.ts"

export { type BatchProgress, type BatchResult, noProgress }

/** A file to write, as bytes or as text, which is sent as UTF-8. */
export interface NewFile {
  /** Relative, its segments separated by `/`. */
  readonly path: string
  readonly content: WholeContent
}

/** An agent to deploy. */
export interface CreateAgent extends Omit<CreateAgentRequest, "files"> {
  /** Without a `CLAUDE.md` among them and without a `systemPrompt` the server writes a placeholder for it. */
  readonly files?: ReadonlyArray<NewFile> | undefined
}

/** How the prompts of a batch are asked. */
export interface BatchOptions {
  /** How many prompts run at once; no more than `sessions`. @default `sessions`, or else 5 */
  readonly concurrency?: number | undefined
  /**
   * How many sessions are opened at most, each used for many prompts one behind the other, whose conversation the agent
   * remembers. A server allows 20 new sessions in 15 minutes.
   *
   * @default a new session for each prompt
   */
  readonly sessions?: number | undefined
  /** The options of every turn, behind those of a prompt. */
  readonly options?: SendMessageOptions | undefined
  /** What the sessions are created with, beside their agent. */
  readonly session?: Omit<CreateSessionRequest, "agent"> | undefined
  /** How the sessions are used. @default `recovery: "restart"` */
  readonly handle?: OpenSessionOptions | undefined
  /** What the batch may cost, beside the budget of the layer. Prompts beyond it fail with `BudgetExhausted`. */
  readonly budget?: Budgets | undefined
  /** Is set whenever a prompt begins or ends: `SubscriptionRef.make(noProgress)`, and its changes are a stream. */
  readonly progress?: SubscriptionRef.SubscriptionRef<BatchProgress> | undefined
}

/** How prompts are asked by a function. */
export type BatchWithOptions = Omit<BatchOptions, "options">

/** Found by its key, as its class would bring its layer along to programs that only deploy agents. */
// @effect-diagnostics-next-line serviceNotAsClass:off
const SessionsByKey = Context.Service<Sessions, Sessions["Service"]>("effect-ash/services/Sessions")

/** Deploys and manages agents. */
export class Agents extends Context.Service<Agents, {
  /**
   * Deploys an agent, or deploys it anew: then its version rises by one, and files that are not sent again stay. All
   * files together may have some 750 KB, and none has `..` in its path, be it in a name. A server allows 20 deployments in 15 minutes.
   */
  readonly create: (agent: CreateAgent) => Effect.Effect<Agent, AshError>
  /** Lists all agents by name. */
  readonly list: () => Effect.Effect<ReadonlyArray<Agent>, AshError>
  /** Fetches one agent. */
  readonly get: (name: string) => Effect.Effect<Agent, AshError>
  /** Replaces an agent's environment, merges into its settings, or both. */
  readonly update: (name: string, changes: UpdateAgentRequest) => Effect.Effect<Agent, AshError>
  /** Deletes an agent and the records of all its sessions; what else it left is back when it is created again. */
  readonly delete: (name: string) => Effect.Effect<void, AshError>
  /** Reads an agent's settings, `{}` if it has none. */
  readonly getConfig: (name: string) => Effect.Effect<AgentConfig, AshError>
  /** Merges into an agent's settings key by key and answers the whole. A key cannot be removed, only set to null. */
  readonly updateConfig: (
    name: string,
    config: Readonly<Record<string, JsonInput | undefined>>
  ) => Effect.Effect<AgentConfig, AshError>
  /** Lists an agent's files, without those in folders of dependencies and caches. */
  readonly listFiles: (name: string) => Effect.Effect<ReadonlyArray<FileEntry>, AshError>
  /** Reads one of an agent's files. The connection is held until the content is read or the scope closes. */
  readonly readFile: (name: string, path: string) => Effect.Effect<FileDownload.FileDownload, AshError, Scope.Scope>
  /**
   * Writes files over those that are there, each of at most some 750 KB, in as many requests as they need, and answers
   * their number. Not all or nothing: it may fail after a part.
   */
  readonly writeFiles: (name: string, files: ReadonlyArray<NewFile>) => Effect.Effect<number, AshError>
  /** Deletes one of an agent's files. */
  readonly deleteFile: (name: string, path: string) => Effect.Effect<void, AshError>
  /**
   * Asks an agent many prompts, over sessions that end with the stream, however it ends. The results come in the order in
   * which they are there, each beside its prompt: the failure of a prompt is its result, and fails nothing else. Prompts are
   * taken when there is room for them, and the stream fails where they do, behind the results of those before.
   *
   * No prompt is sent twice: one that was not sent, as its session or the server was not there, is tried again for some 15
   * seconds, in another session if that is needed. Where the server has no room for more sessions, the batch goes on with
   * those that it has.
   *
   * **Example**
   *
   * ```ts
   * import { Console, Effect, Result, Stream } from "effect"
   * import { Agents } from "effect-ash"
   *
   * const review = Effect.fn(function*(files: ReadonlyArray<string>) {
   *   const agents = yield* Agents
   *   const prompts = files.map((file) => `Review ${file}.`)
   *   yield* agents.batch("reviewer", prompts, { sessions: 10 }).pipe(
   *     Stream.runForEach(({ index, result }) =>
   *       Console.log(files[index], Result.isSuccess(result) ? result.success.text : result.failure.message)
   *     )
   *   )
   * })
   * ```
   */
  readonly batch: <P extends Prompt, E = never, R = never>(
    agent: string,
    prompts: Prompts<P, E, R>,
    options?: BatchOptions
  ) => Stream.Stream<BatchResult<P, Turn>, AshError | E, Sessions | R>
  /**
   * As `batch`, over anything that a function asks a session about: with content of its own, a typed answer, or several
   * turns. Where a session fails before anything was sent, the function is called again, with another session.
   */
  readonly batchWith: <P, A, E2 = never, R2 = never, E = never, R = never>(
    agent: string,
    prompts: Prompts<P, E, R>,
    ask: (session: SessionHandle, prompt: P, index: number) => Effect.Effect<A, AshError | E2, R2>,
    options?: BatchWithOptions
  ) => Stream.Stream<BatchResult<P, A, AshError | E2>, AshError | E, Sessions | R | R2>
}>()("effect-ash/services/Agents") {
  static readonly layer = layerOf(
    Agents,
    ({ agents: api }, { budgets, call, field, remove }) => ({
      ...batchesOf(budgets),
      create: (request) => {
        const { files, ...agent } = { ...request }
        return Effect.flatMap(
          gatherFiles("Agents.create", files === undefined ? [] : files),
          (uploads) =>
            field(api.create, { payload: files === undefined ? agent : { ...agent, files: uploads } }, "agent")
        )
      },
      list: () => field(api.list, {}, "agents"),
      get: (name) => field(api.get, { params: { name } }, "agent"),
      update: (name, payload) => field(api.update, { params: { name }, payload }, "agent"),
      delete: (name) => remove(api.delete, { params: { name } }),
      getConfig: (name) => field(api.getConfig, { params: { name } }, "config"),
      updateConfig: (name, payload) => field(api.updateConfig, { params: { name }, payload }, "config"),
      listFiles: (name) => field(api.listFiles, { params: { name } }, "files"),
      readFile: (name, path) =>
        Effect.map(
          call(api.readFile, { params: { name, path }, query: { format: "raw" } }),
          FileDownload.fromResponse(path)
        ),
      writeFiles: Effect.fnUntraced(function*(name, files) {
        const uploads = yield* gatherFiles("Agents.writeFiles", files)
        const tooLarge = uploads.findIndex(isTooLarge)
        if (tooLarge >= 0) {
          const field = `files[${tooLarge}].content`
          const message = `${field} is too large: a request carries some 750,000 bytes; leave it out, or split it`
          return yield* refusal("Agents.writeFiles", field, message)
        }
        // An empty list is sent as well: the response shows whether the agent exists.
        const written = yield* Effect.forEach(
          files.length === 0 ? [[]] : batches(uploads),
          (files) => call(api.writeFiles, { params: { name }, payload: { files } })
        )
        return written.reduce((sum, { written }) => sum + written, 0)
      }),
      deleteFile: (name, path) => remove(api.deleteFile, { params: { name, path } })
    })
  )
}

const rules = optionsOf<BatchOptions>({
  concurrency: count(1),
  sessions: count(1),
  options: anObject,
  session: anObject,
  handle: sessionRules,
  budget: areBudgets,
  progress: isProgress
})

const askRules = optionsOf({ ask: required(aFunction) })

/** The methods that run batches, whose turns count in the budgets of a layer, too. */
const batchesOf = (ofLayer: Budgets | undefined): Pick<Agents["Service"], "batch" | "batchWith"> => {
  const batchWith: Agents["Service"]["batchWith"] = (agent, prompts, ask, options) =>
    Stream.unwrap(Effect.gen(function*() {
      const { budget, concurrency, handle, progress, session, ...how } = yield* checked("Agents.batch", rules, options)
      yield* checked("Agents.batch", askRules, { ask })
      const sessions = yield* SessionsByKey
      return runBatch({
        concurrency,
        sessions: how.sessions,
        budget: [...Arr.ensure(budget ?? []), ...Arr.ensure(handle?.budget ?? [])],
        ofLayer,
        progress,
        ask,
        open: (budget) =>
          sessions.open({ ...session, agent }, { ...handle, recovery: handle?.recovery ?? "restart", budget })
      }, prompts)
    }))
  return {
    batch: (agent, prompts, how) =>
      batchWith(agent, prompts, (session, prompt) => {
        const { content, options } = promptOf(prompt, how?.options)
        return session.ask(content, options)
      }, how),
    batchWith
  }
}
