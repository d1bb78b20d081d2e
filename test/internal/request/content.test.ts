import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { runInNewContext } from "node:vm"
import { pack } from "../../../src/internal/files/bundle.ts"
import { type FileContent, gather } from "../../../src/internal/request/content.ts"
import type { AshError } from "../../../src/schema/AshError.ts"
import { AshClient } from "../../../src/services/AshClient.ts"
import { session, sessionId } from "../../support/fixtures.ts"
import * as Server from "../../support/ScriptedServer.ts"

/** The bytes 1, 2 and 3 in every form that bytes have, each with others around it in its memory where it is a part. */
const forms: Record<string, unknown> = {
  Uint8Array: new Uint8Array([1, 2, 3]),
  "a part of a Uint8Array": new Uint8Array([9, 1, 2, 3, 9]).subarray(1, 4),
  Buffer: Buffer.from([1, 2, 3]),
  Int8Array: new Int8Array([1, 2, 3]),
  Uint8ClampedArray: new Uint8ClampedArray([1, 2, 3]),
  DataView: new DataView(new Uint8Array([9, 1, 2, 3]).buffer, 1),
  ArrayBuffer: new Uint8Array([1, 2, 3]).buffer,
  SharedArrayBuffer: ((shared) => {
    new Uint8Array(shared).set([1, 2, 3])
    return shared
  })(new SharedArrayBuffer(3)),
  "a Uint8Array of another realm": runInNewContext("new Uint8Array([1, 2, 3])"),
  "a DataView of another realm": runInNewContext("new DataView(new Uint8Array([9, 1, 2, 3]).buffer, 1)"),
  "an ArrayBuffer of another realm": runInNewContext("new Uint8Array([1, 2, 3]).buffer"),
  "a SharedArrayBuffer of another realm": runInNewContext(
    "const shared = new SharedArrayBuffer(3); new Uint8Array(shared).set([1, 2, 3]); shared"
  ),
  "an ArrayBuffer by another name": Object.defineProperty(new Uint8Array([1, 2, 3]).buffer, Symbol.toStringTag, {
    value: "Blob"
  }),
  "a stream": Stream.make(new Uint8Array([1]), runInNewContext("new Uint8Array([2, 3])"))
}

const detached = new Uint8Array([1, 2, 3])
structuredClone(detached.buffer, { transfer: [detached.buffer] })

const hostile = () => {
  throw new Error("geheim")
}

const revoked = Proxy.revocable({}, {})
revoked.revoke()

/** What is no content. */
const others: Record<string, unknown> = {
  Blob: new Blob(["x"]),
  "a list": [1, 2, 3],
  null: null,
  undefined,
  "a number": 7,
  "an object": { length: 3 },
  "a Proxy that throws": new Proxy({}, {
    get() {
      throw new Error("geheim")
    }
  }),
  "a Proxy that throws for everything": new Proxy({}, {
    get: hostile,
    getPrototypeOf: hostile,
    getOwnPropertyDescriptor: hostile,
    has: hostile,
    ownKeys: hostile
  }),
  "a revoked Proxy": revoked.proxy,
  ...Object.fromEntries(["ArrayBuffer", "SharedArrayBuffer", "Uint8Array"].flatMap((name) => [
    [`what is called ${name}`, { [Symbol.toStringTag]: name, length: 4e9, byteLength: 3 }],
    [`what comes of ${name}`, Object.create(Reflect.get(globalThis, name).prototype)]
  ])),
  "a stream of something else": Stream.make("x"),
  "half of a character": "a\ud800b"
}

const invalidField = (error: AshError) =>
  error.reason._tag === "InvalidRequest" ? error.reason.field : error.reason._tag

const given = (value: unknown) => value as FileContent

const blockOf = (data: unknown) => ({
  type: "image" as const,
  source: { type: "base64" as const, media_type: "image/png", data: data as Uint8Array }
})

const answers = Server.forTurns(({ method, path }) =>
  path.endsWith("/messages")
    ? Server.sse(Server.frames(["done", { sessionId }]))()
    : path.endsWith("/files") && path.includes("agents")
    ? Server.json({ written: 1 })()
    : Server.json({ session, files: [], message: "x", method })()
)

