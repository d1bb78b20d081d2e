/** The operations of the contract are the methods of the services. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { AshApiClient } from "../../src/client/AshApiClient.ts"
import * as Ash from "../../src/layers/Ash.ts"
import { AshApi } from "../../src/schema/AshApi.ts"
import { AshError } from "../../src/schema/AshError.ts"
import { HostedApi } from "../../src/schema/HostedApi.ts"
import type { Operation } from "../../src/schema/Operation.ts"
import { AshClient } from "../../src/services/AshClient.ts"
import { sessionId } from "../support/fixtures.ts"
import * as Server from "../support/ScriptedServer.ts"

const operationsOf = (api: AshApiClient["Service"]): ReadonlyArray<Operation> =>
  Object.entries(api).filter(([name]) => name !== "server").map(([, group]) => group).flatMap((group: object) =>
    Object.values(group).map((method: { readonly operation: Operation }) => method.operation)
  )

const serviceOf = (name: string) => `${name.slice(0, 1).toLowerCase()}${name.slice(1)}`

describe("operations", () => {
  const layer = Ash.layer({ url: "http://localhost:4100" })

  it.effect("are named after methods that a program can call", () =>
    Effect.gen(function*() {
      const services: object = yield* AshClient
      const operations = operationsOf(yield* AshApiClient)
      assert.isAbove(operations.length, 70)
      const absent = operations.map(({ name }) => name).filter((name) => {
        const [service = "", method = ""] = name.split(".")
        const methods = Predicate.hasProperty(services, serviceOf(service)) ? services[serviceOf(service)] : undefined
        return !(Predicate.hasProperty(methods, method) && Predicate.isFunction(methods[method]))
      })
      // One that several methods call, which name its failures, and one of the low-level client only.
      assert.deepStrictEqual(absent, ["Credentials.create", "Meta.dashboardConfig"])
      assert.lengthOf(new Set(operations.map(({ name }) => name)), operations.length)
    }).pipe(Effect.provide(layer)))

  it.effect("name their failures, whatever failed within them", () => {
    const server = Server.make(Server.json({ error: "not there" }, 404), { whenRateLimited: "fail" })
    const key = Redacted.make("key")
    const all = {
      accessKeyId: key,
      agent: "demo",
      agentName: "demo",
      content: new Uint8Array([1]),
      filename: "a",
      humanScore: 1,
      label: "a",
      olderThan: "1 hour",
      name: "demo",
      prompt: "x",
      question: "x",
      region: "x",
      secretAccessKey: key
    }
    const inputs = [sessionId, "demo", {}, all, all.content, key, [{ path: "a", content: "x", question: "x" }]]
    return Effect.gen(function*() {
      const services: object = yield* AshClient
      const found = new Set<string>()
      const unseen: Array<string> = []
      for (const [service, methods] of Object.entries(services) as ReadonlyArray<[string, object]>) {
        for (const [method, call] of Object.entries(methods)) {
          const name = `${service.slice(0, 1).toUpperCase()}${service.slice(1)}.${method}`
          // What is no effect at once, or reports failures as results.
          if (!Predicate.isFunction(call) || /attach$|batch|scoped/.test(name)) continue
          for (const [one, two] of inputs.flatMap((one) => inputs.map((two) => [one, two]))) {
            const called: Effect.Effect<unknown, unknown> | Stream.Stream<unknown, unknown> = call(
              one,
              two,
              /exec|score|send|update|watch|write/.test(name) ? all : sessionId
            )
            const run = Stream.isStream(called) ? Stream.runDrain(called) : called
            const error = Option.getOrUndefined(Exit.findErrorOption(yield* Effect.exit(Effect.scoped(run))))
            if (!(error instanceof AshError)) continue
            assert.strictEqual(error.operation, name, String(error))
            if (error.reason._tag === "NotFound" || error.reason._tag === "NotSupported") found.add(name)
          }
          if (!found.has(name)) unseen.push(name)
        }
      }
      assert.deepStrictEqual(unseen, [])
    }).pipe(Effect.provide(server.layer))
  })

  it.effect("that are not to be repeated, that take long, and that have a rate limit", () =>
    Effect.gen(function*() {
      const operations = operationsOf(yield* AshApiClient)
      const named = (is: (operation: Operation) => boolean) => operations.filter(is).map(({ name }) => name).toSorted()
      assert.deepStrictEqual(named(({ repetition }) => repetition === "repeats"), [
        "AgentVersions.create",
        "Agents.create",
        "ApiKeys.create",
        "Attachments.upload",
        "Credentials.create",
        "Evals.createCase",
        "Evals.importCases",
        "Evals.startRun",
        "Messages.send",
        "ProjectFiles.create",
        "QueueItems.cancel",
        "QueueItems.enqueue",
        "Sessions.create",
        "Sessions.exec",
        "Sessions.fork",
        "Sessions.pause",
        "Sessions.stop"
      ])
      assert.deepStrictEqual(named(({ startsTurn }) => startsTurn), ["Messages.send"])
      assert.deepStrictEqual(named(({ rateLimit }) => rateLimit !== undefined), ["Agents.create", "Sessions.create"])
      assert.deepStrictEqual(named(({ timeLimit }) => Duration.toMinutes(timeLimit) > 1), [
        "Agents.create",
        "SessionFiles.write",
        "Sessions.create",
        "Sessions.fork",
        "Sessions.resume",
        "Workspaces.download",
        "Workspaces.upload"
      ])
    }).pipe(Effect.provide(layer)))

  it("are answered in one shape each, whatever the status, as the first is read for all", () => {
    const endpoints = [...Object.values(AshApi.groups), ...Object.values(HostedApi.groups)].flatMap(({ endpoints }) =>
      Object.values(endpoints)
    )
    const several = endpoints.filter(({ success }) => success.size > 1)
    assert.isNotEmpty(several)
    for (const { identifier, success } of several) {
      const shapes = [...success].map((schema) => JSON.stringify(Schema.toJsonSchemaDocument(schema)))
      assert.lengthOf(new Set(shapes), 1, identifier)
    }
  })
})
