/**
 * What is none of the options of a function, as programs without types and configurations have it, is refused by its name:
 * in each entry of the package, and before anything is sent.
 */
import { assert, describe, it } from "@effect/vitest"
import * as AiError from "effect/ai/AiError"
import * as LanguageModel from "effect/ai/LanguageModel"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpRouter from "effect/http/HttpRouter"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { readdirSync, readFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { AshLanguageModel } from "../../src/ai.ts"
import { RequestPolicy } from "../../src/client/RequestPolicy.ts"
import { AgentScript, AshEmbedded, FaultProxy } from "../../src/embedded.ts"
import * as Root from "../../src/index.ts"
import { AshNode, deployDirectory, uploadWorkspace } from "../../src/node.ts"
import * as InPromises from "../../src/promise.ts"
import { AshError } from "../../src/schema/AshError.ts"
import * as Web from "../../src/web.ts"
import * as Workflow from "../../src/workflow.ts"
import { sessionId as id } from "../support/fixtures.ts"
import * as Server from "../support/ScriptedServer.ts"

const wholes = [null, "text", 5, true, [], () => 1]
const durations = [null, NaN, -1, "soon", "-1 seconds", "", {}, { second: 5 }, [1], true, () => 1]
const endless = [...durations, Infinity, "Infinity"]
const intervals = [...endless, 0]
const counts = [null, NaN, Infinity, -1, 1.5, 2 ** 60, "5", {}, [], true]
const amounts = [null, NaN, -1, "5", [], true]
const words = [null, "", "sometimes", 1, true, {}]
const flags = [null, "false", 0, {}]
const texts = [null, "", 5, {}]
const strings = [null, 5, {}]
const lists = [null, "text", 5, {}, [5], [null]]
const functions = [null, "text", 5, {}]
const budgets = [null, "text", 5, { usd: 1 }, [null]]
const keys = [null, "", "two words", "a\r\nb", 5, {}, Redacted.make(""), Redacted.make(5)]

interface Bad {
  readonly [name: string]: ReadonlyArray<unknown> | Bad
}

/** What cannot be of each option of the public types, by the interface that declares it; "" is it as a whole. */
const bad = {
  AskAsOptions: { retries: counts, maxBudgetUsd: [null, NaN, -1, "5"] },
  AttachSessionOptions: { after: counts, agentName: texts },
  AwaitQueueItemOptions: { every: endless },
  BatchCallbacks: { onProgress: functions },
  BatchOptions: {
    concurrency: counts,
    sessions: counts,
    options: wholes,
    session: wholes,
    handle: { "": wholes },
    budget: budgets,
    progress: functions
  },
  BudgetLimits: { usd: counts.slice(0, 4), tokens: counts.slice(0, 4), share: [0, null] },
  BufferOptions: { size: counts, whenFull: words },
  CallOptions: { signal: ["text", 5, {}] },
  ClientOptions: { transport: functions },
  ClusterName: { cluster: texts, prefix: [...texts, "Ash", "a\r\nb", "a-b"], migrate: flags },
  ClusterSettings: {
    lease: intervals,
    longestStall: intervals,
    terminationTimeout: intervals,
    pollInterval: intervals
  },
  ConnectionOptions: { url: [...texts, "ftp://a", "http://a\r\nb c"], apiKey: keys, allowPlainHttp: flags },
  ConversationOptions: { sessions: words, maxConversations: [...counts, 0] },
  CredentialOptions: { label: strings },
  DeployDirectoryOptions: { name: texts, env: wholes },
  EmbeddedAgent: { script: functions },
  EmbeddedHttpOptions: {
    port: [...counts, 65_536],
    host: texts,
    hostNames: [...lists, ["http://a"], ["a:80"], ["a b"]]
  },
  EmbeddedOptions: {
    script: functions,
    apiKey: [null, 5, {}],
    tenants: [...wholes, { key: 5 }, { key: "" }],
    quirks: { "": wholes },
    rateLimits: flags,
    maxSandboxes: [...counts, 0],
    agentPaths: flags,
    origins: [...lists, ["http://a/"], ["localhost"]]
  },
  EventStreamOptions: { keepAlive: durations },
  ExecOptions: { timeout: endless },
  FaultProxyOptions: { target: [...texts, "localhost", "ftp://a"], script: functions },
  FolderOptions: { exclude: lists, followLinks: flags },
  LanguageModelOptions: { system: strings },
  ListEvalCasesOptions: { category: strings, isActive: flags },
  ListEventsOptions: { limit: counts },
  ListMessagesOptions: { limit: counts },
  ListQueueItemsOptions: { status: strings, limit: counts },
  ListRunsOptions: { state: words, agent: strings, before: strings, limit: counts },
  ListSessionPageOptions: { limit: counts, offset: counts },
  ListSessionsOptions: { agent: texts, status: texts },
  ListUsageEventsOptions: { limit: counts },
  OpenSessionOptions: { label: [...texts, "two words", "a\r\nb"], requireFreshSandbox: flags },
  OrphanOptions: { agents: [undefined, ...lists], olderThan: intervals, every: intervals },
  PagingOptions: { after: counts, pageSize: counts },
  PollOptions: { every: endless },
  PromptWithOptions: { content: [5, null], options: wholes },
  PurgeOptions: { olderThan: [undefined, ...durations], limit: counts },
  Quirks: {
    mixTurns: flags,
    hangOnDeadSandbox: flags,
    dropAfterDisconnect: flags,
    cutStalledReaders: flags,
    coldResumeLosesWorkspace: flags,
    warmPool: flags,
    evalsFail: flags,
    content: words
  },
  RandomOptions: {
    seed: [undefined, null, {}, true],
    probability: [...amounts, 1.1],
    kinds: [...lists, ["nonsense"]],
    phases: [...lists, ["nonsense"]]
  },
  ReconcileQuery: { after: counts, content: [null, 5, {}, [5]] },
  RequestOptionsInput: {
    timeout: durations,
    retry: { "": wholes },
    timeouts: { "": wholes },
    buffer: { "": wholes },
    maxEventSize: counts,
    responseLimits: { "": wholes },
    exclusive: flags,
    headers: wholes,
    telemetry: { "": wholes }
  },
  ResponseLimits: { body: counts, text: counts },
  RetryOptions: { times: amounts, delay: durations, maxDelay: durations, maxRetryAfter: durations },
  RunSettings: {
    longestTurn: intervals,
    sendWindow: intervals,
    settleTime: intervals,
    patience: intervals,
    maxAttempts: [...counts, 0],
    maxGenerations: [...counts, 0],
    maxRunning: [...counts, 0],
    maxStored: [...counts, 0, 4_194_305],
    cancelInterval: intervals
  },
  RunnerOptions: {
    transport: functions,
    host: texts,
    port: [undefined, ...counts, 0, 65_536],
    listenHost: texts,
    orphans: { "": wholes }
  },
  ServerSentEventsOptions: { errorText: functions },
  SessionEventsOptions: { type: strings },
  SessionHandleOptions: {
    recovery: words,
    keepWorkspace: flags,
    onInterrupt: words,
    timeouts: { "": wholes },
    buffer: { "": wholes },
    budget: budgets
  },
  BusyOptions: { whenBusy: words, waitAtMost: durations },
  SharedLimits: {
    retryBudget: amounts,
    whenRateLimited: words,
    maxRateLimitWait: durations,
    maxSessions: [...counts, 0],
    maxStreams: [...counts, 0],
    budget: budgets
  },
  SingleOptions: { cluster: texts, orphans: { "": wholes } },
  SpeechOptions: { pieces: lists, delay: endless },
  SweepOptions: { label: [undefined, ...texts], olderThan: [undefined, ...endless], agent: texts },
  TailOptions: { every: endless },
  TelemetryOptions: { content: flags, metrics: flags },
  ToTurnOptions: { onText: functions },
  TurnResult: {
    subtype: texts,
    result: strings,
    usage: wholes,
    cost: amounts,
    structuredOutput: [() => 1],
    isError: flags,
    errors: lists
  },
  TurnTimeouts: { headers: durations, firstEvent: durations, idle: durations, done: durations, turn: durations },
  UiMessageStreamOptions: { messageId: texts },
  WatchEvalRunOptions: { every: endless },
  WebChatOptions: { authorize: [undefined, ...functions] },
  WebChatSettings: { path: texts, maxBodySize: amounts },
  WebHandlerOptions: { authorize: [undefined, ...functions] },
  WithAgents: { agents: { "": wholes } },
  WorkerOptions: { plans: [...wholes, { a: 5 }], secrets: functions },
  WriteFilesOptions: { targetPath: strings, onProgress: functions },
  WriteOptions: { onProgress: functions }
} satisfies Record<string, Bad>

const isBad = (value: unknown): value is Bad => Predicate.isObject(value)

/** The options of several interfaces, with the wholes that are none. */
const all = (...parts: ReadonlyArray<Bad>): Bad =>
  parts.reduce((all, part) => {
    const merged: Record<string, ReadonlyArray<unknown> | Bad> = { ...all }
    for (const [name, values] of Object.entries(part)) {
      const before = merged[name]
      merged[name] = isBad(before) && isBad(values) ? { ...before, ...values } : values
    }
    return merged
  }, { "": wholes })

const turnOptions = { timeouts: bad.TurnTimeouts, buffer: bad.BufferOptions }
const requests = all(bad.RequestOptionsInput, turnOptions, {
  retry: bad.RetryOptions,
  responseLimits: bad.ResponseLimits,
  telemetry: bad.TelemetryOptions
})
const handle = all(bad.SessionHandleOptions, bad.BusyOptions, turnOptions)
const messages = { maxTurns: counts }
const embedded = all(bad.EmbeddedOptions, { quirks: bad.Quirks }, requests, bad.SharedLimits, bad.WithAgents)
const runs = all(bad.RunSettings, bad.WorkerOptions)

/** Options with one thing that is wrong, and the name of it. */
const casesOf = (bad: Bad, path: ReadonlyArray<string> = []): ReadonlyArray<readonly [field: string, given: unknown]> =>
  Object.entries(bad).flatMap(([name, inner]) => {
    const names = name === "" ? path : [...path, name]
    if (isBad(inner)) return casesOf(inner, names)
    return inner.map((value) =>
      [names.join("."), names.reduceRight((given: unknown, name) => ({ [name]: given }), value)] as const
    )
  })

type Client = Root.AshClient["Service"]
type Call = (ash: Client, options: any) => unknown

/** Lays options over those that must be there. */
const besides = (others: object, options: unknown): any =>
  Predicate.isObject(options) ? { ...others, ...options } : options

/** Whatever a function answers, as an effect. */
const run = (answer: any): Effect.Effect<unknown, unknown, any> =>
  Stream.isStream(answer)
    ? Stream.runDrain(answer)
    : Layer.isLayer(answer)
    ? Effect.scoped(Layer.build(Layer.fresh(answer as Layer.Layer<any, any, any>)))
    : Effect.isEffect(answer)
    ? answer
    : Effect.tryPromise(async () => {
      if (Predicate.hasProperty(answer, Symbol.asyncIterator)) {
        for await (const _ of answer as AsyncIterable<unknown>);
      } else await answer
    })

/** What throws its refusal. */
const atOnce = (call: () => unknown) => Effect.try(call)

/** The step of a script, which fails its turn. */
const step = (made: AgentScript.AgentStep) => made._tag === "Fail" ? Effect.fail(made) : Effect.void

const given = (options: never) => (call: Effect.Effect<unknown, unknown, any>) =>
  Effect.provideService(call, Root.RequestOptions.RequestOptions, options)

const low = Effect.flatMap(Root.AshApiClient, ({ agents }) => agents.list({}))

const model = (layer: Layer.Layer<LanguageModel.LanguageModel, never, Root.Sessions>) =>
  Effect.provide(LanguageModel.generateText({ prompt: "Hello!" }), layer)

const asked = LanguageModel.generateText({ prompt: "Hello!" })

const connection = { url: "http://ash.test", apiKey: "key", allowPlainHttp: true }

const noTransport = () => Layer.effectDiscard(Effect.die("no transport")) as never

const events = Stream.empty

const inPromises = (call: (ash: InPromises.AshPromise, options: any) => unknown): Call => (_, options) =>
  Effect.context<Root.AshClient>().pipe(
    Effect.flatMap((context) =>
      Effect.acquireUseRelease(
        Effect.promise(() => InPromises.connect(Layer.succeedContext(context))),
        (ash) => Effect.suspend(() => run(call(ash, options))),
        (ash) => Effect.promise(async () => ash[Symbol.asyncDispose]())
      )
    )
  )

/** Programs of promises have null where nothing is given. */
const ofPromises = ({ "": wholes = [], ...bad }: Bad): Bad => ({
  ...bad,
  "": Predicate.isObject(wholes) ? [] : (wholes as ReadonlyArray<unknown>).filter(Predicate.isNotNull)
})

const inRuns = (call: (runs: Workflow.AgentRuns["Service"], options: any) => unknown): Call => (_, options) =>
  Effect.flatMap(Workflow.AgentRuns, (runs) => Effect.suspend(() => run(call(runs, options))))

const entries: ReadonlyArray<readonly [name: string, bad: Bad, call: Call]> = [
  // effect-ash
  [
    "Ash.layer",
    all(bad.ConnectionOptions, requests, bad.SharedLimits),
    (_, options) => Root.Ash.layer(besides(connection, options))
  ],
  ["Ash.layerConfig", all(requests, bad.SharedLimits), (_, options) => Root.Ash.layerConfig(options)],
  [
    "AshCore.layer",
    all(bad.ConnectionOptions, bad.SharedLimits),
    (_, options) => Root.AshCore.layer(besides(connection, options))
  ],
  [
    "AshApiClient.layer",
    all(bad.ConnectionOptions),
    (_, options) =>
      Root.AshApiClient.layer(besides(connection, options)).pipe(Layer.provide(Server.make(Server.json({})).http))
  ],
  ["RequestPolicy.layer", all(bad.SharedLimits), (_, options) => RequestPolicy.layer(options)],
  [
    "RequestOptions, provided to a layer",
    requests,
    (_, options) => Layer.provide(RequestPolicy.layer({}), Layer.succeed(Root.RequestOptions.RequestOptions, options))
  ],
  ["RequestOptions, provided to a call", requests, (ash, options) => given(options as never)(ash.agents.list())],
  [
    "RequestOptions, provided to a turn",
    requests,
    (ash, options) => given(options as never)(run(ash.messages.send(id, "Hello!")))
  ],
  [
    "RequestOptions, provided to a turn of a handle",
    requests,
    (ash, options) => given(options as never)(ash.sessions.attach(id).ask("Hello!"))
  ],
  ["RequestOptions, provided to the low-level client", requests, (_, options) => given(options as never)(low)],
  [
    "RequestOptions, provided around others",
    requests,
    (ash, options) => given(options as never)(Root.RequestOptions.withHeaders({})(ash.agents.list()))
  ],
  [
    "RequestOptions.merge",
    requests,
    (ash, options) =>
      Effect.updateService(ash.agents.list(), Root.RequestOptions.RequestOptions, Root.RequestOptions.merge(options))
  ],
  [
    "a request of the low-level client",
    all(),
    (_, options) => Effect.flatMap(Root.AshApiClient, ({ agents }) => agents.list(options))
  ],
  ["Budget.make", all(bad.BudgetLimits), (_, options) => Root.Budget.make(options)],
  ["AgentVersions.create", all({ name: strings }), (ash, options) => ash.agentVersions.create("demo", options)],
  [
    "Agents.create",
    { files: [null, "text", 5, {}] },
    (ash, options) => ash.agents.create(besides({ name: "demo" }, options))
  ],
  ["Agents.batch", all(bad.BatchOptions, { handle }), (ash, options) => ash.agents.batch("demo", ["Hello!"], options)],
  [
    "Agents.batchWith",
    { ask: [undefined, ...functions] },
    (ash, { ask }) => ash.agents.batchWith("demo", ["Hello!"], ask)
  ],
  ["Analytics.get", all({ after: strings }), (ash, options) => ash.analytics.get(options)],
  ["ApiKeys.create", all({ label: strings }), (ash, options) => ash.apiKeys.create(options)],
  [
    "Credentials.createOpenAi",
    all(bad.CredentialOptions),
    (ash, options) => ash.credentials.createOpenAi(Redacted.make("key"), options)
  ],
  ["Evals.listCases", all(bad.ListEvalCasesOptions), (ash, options) => ash.evals.listCases("demo", options)],
  ["Evals.watchRun", all(bad.WatchEvalRunOptions), (ash, options) => ash.evals.watchRun("demo", id, options)],
  ["Evals.startRun", all(), (ash, options) => ash.evals.startRun("demo", options)],
  ["Evals.runToCompletion", all(bad.WatchEvalRunOptions), (ash, options) => ash.evals.runToCompletion("demo", options)],
  ["Messages.history", all(bad.PagingOptions), (ash, options) => ash.messages.history(id, options)],
  ["Messages.list", all(bad.ListMessagesOptions, { after: counts }), (ash, options) => ash.messages.list(id, options)],
  ["Messages.send", all(messages), (ash, options) => ash.messages.send(id, "Hello!", options)],
  ["Messages.sendWithErrors", all(messages), (ash, options) => ash.messages.sendWithErrors(id, "Hello!", options)],
  ["QueueItems.await", all(bad.AwaitQueueItemOptions), (ash, options) => ash.queueItems.await(id, options)],
  ["QueueItems.list", all(bad.ListQueueItemsOptions), (ash, options) => ash.queueItems.list(options)],
  ["SessionFiles.list", all({ includeHidden: flags }), (ash, options) => ash.sessionFiles.list(id, options)],
  [
    "SessionFiles.write",
    all(bad.WriteFilesOptions),
    (ash, options) => ash.sessionFiles.write(id, [{ path: "a", content: "b" }], options)
  ],
  [
    "Sessions.attach, a turn",
    all(handle, bad.AttachSessionOptions),
    (ash, options) => ash.sessions.attach(id, options).ask("Hello!")
  ],
  [
    "Sessions.attach, a command",
    all({ recovery: words }),
    (ash, options) => ash.sessions.attach(id, options).exec("ls")
  ],
  [
    "Sessions.attach, recover",
    all({ keepWorkspace: flags }),
    (ash, options) => ash.sessions.attach(id, options).recover()
  ],
  [
    "Sessions.events",
    all(bad.PagingOptions, bad.SessionEventsOptions),
    (ash, options) => ash.sessions.events(id, options)
  ],
  ["Sessions.exec", all(bad.ExecOptions), (ash, options) => ash.sessions.exec(id, "ls", options)],
  ["Sessions.list", all(bad.ListSessionsOptions), (ash, options) => ash.sessions.list(options)],
  [
    "Sessions.listEvents",
    all(bad.ListEventsOptions, bad.SessionEventsOptions),
    (ash, options) => ash.sessions.listEvents(id, options)
  ],
  ["Sessions.listPage", all(bad.ListSessionPageOptions), (ash, options) => ash.sessions.listPage(options)],
  ["Sessions.logs", all({ after: [null, NaN, "5"] }), (ash, options) => ash.sessions.logs(id, options)],
  [
    "Sessions.open",
    all(handle, bad.OpenSessionOptions),
    (ash, options) => Effect.scoped(ash.sessions.open({ agent: "demo" }, options))
  ],
  [
    "Sessions.sweep",
    all(bad.SweepOptions),
    (ash, options) => ash.sessions.sweep(besides({ label: "a", olderThan: "1 hour" }, options))
  ],
  ["Sessions.tail", all(bad.TailOptions, bad.SessionEventsOptions), (ash, options) => ash.sessions.tail(id, options)],
  [
    "SessionHandle.askAs",
    all(bad.AskAsOptions, messages),
    (ash, options) => ash.sessions.attach(id).askAs(Schema.Struct({}), "Hello!", options)
  ],
  ["SessionHandle.ask", all(messages), (ash, options) => ash.sessions.attach(id).ask("Hello!", options)],
  ["SessionHandle.turns", all(messages), (ash, options) => ash.sessions.attach(id).turns(["Hello!"], options)],
  [
    "SessionHandle.turns, a prompt",
    bad.PromptWithOptions,
    (ash, options) => ash.sessions.attach(id).turns([besides({ content: "Hello!" }, options)])
  ],
  ["SessionHandle.reconcile", all(bad.ReconcileQuery), (ash, options) => ash.sessions.attach(id).reconcile(options)],
  ["Usage.list", all(bad.ListUsageEventsOptions), (ash, options) => ash.usage.listEvents(options)],
  // effect-ash/node
  ["AshNode.layer", all(bad.ConnectionOptions), (_, options) => AshNode.layer(besides(connection, options))],
  [
    "AshNode.layerUndici",
    all(bad.ConnectionOptions),
    (_, options) => AshNode.layerUndici(besides(connection, options))
  ],
  ["AshNode.layerCore", all(bad.ConnectionOptions), (_, options) => AshNode.layerCore(besides(connection, options))],
  ["AshNode.layerConfig", all(bad.SharedLimits), (_, options) => AshNode.layerConfig(options)],
  [
    "deployDirectory",
    all(bad.FolderOptions, bad.DeployDirectoryOptions),
    (_, options) => deployDirectory(import.meta.dirname, options)
  ],
  ["uploadWorkspace", all(bad.FolderOptions), (_, options) => uploadWorkspace(id, import.meta.dirname, options)],
  // effect-ash/promise
  [
    "connect",
    ofPromises(all(bad.ConnectionOptions)),
    (_, options) => run(InPromises.connect(besides(connection, options)))
  ],
  [
    "AshPromise.with",
    ofPromises(all(requests, bad.CallOptions)),
    inPromises((ash, options) => ash.with(options).agents.list())
  ],
  [
    "AshPromise.with, a stream",
    ofPromises(all(bad.CallOptions)),
    inPromises((ash, options) => ash.with(options).messages.send(id, "Hello!"))
  ],
  [
    "agents.batch of promises",
    ofPromises(all(bad.BatchCallbacks, { concurrency: counts })),
    inPromises((ash, options) => ash.agents.batch("demo", [], options))
  ],
  [
    "agents.batchWith of promises",
    ofPromises(all(bad.BatchCallbacks)),
    inPromises((ash, options) => ash.agents.batchWith("demo", [], () => 1, options))
  ],
  [
    "agents.batchWith of promises, a function",
    { ask: [undefined, ...functions] },
    inPromises((ash, { ask }) => ash.agents.batchWith("demo", ["Hello!"], ask))
  ],
  [
    "sessionFiles.write of promises",
    ofPromises(all(bad.WriteOptions)),
    inPromises((ash, options) => ash.sessionFiles.write(id, [{ path: "a", content: "b" }], options))
  ],
  [
    "files.write of a session of promises",
    ofPromises(all(bad.WriteOptions)),
    inPromises((ash, options) => ash.sessions.attach(id).files.write([{ path: "a", content: "b" }], options))
  ],
  [
    "toTurn of promises",
    ofPromises(all(bad.ToTurnOptions)),
    (_, options) => run(InPromises.toTurn((async function*() {})(), options))
  ],
  // effect-ash/workflow
  ["AgentRuns.list", all(bad.ListRunsOptions), inRuns((runs, options) => runs.list(options))],
  ["AgentRuns.purge", all(bad.PurgeOptions), inRuns((runs, options) => runs.purge(besides({ olderThan: 0 }, options)))],
  ["AgentRuns.result", all(bad.PollOptions), inRuns((runs, options) => runs.result("one", options))],
  ["AgentRuns.watch", all(bad.PollOptions), inRuns((runs, options) => runs.watch("one", options))],
  [
    "AgentRuns.start",
    {
      "": wholes,
      id: [undefined, ...texts],
      agent: [undefined, ...texts],
      steps: [undefined, null, "text", []],
      plan: [null, 5, {}],
      session: { "": wholes },
      files: [null, "text"],
      collect: lists.slice(0, 4),
      whenUnknown: words
    },
    inRuns((runs, options) => runs.start(besides({ id: "one", agent: "demo", steps: ["Hello!"] }, options)))
  ],
  ["ask", { content: [null, 5, {}] }, (_, { content }) => atOnce(() => Workflow.ask(content))],
  ["ask, options", all(messages), (_, options) => atOnce(() => Workflow.ask("Hello!", options))],
  ["approval", { message: strings }, (_, { message }) => atOnce(() => Workflow.approval(message))],
  ["sleep", { duration: endless }, (_, { duration }) => atOnce(() => Workflow.sleep(duration))],
  ["AshWorkflow.layerTest", runs, (_, options) => Workflow.AshWorkflow.layerTest(options)],
  [
    "AshWorkflow.layerSingle",
    all(runs, bad.ClusterName, bad.SingleOptions),
    (_, options) => Workflow.AshWorkflow.layerSingle(options)
  ],
  [
    "AshWorkflow.layerMigrations",
    all({ prefix: bad.ClusterName.prefix }),
    (_, options) => Workflow.AshWorkflow.layerMigrations(options)
  ],
  [
    "AshWorkflow.layerRunner",
    all(runs, bad.ClusterName, bad.ClusterSettings, bad.RunnerOptions),
    (_, options) =>
      Workflow.AshWorkflow.layerRunner(besides({ cluster: "a", port: 1, transport: noTransport }, options))
  ],
  [
    "AshWorkflow.layerRunner, orphans",
    { orphans: bad.OrphanOptions },
    (_, options) =>
      Workflow.AshWorkflow.layerRunner({
        cluster: "a",
        port: 1,
        transport: noTransport,
        orphans: besides({ agents: [] }, options.orphans)
      })
  ],
  [
    "AshWorkflow.layerClient",
    all(bad.ClusterName, bad.ClientOptions),
    (_, options) => Workflow.AshWorkflow.layerClient(besides({ cluster: "a", transport: noTransport }, options))
  ],
  // effect-ash/ai
  [
    "AshLanguageModel.model",
    all(bad.ConversationOptions),
    (_, options) => model(AshLanguageModel.model("demo", options))
  ],
  [
    "AshLanguageModel.layer",
    all(bad.ConversationOptions),
    (_, options) => model(AshLanguageModel.layer("demo", options))
  ],
  [
    "AshLanguageModel.withConfigOverride",
    all(),
    (_, options) => Effect.provide(AshLanguageModel.withConfigOverride(asked, options), AshLanguageModel.layer("demo"))
  ],
  [
    "AshLanguageModel.Config",
    all(),
    (_, options) =>
      Effect.provide(Effect.provideService(asked, AshLanguageModel.Config, options), AshLanguageModel.layer("demo"))
  ],
  [
    "AshLanguageModel, under RequestOptions",
    requests,
    (_, options) => given(options as never)(model(AshLanguageModel.layer("demo")))
  ],
  // effect-ash/web
  [
    "toServerSentEvents",
    all(bad.EventStreamOptions, bad.ServerSentEventsOptions),
    (_, options) => atOnce(() => Web.toServerSentEvents(events, options))
  ],
  ["toUiMessageStream", all(bad.EventStreamOptions, bad.ServerSentEventsOptions, bad.UiMessageStreamOptions), (
    _,
    options
  ) => atOnce(() => Web.toUiMessageStream(events, options))],
  [
    "uiMessageChunks",
    all(bad.ServerSentEventsOptions, bad.UiMessageStreamOptions),
    (_, options) => atOnce(() => Web.uiMessageChunks(events, options))
  ],
  ["WebChat.layer", all(bad.WebChatSettings, bad.WebChatOptions, bad.EventStreamOptions, bad.ServerSentEventsOptions), (
    _,
    options
  ) =>
    Web.WebChat.layer(besides({ authorize: Web.WebChat.anyone, session: { agent: "demo" } }, options)).pipe(
      Layer.provide(HttpRouter.layer)
    )],
  [
    "WebChat.toWebHandler",
    { ...bad.WebHandlerOptions, ...bad.WebChatSettings },
    (_, options) =>
      Effect.tryPromise(async () => {
        const settings = besides({ authorize: () => "anyone", session: { agent: "demo" } }, options)
        const { dispose, handler } = Web.WebChat.toWebHandler(settings, Server.make(Server.json({})).layer)
        await handler(new Request("http://chat.test/api/chat")).finally(dispose)
      })
  ],
  // effect-ash/embedded
  ["AshEmbedded.layer", embedded, (_, options) => AshEmbedded.layer(options)],
  [
    "AshEmbedded.layerHttp",
    all(bad.EmbeddedHttpOptions, { apiKey: bad.EmbeddedOptions.apiKey }),
    (_, options) => AshEmbedded.layerHttp(options)
  ],
  [
    "AshEmbedded.layer, an agent",
    { "agents[\"a\"]": bad.EmbeddedAgent },
    (_, options) => AshEmbedded.layer({ agents: { a: options["agents[\"a\"]"] } })
  ],
  ["AgentScript.say", all(bad.SpeechOptions), (_, options) => step(AgentScript.say("a", options))],
  ["AgentScript.think", all(bad.SpeechOptions), (_, options) => step(AgentScript.think("a", options))],
  [
    "AgentScript.useTool",
    all({ name: texts, input: [() => 1], result: [undefined, ...functions] }),
    (_, options) =>
      step(AgentScript.useTool(besides({ name: "a", input: {}, result: Effect.succeed({ content: "b" }) }, options)))
  ],
  ["AgentScript.finish", all(bad.TurnResult), (_, options) => step(AgentScript.finish(options))],
  ["AgentScript.log", { level: words }, (_, { level }) => step(AgentScript.log("a", level))],
  ["AgentScript.message", { message: wholes }, (_, { message }) => step(AgentScript.message(message))],
  [
    "AgentScript.languageModel",
    all(bad.LanguageModelOptions, { toolkit: functions.slice(0, 3) }),
    (_, options) => AgentScript.languageModel(options)
  ],
  [
    "FaultProxy.make",
    all(bad.FaultProxyOptions),
    (_, options) => Effect.scoped(FaultProxy.make(besides({ target: "http://ash.test" }, options)))
  ],
  ["FaultProxy.random", all(bad.RandomOptions), (_, options) => FaultProxy.random(besides({ seed: 1 }, options))]
]

/** What becomes of a call, in a word. */
const wordOf = (exit: Exit.Exit<unknown, unknown>) => {
  if (Exit.isSuccess(exit)) return "accepted"
  const squashed = Cause.squash(exit.cause)
  const error = Cause.isUnknownError(squashed) ? squashed.cause : squashed
  if (Cause.hasDies(exit.cause)) return `a defect: ${error}`
  if (error instanceof Workflow.SettingsRefused) return error.setting
  if (AiError.isAiError(error)) {
    return error.reason._tag === "InvalidRequestError" ? error.reason.parameter : error.reason._tag
  }
  if (error instanceof AshError) return error.reason._tag === "InvalidRequest" ? error.reason.field : error.reason._tag
  const said = Predicate.hasProperty(error, "message") ? String(error.message) : ""
  return /^AgentScript\.\w+: (\S+) must be /.exec(said)?.[1] ?? String(error)
}

describe("options that are none", () => {
  const testRuns = Workflow.AshWorkflow.layerTest().pipe(Layer.provide(AshEmbedded.layer()))

  it.live.each(entries)(
    "are refused by their names, before anything is sent: %s",
    ([, bad, call]) => {
      const server = Server.make(Server.json({}))
      return Effect.gen(function*() {
        const ash = yield* Root.AshClient
        for (const [field, given] of casesOf(bad)) {
          const exit = yield* Effect.exit(Effect.suspend(() => run(call(ash, given))))
          const names = field === "" ? ["", "options"] : [field]
          assert.include(names, wordOf(exit), `${field}: ${String(given)} ${JSON.stringify(given)}`)
          assert.deepStrictEqual(server.requests, [], field)
        }
      }).pipe(Effect.provide([server.layer, testRuns]))
    }
  )

  it.effect("are refused where a header cannot be sent", () =>
    Effect.gen(function*() {
      const { layer, requests } = Server.make(Server.json({}))
      const { agents } = yield* Effect.provide(Root.AshClient, layer)
      for (const value of ["a\r\nb", null, 5]) {
        const call = given({ headers: { "x-a": value } } as never)(agents.list())
        assert.strictEqual(wordOf(yield* Effect.exit(call)), "x-a")
      }
      assert.deepStrictEqual(requests, [])
    }))

  it.effect("are refused where a key is none that is asked for before a request", () =>
    Effect.gen(function*() {
      for (const key of ["key", ...keys]) {
        const { layer, requests } = Server.make(Server.json({}), { apiKey: Effect.succeed(key) as never })
        const exit = yield* Effect.exit(Effect.provide(Effect.flatMap(Root.Agents, ({ list }) => list()), layer))
        assert.strictEqual(wordOf(exit), "apiKey")
        assert.deepStrictEqual(requests, [])
      }
    }))

  it.effect("are told with what is taken", () =>
    Effect.gen(function*() {
      const { layer } = Server.make(Server.json({}))
      const { sessions } = yield* Effect.provide(Root.AshClient, layer)
      const handle = sessions.attach(id, { recovery: "always" as "none" })
      assert.strictEqual(
        (yield* Effect.flip(handle.ask("Hello!"))).reason.message,
        "recovery must be \"none\" or \"restart\""
      )
    }))
})

describe("the options of the public types", () => {
  const root = resolve(import.meta.dirname, "../../api")
  const isOption =
    /^(?:\w+(?:Options|OptionsInput|Limits|Timeouts|Settings|Callbacks|Query)|ClusterName|EmbeddedAgent|Quirks|TurnResult|WithAgents)$/

  /** The options that each interface declares. Those of a transport are the package's own. */
  const declared = new Map(
    readdirSync(root).filter((file) => file !== "unexported.txt").flatMap((file) =>
      [...readFileSync(join(root, file), "utf8").matchAll(/^export interface (\w+)[^{]* \{\n([^]*?)^\}/gm)].map((
        [, name = "", body = ""]
      ) => [name, [...body.matchAll(/^ {4}readonly (\w+)/gm)].map(([, field]) => field)] as const)
    ).filter(([name, fields]) => isOption.test(name) && !name.endsWith("TransportOptions") && fields.length > 0)
  )

  it.each([...declared])("are all tried: %s", (name, fields) => {
    assert.containsAllKeys(bad, [name])
    assert.sameMembers(Object.keys(bad[name as keyof typeof bad]), fields)
  })
})