const places: Record<string, (ash: AshClient["Service"], content: unknown) => Effect.Effect<unknown, AshError>> = {
  "SessionFiles.write": (ash, content) => ash.sessionFiles.write(sessionId, [{ path: "a", content: given(content) }]),
  "Workspaces.upload": (ash, content) => ash.workspaces.upload(sessionId, content as Uint8Array),
  "Agents.writeFiles": (ash, content) => ash.agents.writeFiles("demo", [{ path: "a", content: content as Uint8Array }]),
  "Messages.send": (ash, data) => Stream.runDrain(ash.messages.send(sessionId, [blockOf(data), blockOf(data)]))
}

describe("content", () => {
  it.effect.each(Object.entries(forms))(
    "%s is taken",
    ([, content]) =>
      Effect.map(gather("x", given(content), "content", 3), (bytes) => {
        assert.deepStrictEqual([...bytes], [1, 2, 3])
        assert.instanceOf(bytes, Uint8Array)
      })
  )

  it.effect.each(Object.entries(others))(
    "%s is refused by its field",
    ([, content]) =>
      Effect.map(Effect.flip(gather("x", given(content), "content", 3)), (error) => {
        assert.strictEqual(invalidField(error), "content")
        assert.notInclude(error.message, "geheim")
      })
  )

  it.effect("is refused beyond its limit", () =>
    Effect.gen(function*() {
      for (const content of Object.values(forms)) {
        assert.include((yield* Effect.flip(gather("x", given(content), "content", 2))).message, "at most 2 bytes")
      }
    }))

  for (const [place, send] of Object.entries(places)) {
    it.effect.each(Object.entries(forms).filter(([name]) => name !== "a stream"))(
      `%s arrives through ${place}`,
      ([, content]) =>
        Effect.gen(function*() {
          yield* send(yield* AshClient, content)
          assert.include(answers.requests.at(-1)?.body, "\"AQID\"")
        }).pipe(Effect.provide(answers.layer))
    )

    it.effect.each(Object.entries(others).filter(([name]) => name !== "a stream of something else"))(
      `%s is refused typed by ${place}, and nothing is sent`,
      ([, content]) =>
        Effect.gen(function*() {
          const ash = yield* AshClient
          const before = answers.requests.length
          const error = yield* Effect.flip(send(ash, content))
          assert.match(String(invalidField(error)), /content|bundle/)
          assert.strictEqual(answers.requests.length, before)
        }).pipe(Effect.provide(answers.layer))
    )
  }

  it.effect("a detached view is taken as empty or refused, and is no defect", () =>
    Effect.map(
      Effect.exit(gather("x", detached, "content", 3)),
      (exit) => assert.notInclude(JSON.stringify(exit), "Die")
    ))

  const lists: Record<string, (ash: AshClient["Service"], files: never) => Effect.Effect<unknown, AshError>> = {
    "SessionFiles.write": (ash, files) => ash.sessionFiles.write(sessionId, files),
    "Agents.writeFiles": (ash, files) => ash.agents.writeFiles("demo", files),
    "Agents.create": (ash, files) => ash.agents.create({ name: "demo", files }),
    "Bundle.pack": (_, files) => pack(files)
  }
  const whole = { path: "a", content: "x" }
  const noFiles: ReadonlyArray<readonly [field: string, files: unknown]> = [
    ...[7, {}, whole, Symbol("x"), () => [], new Map()].map((files) => ["files", files] as const),
    ...[null, undefined, 7, "a", Symbol("x")].map((file) => ["files[1]", [whole, file]] as const),
    ...[null, undefined, 7, {}, ["a"], "", "..", "\ud800"].map((path) =>
      ["files[1].path", [whole, { path, content: "x" }]] as const
    ),
    ["files[1]", [whole, []]],
    ["files[1].path", [whole, { content: "x" }]],
    ["files[1].content", [whole, { path: "a" }]]
  ]

  it.effect.each(Object.entries(lists))(
    "what is no list of files is refused by its place through %s",
    ([, send]) =>
      Effect.gen(function*() {
        const ash = yield* AshClient
        const before = answers.requests.length
        for (const [field, files] of noFiles) {
          assert.strictEqual(invalidField(yield* Effect.flip(send(ash, files as never))), field)
        }
        assert.strictEqual(answers.requests.length, before)
      }).pipe(Effect.provide(answers.layer))
  )

  it.effect("the files of a bundle are taken and refused alike", () =>
    Effect.gen(function*() {
      yield* pack([{ path: "a", content: runInNewContext("new Uint8Array([1])") as Uint8Array }])
      const error = yield* Effect.flip(pack([{ path: "a", content: "x" }, { path: "b", content: "\udc00" }]))
      assert.strictEqual(invalidField(error), "files[1].content")
    }))
})
