import { assert, describe, it } from "@effect/vitest"
import { DefaultChatTransport, readUIMessageStream, type UIMessage, type UIMessageChunk } from "ai"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as AgentScript from "../../src/embedded/AgentScript.ts"
import * as EmbeddedServer from "../../src/embedded/EmbeddedServer.ts"
import * as FaultProxy from "../../src/embedded/FaultProxy.ts"
import * as Ash from "../../src/layers/Ash.ts"
import * as AshEmbedded from "../../src/layers/AshEmbedded.ts"
import * as AshNode from "../../src/layers/AshNode.ts"
import { Agents } from "../../src/services/Agents.ts"
import { Attachments } from "../../src/services/Attachments.ts"
import { Sessions } from "../../src/services/Sessions.ts"
import { WebChat } from "../../src/web.ts"
import { noSession, result, session, sessionId, storedMessage } from "../support/fixtures.ts"
import * as Server from "../support/ScriptedServer.ts"
import * as Turns from "../support/turns.ts"

const user = (text: string): UIMessage => ({ id: `user-${text}`, role: "user", parts: [{ type: "text", text }] })

const asUser = (name: string) => ({ headers: { authorization: name } })

/** A page: the transport of `useChat`, over the handler. */
const pageOf = (handler: (request: Request) => Promise<Response>, name = "ada") => {
  const transport = new DefaultChatTransport({
    api: "http://page.test/api/chat",
    ...asUser(name),
    fetch: (input, init) => handler(new Request(input, init))
  })
  const send = (chatId: string, text: string, abortSignal?: AbortSignal) =>
    transport.sendMessages({
      chatId,
      messages: [user("before"), user(text)],
      trigger: "submit-message",
      messageId: undefined,
      abortSignal
    })
  return { send, resume: (chatId: string) => transport.reconnectToStream({ chatId }) }
}

/** The message that a page makes of a stream. */
const messageOf = async (stream: Awaited<ReturnType<ReturnType<typeof pageOf>["send"]>>) => {
  let last: UIMessage | undefined
  for await (const message of readUIMessageStream({ stream, terminateOnError: true })) last = message
  return last
}

const chunksOf = async (stream: Awaited<ReturnType<ReturnType<typeof pageOf>["send"]>>) => {
  const chunks: Array<UIMessageChunk> = []
  for await (const chunk of stream) chunks.push(chunk)
  return chunks
}

const body = { id: "a", messages: [user("Hello")], trigger: "submit-message" }

const postOf = (sent: unknown, headers: Record<string, string> = {}, signal?: AbortSignal) =>
  new Request("http://page.test/api/chat", {
    method: "POST",
    headers: { "content-type": "application/json", authorization: "ada", ...headers },
    body: typeof sent === "string" ? sent : JSON.stringify(sent),
    ...(signal !== undefined && { signal })
  })

const get = (handler: (request: Request) => Promise<Response>, path: string, name = "ada") =>
  handler(new Request(`http://page.test/api/chat/${path}`, asUser(name)))

const textOf = (message: UIMessage | undefined) =>
  message?.parts.flatMap((part) => part.type === "text" ? [part.text] : []).join("\n\n")

const echo: AgentScript.AgentScript = ({ prompt }) => Stream.make(AgentScript.say(`You wrote: ${prompt}`))

type Settings = Omit<Partial<Parameters<typeof WebChat.toWebHandler>[0]>, "session">

/** A chat over an embedded server, whose sessions the test can see. */
const withChat = async (
  script: AgentScript.AgentScript,
  settings: Settings,
  test: (
    handler: (request: Request) => Promise<Response>,
    statuses: () => Promise<ReadonlyArray<string>>,
    endAll: () => Promise<void>
  ) => Promise<void>
) => {
  await Effect.runPromise(
    Effect.scoped(Effect.gen(function*() {
      const context = yield* Effect.context<Sessions>()
      const sessions = yield* Sessions
      const { dispose, handler } = WebChat.toWebHandler(
        {
          session: { agent: "helper" },
          authorize: (request) => {
            const name = request.headers.get("authorization")
            if (name === "throw") throw new Error("no connection to the database of users")
            return name ?? undefined
          },
          ...settings
        },
        Layer.succeedContext(context)
      )
      const statuses = () => Effect.runPromise(Effect.map(sessions.list(), (all) => all.map(({ status }) => status)))
      const endAll = () =>
        Effect.runPromise(
          Effect.flatMap(sessions.list(), (all) => Effect.forEach(all, ({ id }) => sessions.end(id), { discard: true }))
        )
      yield* Effect.promise(() => test(handler, statuses, endAll).finally(dispose))
      assert.notInclude(yield* Effect.promise(statuses), "active")
    })).pipe(
      Effect.provide(AshEmbedded.layer({ agents: { helper: { script } }, quirks: { content: "intact" } }))
    )
  )
}

describe("a chat", () => {
  it("has its sessions used as it is told, such as with a label to find them by when the process was killed", () =>
    Effect.runPromise(
      Effect.gen(function*() {
        const { dispose, handler } = WebChat.toWebHandler(
          { session: { agent: "helper" }, handle: { label: "chat" }, authorize: () => "ada" },
          Layer.succeedContext(yield* Effect.context<Sessions>())
        )
        yield* Effect.promise(() => handler(postOf(body)).then((response) => response.text()))
        const [session] = yield* (yield* Sessions).list()
        const attachments = yield* (yield* Attachments).list(session?.id ?? "")
        assert.deepStrictEqual(attachments.map(({ filename }) => filename), ["chat"])
        yield* Effect.promise(dispose)
      }).pipe(Effect.provide(AshEmbedded.layer({ agents: { helper: { script: echo } } })))
    ))

  it("answers a turn as the page's own message, and keeps one session for its id", () =>
    withChat(echo, {}, async (handler, statuses) => {
      const { send } = pageOf(handler)
      const message = await messageOf(await send("a", "Hello"))
      assert.strictEqual(textOf(message), "You wrote: Hello")
      assert.strictEqual(Object(message?.metadata).outcome, "Success")
      assert.strictEqual(textOf(await messageOf(await send("a", "Again"))), "You wrote: Again")
      assert.deepStrictEqual(await statuses(), ["active"])
      await messageOf(await send("b", "Hello"))
      assert.deepStrictEqual(await statuses(), ["active", "active"])
    }))

  it("shows tools as they run, and the text around them as parts of their own", () =>
    withChat(
      () =>
        Stream.make(
          AgentScript.say("I look."),
          AgentScript.useTool({
            name: "Read",
            input: { path: "a" },
            result: Effect.succeed({ content: "what is in it" })
          }),
          AgentScript.useTool({
            name: "Bash",
            input: { command: "no" },
            result: Effect.succeed({ content: "not found", isError: true })
          }),
          AgentScript.say("There it is.")
        ),
      {},
      async (handler) => {
        const message = await messageOf(await pageOf(handler).send("a", "Hello"))
        assert.deepStrictEqual(
          message?.parts.map((part) => "toolName" in part ? `${part.toolName} ${part.state}` : part.type),
          ["text", "Read output-available", "Bash output-error", "text"]
        )
      }
    ))
})

/** It says a word, tells that it did, and works until it is cut off, of which it tells as well. */
const makeEndless = () => {
  const begun = Deferred.makeUnsafe<void>()
  const cut = Deferred.makeUnsafe<void>()
  const go = Deferred.makeUnsafe<void>()
  const script: AgentScript.AgentScript = () =>
    Stream.make(AgentScript.say("I begin.")).pipe(
      Stream.concat(Stream.fromEffectDrain(Deferred.succeed(begun, undefined))),
      Stream.concat(Stream.fromEffect(Effect.as(Deferred.await(go), AgentScript.say("I am done.")))),
      Stream.onExit((exit) => exit._tag === "Failure" ? Deferred.succeed(cut, undefined) : Effect.void)
    )
  const wait = (deferred: Deferred.Deferred<void>) => Effect.runPromise(Deferred.await(deferred))
  return {
    script,
    begun: () => wait(begun),
    cut: () => wait(cut),
    finish: () => Effect.runSync(Deferred.succeed(go, undefined))
  }
}

describe("a page that leaves", () => {
  it("stops the turn, where nothing else reads it; the chat goes on", async () => {
    const { cut, finish, script } = makeEndless()
    await withChat(script, {}, async (handler) => {
      const { send } = pageOf(handler)
      const leaving = new AbortController()
      const reader = (await send("a", "Hello", leaving.signal)).getReader()
      await reader.read()
      await reader.read()
      leaving.abort()
      await reader.cancel()
      await cut()
      finish()
      assert.include(textOf(await messageOf(await send("a", "Again"))), "I am done.")
    })
  })

  it("leaves the turn running where it may, for a page that comes back, which reads it from its start", async () => {
    const { begun, finish, script } = makeEndless()
    await withChat(script, { whenLeft: "detach" }, async (handler) => {
      const { resume, send } = pageOf(handler)
      const reader = (await send("a", "Hello")).getReader()
      await begun()
      await reader.cancel()
      const back = await resume("a")
      finish()
      assert.isNotNull(back)
      assert.strictEqual(textOf(back === null ? undefined : await messageOf(back)), "I begin.I am done.")
      assert.isNull(await resume("a"))
    })
  })

  it("can have it stopped by another page of the chat, with what waits behind it", async () => {
    const { begun, cut, script } = makeEndless()
    await withChat(script, { whenLeft: "detach" }, async (handler) => {
      const { send } = pageOf(handler)
      const turns = [chunksOf(await send("a", "Hello")), chunksOf(await send("a", "Again"))]
      await begun()
      const { status } = await handler(
        new Request("http://page.test/api/chat/a/stream", { method: "DELETE", ...asUser("ada") })
      )
      await cut()
      assert.strictEqual(status, 204)
      for (const turn of turns) assert.strictEqual((await turn).at(-1)?.type, "abort")
    })
  })

  it.each(["cancel", "detach"] as const)(
    "can have it stopped while the session of the chat opens, and the chat goes on: %s",
    async (whenLeft) => {
      const asked = Deferred.makeUnsafe<void>()
      const opened = Deferred.makeUnsafe<Response>()
      const server = Server.make(({ method, path }) => {
        if (path === "/api/sessions") return Effect.andThen(Deferred.succeed(asked, undefined), Deferred.await(opened))
        if (!path.endsWith("/messages")) return Server.json({ session })()
        return method === "POST" && !path.includes(noSession)
          ? Server.sse(Server.frames(["message", result], ["done", { sessionId }]))()
          : Server.json({ error: "Session not found" }, 404)()
      })
      const { dispose, handler } = WebChat.toWebHandler(
        { session: { agent: "demo" }, authorize: () => "ada", whenLeft, maxTurns: 1 },
        Layer.orDie(server.layer)
      )
      const { resume, send } = pageOf(handler)
      const turn = send("a", "Hello").then(chunksOf)
      await Effect.runPromise(Deferred.await(asked))
      const stopped = handler(new Request("http://page.test/api/chat/a/stream", { method: "DELETE", ...asUser("ada") }))
      await Effect.runPromise(Deferred.succeed(opened, Server.json({ session }, 201)()))
      assert.strictEqual((await stopped).status, 204)
      assert.strictEqual((await turn).at(-1)?.type, "abort")
      assert.isNull(await resume("a"))
      assert.strictEqual((await chunksOf(await send("a", "Again"))).at(-1)?.type, "finish")
      await dispose()
    }
  )

  it("before it reads anything stops the turn as well", async () => {
    const { begun, cut, script } = makeEndless()
    await withChat(script, {}, async (handler) => {
      const leaving = new AbortController()
      const response = await handler(postOf({ ...body, id: "a" }, {}, leaving.signal))
      assert.strictEqual(response.status, 200)
      await begun()
      leaving.abort()
      await cut()
    })
  })

  it("and never reads its answer leaves a turn that ends, and a chat that goes on", async () => {
    const { begun, finish, script } = makeEndless()
    await withChat(script, {}, async (handler) => {
      const unread = await handler(postOf({ ...body, id: "a" }))
      await begun()
      finish()
      assert.include(textOf(await messageOf(await pageOf(handler).send("a", "Again"))), "I am done.")
      await unread.body?.cancel()
    })
  })

  it("keeps its session until the turn is over, which is then not used any more", async () => {
    const { begun, finish, script } = makeEndless()
    await withChat(script, { whenLeft: "detach", idleTimeToLive: 0 }, async (handler, statuses) => {
      const { resume, send } = pageOf(handler)
      const reader = (await send("a", "Hello")).getReader()
      await begun()
      await reader.cancel()
      await (await get(handler, "a")).json()
      const back = await resume("a")
      assert.deepStrictEqual(await statuses(), ["active"])
      finish()
      assert.strictEqual(textOf(back === null ? undefined : await messageOf(back)), "I begin.I am done.")
      while ((await statuses())[0] !== "ended") await new Promise((resolve) => setImmediate(resolve))
    })
  })

  it("loses its turn with the handler, whose sessions end", async () => {
    const { begun, cut, script } = makeEndless()
    let turn: Promise<ReadonlyArray<UIMessageChunk>> | undefined
    await withChat(script, {}, async (handler) => {
      turn = chunksOf(await pageOf(handler).send("a", "Hello"))
      await begun()
    })
    await cut()
    assert.strictEqual((await turn)?.at(-1)?.type, "abort")
  })
})

describe("a message that arrives while a turn is stopped, as the chats end,", () => {
  it("has its end, too", async () => {
    const free = Latch.makeUnsafe()
    const server = Server.forTurns(({ path }) => {
      if (path.endsWith("/stop")) return Effect.map(free.await, () => Server.json({ session })())
      return path.includes("/messages")
        ? Server.endless(Server.frames(Turns.start, Turns.init))()
        : Server.json({ session }, 201)()
    })
    const { dispose, handler } = WebChat.toWebHandler(
      { session: { agent: "demo" }, authorize: () => "ada" },
      Layer.orDie(server.layer)
    )
    const page = pageOf(handler)
    const first = await page.send("a", "one")
    const disposed = dispose()
    const second = await page.send("a", "two")
    Effect.runSync(free.open)
    assert.deepStrictEqual((await chunksOf(first)).at(-1), { type: "abort" })
    assert.deepStrictEqual(await chunksOf(second), [{ type: "abort" }])
    await disposed
  })
})

describe("a turn whose session is gone", () => {
  it("has its end before that of the session", async () => {
    const free = Latch.makeUnsafe()
    let isOver = false
    const over = Effect.sync(() => {
      isOver = true
    })
    const server = Server.forTurns(({ method, path }) => {
      if (method === "DELETE") return Effect.map(Effect.ensuring(free.await, over), () => Server.json({ session })())
      return path.includes("/messages")
        ? Server.json({ error: "Session not found" }, 404)()
        : Server.json({ session }, 201)()
    })
    const { dispose, handler } = WebChat.toWebHandler(
      { session: { agent: "demo" }, authorize: () => "ada" },
      Layer.orDie(server.layer)
    )
    const chunks = await chunksOf(await pageOf(handler).send("a", "one"))
    assert.strictEqual(chunks.at(-1)?.type, "error")
    assert.isFalse(isOver)
    Effect.runSync(free.open)
    await dispose()
  })
})

describe("two pages on one chat", () => {
  it("take their turns in order", () =>
    withChat(echo, {}, async (handler) => {
      const [first, second] = [pageOf(handler), pageOf(handler)]
      const turns = await Promise.all([first.send("a", "one"), second.send("a", "two")])
      assert.deepStrictEqual(await Promise.all(turns.map(async (turn) => textOf(await messageOf(turn)))), [
        "You wrote: one",
        "You wrote: two"
      ])
    }))
})

describe("the history", () => {
  it("is that of the chat, of its user alone", () =>
    withChat(echo, {}, async (handler) => {
      await messageOf(await pageOf(handler).send("a", "Hello"))
      const messages: ReadonlyArray<UIMessage> = await (await get(handler, "a")).json()
      assert.deepStrictEqual(messages.map((message) => [message.role, textOf(message)]), [
        ["user", "Hello"],
        ["assistant", "You wrote: Hello"]
      ])
      assert.deepStrictEqual(await (await get(handler, "a", "eve")).json(), [])
      assert.deepStrictEqual(await (await get(handler, "b")).json(), [])
    }))

  it("has the files of a prompt, while its turn runs as well as later", async () => {
    const { begun, finish, script } = makeEndless()
    const table = {
      mediaType: "text/plain",
      url: "data:text/plain;charset=utf-8;base64,w6Qs8J+YgA==",
      filename: "a.csv"
    }
    const prompts: ReadonlyArray<UIMessage["parts"]> = [
      [{ type: "file", mediaType: "image/png", url: "data:image/png;base64,AAAA" }],
      [
        { type: "file", ...table },
        { type: "file", mediaType: "image/*", url: "https://page.test/a.png" },
        { type: "file", mediaType: "application/pdf", url: "https://page.test/a.pdf", filename: "a b.pdf" },
        { type: "text", text: "Look", state: "done" }
      ]
    ]
    await withChat(script, { maxTurns: prompts.length }, async (handler) => {
      const read = async () => {
        const messages: ReadonlyArray<UIMessage> = await (await get(handler, "a")).json()
        return messages.flatMap(({ parts, role }) => role === "user" ? [parts] : [])
      }
      const turns: Array<Promise<string>> = []
      for (const parts of prompts) {
        turns.push((await handler(postOf({ ...body, messages: [{ role: "user", parts }] }))).text())
      }
      await begun()
      assert.deepStrictEqual(await read(), prompts)
      finish()
      await Promise.all(turns)
      assert.deepStrictEqual(await read(), prompts)
    })
  })

  it("is there where an input of a tool is nested too deep to be written", async () => {
    const input = "[".repeat(50_000) + "]".repeat(50_000)
    const call = `{"type":"tool_use","id":"t","name":"Read","input":${input}}`
    const content = `{"type":"assistant","message":{"content":[${call},{"type":"text","text":"Done."}]}}`
    const server = Server.make(({ method, path }) => {
      if (!path.includes("/messages")) return Server.json({ session }, method === "POST" ? 201 : 200)()
      if (method === "POST") return Server.sse(Server.frames(["message", result], ["done", { sessionId }]))()
      const messages = path.includes("after=0") ? [storedMessage(1, "assistant", content)] : []
      return Server.json({ messages })()
    })
    const { dispose, handler } = WebChat.toWebHandler(
      { session: { agent: "demo" }, authorize: () => "ada" },
      Layer.orDie(server.layer)
    )
    await messageOf(await pageOf(handler).send("a", "Hello"))
    const answer = await get(handler, "a")
    assert.strictEqual(answer.status, 200)
    const [message]: ReadonlyArray<UIMessage> = await answer.json()
    assert.strictEqual(textOf(message), "Done.")
    await dispose()
  })

  it("has of what runs and waits the prompts alone: a page reads the turns", async () => {
    const { begun, finish, script } = makeEndless()
    const answering: AgentScript.AgentScript = (turn) => turn.prompt === "Hello" ? echo(turn) : script(turn)
    await withChat(answering, {}, async (handler) => {
      const { resume, send } = pageOf(handler)
      const read = async () => {
        const messages: ReadonlyArray<UIMessage> = await (await get(handler, "a")).json()
        assert.strictEqual(new Set(messages.map(({ id }) => id)).size, messages.length)
        return messages.map(textOf)
      }
      await messageOf(await send("a", "Hello"))
      const turns = [await send("a", "Work"), await send("a", "Wait")]
      await begun()
      const back = await resume("a")
      const { value } = await back!.getReader().read()
      assert.strictEqual(value?.type, "start")
      assert.deepStrictEqual(await read(), ["Hello", "You wrote: Hello", "Work", "Wait"])
      finish()
      await Promise.all(turns.map(messageOf))
      assert.deepStrictEqual(await read(), [
        "Hello",
        "You wrote: Hello",
        "Work",
        "I begin.\n\nI am done.",
        "Wait",
        "I begin.\n\nI am done."
      ])
    })
  })
})

describe("a user", () => {
  // What programs without types have for nobody, and for what is no id.
  const nobody: ReadonlyArray<unknown> = [undefined, null, "", false, true, 0, 7, NaN, {}, { id: "ada" }, [], ["ada"]]
  it.each(nobody.map((user) => [JSON.stringify(user), user] as const))("that is %s is refused", (_, user) => {
    const authorize = () => {
      const untyped: { readonly user?: string } = JSON.parse(JSON.stringify({ user }))
      return untyped.user
    }
    return withChat(echo, { authorize }, async (handler, statuses) => {
      for (const request of [postOf(body), new Request("http://page.test/api/chat/a")]) {
        assert.strictEqual((await handler(request)).status, 401)
      }
      assert.deepStrictEqual(await statuses(), [])
    })
  })

  it("is asked for once by each request", () => {
    let asked = 0
    const authorize = () => {
      asked += 1
      return "ada"
    }
    return withChat(echo, { authorize }, async (handler) => {
      await messageOf(await pageOf(handler).send("a", "Hello"))
      assert.strictEqual(asked, 1)
      assert.strictEqual((await get(handler, "a")).status, 200)
      assert.strictEqual(asked, 2)
    })
  })
})

describe("a request that is refused", () => {
  const post = async (
    handler: (request: Request) => Promise<Response>,
    sent: unknown,
    headers: Record<string, string> = {}
  ) => {
    const response = await handler(postOf(sent, headers))
    await response.body?.cancel()
    return response.status
  }

  const withParts = (...parts: ReadonlyArray<unknown>) => ({ ...body, messages: [{ role: "user", parts }] })
  const file = (mediaType: string, url: string) => ({ type: "file", mediaType, url })
  const text = (text: string) => ({ type: "text", text })

  const refused: ReadonlyArray<
    readonly [what: string, status: number, sent: unknown, headers: Record<string, string>]
  > = [
    ["no JSON", 400, "{", {}],
    ["another body", 400, { hello: 1 }, {}],
    ["no message", 400, { ...body, messages: [] }, {}],
    ["an answer as the last message", 400, { ...body, messages: [{ role: "assistant", parts: [] }] }, {}],
    ["an empty message", 400, withParts(), {}],
    ["a message with nothing to read", 400, withParts(...["", " ", "\n\t"].map(text)), {}],
    ["a message without parts", 400, { ...body, messages: [{ role: "user", content: "Hello" }] }, {}],
    ["a text that is none", 415, withParts({ type: "text", text: 1 }), {}],
    ...["data:image/png;base64,", "data:image/png,", "data:,"].map((url) =>
      [`an empty file, ${url}`, 415, withParts(text("See"), file("image/png", url)), {}] as const
    ),
    ["an id that is none", 400, { ...body, id: "../a" }, {}],
    ["another type of content", 415, body, { "content-type": "text/plain" }],
    ["a message that replaces one", 409, { ...body, messageId: "user-1" }, {}],
    ["an answer that is to be made again", 409, { ...body, trigger: "regenerate-message" }, {}],
    ["a file that agents do not take", 415, withParts(file("video/mp4", "data:video/mp4;base64,AAAA")), {}],
    ["text that is not sent along", 415, withParts(file("text/plain", "https://page.test/a.txt")), {}],
    ["a file of the machine", 415, withParts(file("image/png", "file:///etc/passwd")), {}],
    ["data that is no base64", 415, withParts(file("image/png", "data:image/png;base64,*")), {}],
    ["21 texts", 413, withParts(...Array.from({ length: 21 }, () => text("a"))), {}],
    ["a text of 500,001 characters", 413, withParts(text("x".repeat(500_001))), {}],
    ["10 MB", 413, withParts({ type: "text", text: "x".repeat(10_000_000) }), {}],
    ["no user", 401, body, { authorization: "" }],
    ["a user of whom nothing can be found out", 401, body, { authorization: "throw" }]
  ]

  it.each(refused)(
    "%s: %i",
    (_, status, sent, headers) =>
      withChat(echo, { maxBodySize: 1_000_000 }, async (handler, statuses) => {
        assert.strictEqual(await post(handler, sent, headers), status)
        assert.deepStrictEqual(await statuses(), [])
      })
  )

  it("a body that its host has read before, and logs why", async () => {
    const logged: Array<unknown> = []
    const logger = Logger.make(({ message }) => logged.push(message))
    const { dispose, handler } = WebChat.toWebHandler(
      { session: { agent: "helper" }, authorize: () => "ada" },
      Layer.provideMerge(AshEmbedded.layer(), Logger.layer([logger]))
    )
    const read = postOf(body)
    await read.text()
    // What servers of Node make of one whose stream a parser has read.
    for (const request of [read, postOf("")]) {
      const response = await handler(request)
      assert.deepStrictEqual([response.status, await response.text()], [400, "The body cannot be read."])
    }
    assert.match(String(logged), /cannot be read:,TypeError.*cannot be read:,it is empty/s)
    await dispose()
  })

  it("no more bytes than a page may send at once, whatever their number: 413", async () => {
    const { length } = JSON.stringify(body)
    const limits = [[length, 200], [length + 0.5, 200], [length - 0.5, 413], [0, 413], [2 ** 53, 200], [Infinity, 200]]
    for (const [maxBodySize, status] of limits) {
      await withChat(echo, { maxBodySize }, async (handler) => assert.strictEqual(await post(handler, body), status))
    }
  })

  it.each(
    [
      ...[NaN, -1].map((maxBodySize) => ["maxBodySize", { maxBodySize }] as const),
      ...[NaN, 0].map((maxChats) => ["maxChats", { maxChats }] as const),
      ...[NaN, 0].map((maxTurns) => ["maxTurns", { maxTurns }] as const),
      ["idleTimeToLive", { idleTimeToLive: NaN }],
      ["keepAlive", { keepAlive: NaN }]
    ] as const
  )(
    "no setting that no chat can be kept by: %s of %o",
    (field, settings) =>
      withChat(echo, settings, async (handler, statuses) => {
        const error = await post(handler, body).then(String, String)
        assert.include(error, `WebChat.layer: ${field} must be a`)
        assert.deepStrictEqual(await statuses(), [])
      })
  )

  it("nothing that is before the new message: pages of every age are answered", () =>
    withChat(echo, {}, async (handler) => {
      const before = [null, 1, "Hello", {}, { role: "tool" }, { role: "user", content: "old" }, {
        role: "user",
        parts: [{}]
      }]
      for (const message of before) {
        assert.strictEqual(await post(handler, { ...body, messages: [message, user("Hello")] }), 200)
        assert.strictEqual(await post(handler, { ...body, messages: [user("Hello"), message] }), 400)
      }
    }))

  it("a blank text beside a file is left out, as models refuse it", async () => {
    const asked: Array<unknown> = []
    const script: AgentScript.AgentScript = (turn) => {
      asked.push(turn.content)
      return echo(turn)
    }
    await withChat(script, {}, async (handler) => {
      const answer = async (...parts: ReadonlyArray<unknown>) => (await handler(postOf(withParts(...parts)))).text()
      const picture = file("image/png", "data:image/png;base64,AAAA")
      for (const blank of ["", " \n"]) {
        for (const parts of [[picture, text(blank)], [text(blank), picture], [text(blank), picture, text(blank)]]) {
          await answer(...parts)
        }
      }
      await answer(text(""), text(" a "), text(" "))
    })
    const block = { type: "image", source: { type: "base64", media_type: "image/png", data: "AAAA" } }
    assert.deepStrictEqual(asked, [...Array.from({ length: 6 }, () => [block]), " a "])
  })

  const routes = [["GET", ""], ["GET", "/stream"], ["DELETE", "/stream"]] as const
  it.each(routes)(
    "a user who may not, whatever the chat, on %s :id%s: 401",
    (method, route) =>
      withChat(echo, {}, async (handler) => {
        const statusOf = async (id: string, name: string) =>
          (await handler(new Request(`http://page.test/api/chat/${id}${route}`, { method, ...asUser(name) }))).status
        for (const id of ["chat", "no%20id", "x".repeat(100)]) {
          for (const name of ["", "throw"]) assert.strictEqual(await statusOf(id, name), 401, `${id}, ${name}`)
        }
        assert.strictEqual(await statusOf("no%20id", "ada"), 404)
      })
  )

  it("a chat whose id no path can have: 400, and 404", () =>
    withChat(echo, {}, async (handler) => {
      const taken = ["x", "x".repeat(100), ":".repeat(100), "...", ".a", "-"].map((id) => [id, 200, 200] as const)
      const refused = ["x".repeat(101), ".", ".."].map((id) => [id, 400, 404] as const)
      for (const [id, sent, asked] of [...taken, ...refused]) {
        assert.strictEqual(await post(handler, { ...body, id }), sent)
        assert.strictEqual((await get(handler, id)).status, asked)
      }
    }))

  it("a message behind as many turns as a chat may have: 429", async () => {
    const { begun, finish, script } = makeEndless()
    await withChat(script, { maxTurns: 2 }, async (handler) => {
      const { send } = pageOf(handler)
      const turns = [await send("a", "Work"), await send("a", "Wait")]
      await begun()
      assert.strictEqual(await post(handler, body), 429)
      finish()
      for (const turn of turns) assert.strictEqual(textOf(await messageOf(turn)), "I begin.I am done.")
      assert.strictEqual(await post(handler, body), 200)
    })
  })

  it(
    "a thousand chats have as many sessions as allowed",
    () =>
      withChat(echo, { maxChats: 3 }, async (handler, statuses) => {
        const answers = new Map<number, number>()
        for (let index = 0; index < 1000; index++) {
          const status = await post(handler, { ...body, id: `chat-${index}` })
          answers.set(status, (answers.get(status) ?? 0) + 1)
        }
        assert.deepStrictEqual([...answers], [[200, 3], [503, 997]])
        assert.strictEqual((await statuses()).length, 3)
      })
  )
})

describe("a turn that fails", () => {
  it("is told without what the server said of it, and the chat goes on", () => {
    let fails = true
    return withChat(
      (turn) => fails ? Stream.make(AgentScript.say("I begin."), AgentScript.fail("secret of the server")) : echo(turn),
      {},
      async (handler) => {
        const { send } = pageOf(handler)
        const failed = await messageOf(await send("a", "Hello")).catch((error: Error) => error.message)
        assert.strictEqual(failed, "The agent failed. Try again.")
        fails = false
        assert.strictEqual(textOf(await messageOf(await send("a", "Again"))), "You wrote: Again")
      }
    )
  })

  it("is told in the program's own words, before it begins as well", async () => {
    const errorText = () => "Leider nicht."
    await withChat(() => Stream.make(AgentScript.fail("no")), { errorText }, async (handler) => {
      const failed = await messageOf(await pageOf(handler).send("a", "Hello")).catch((error: Error) => error.message)
      assert.strictEqual(failed, errorText())
    })
    const { dispose, handler } = WebChat.toWebHandler(
      { session: { agent: "nobody" }, authorize: () => "ada", errorText },
      AshEmbedded.layer()
    )
    const refused = await handler(postOf(body))
    assert.deepStrictEqual([refused.status, await refused.text()], [503, errorText()])
    await dispose()
  })

  it("is told where even its text fails", () =>
    withChat(
      () => Stream.make(AgentScript.fail("no")),
      {
        errorText: () => {
          throw new Error("no text")
        }
      },
      async (handler) => {
        assert.deepStrictEqual((await chunksOf(await pageOf(handler).send("a", "Hello"))).at(-1), {
          type: "error",
          errorText: "The agent failed. Try again."
        })
      }
    ))

  it("a chat whose session has ended gets another with its next message", () =>
    withChat(echo, {}, async (handler, statuses, endAll) => {
      const { send } = pageOf(handler)
      await messageOf(await send("a", "Hello"))
      await endAll()
      const lost = [await send("a", "Lost"), await send("a", "Lost as well")]
      for (const turn of lost) assert.strictEqual((await chunksOf(turn)).at(-1)?.type, "error")
      assert.deepStrictEqual(await (await get(handler, "a")).json(), [])
      assert.strictEqual(textOf(await messageOf(await send("a", "Again"))), "You wrote: Again")
      assert.deepStrictEqual((await statuses()).toSorted(), ["active", "ended"])
    }))
})

describe("an Ash server that is lost", () => {
  it("in the middle of a turn is told plainly, and so is one that is gone; the chat goes on when it is back", () =>
    Effect.gen(function*() {
      const { apiKey, url } = yield* AshEmbedded.EmbeddedAddress
      let fault: "none" | "turns" | "all" = "turns"
      const proxy = yield* FaultProxy.make({
        target: url,
        script: ({ path }) =>
          fault === "all"
            ? { kind: "reset", phase: "beforeHeaders" }
            : fault === "turns" && path.endsWith("/messages")
            ? { kind: "reset", phase: "midStream", after: 2 }
            : undefined
      })
      const { dispose, handler } = WebChat.toWebHandler(
        { session: { agent: "helper" }, authorize: () => "ada" },
        AshNode.layer({ url: proxy.url, apiKey, retry: { times: 0 } })
      )
      const { send } = pageOf(handler)
      yield* Effect.promise(async () => {
        const last = async () => (await chunksOf(await send("a", "Hello"))).at(-1)
        const errorText = "The connection to the agent was lost, and with it the rest of its answer. Try again."
        assert.deepStrictEqual(await last(), { type: "error", errorText })
        fault = "all"
        const refused = await handler(postOf({ ...body, id: "b" }))
        assert.strictEqual(refused.status, 503)
        assert.notInclude(await refused.text(), "127.0.0.1")
        fault = "none"
        assert.strictEqual(textOf(await messageOf(await send("a", "Again"))), "You wrote: Again")
        assert.strictEqual(textOf(await messageOf(await send("b", "Again"))), "You wrote: Again")
        await dispose()
      })
    }).pipe(
      Effect.scoped,
      Effect.provide(
        AshEmbedded.layerHttp({ agents: { helper: { script: echo } }, quirks: { content: "intact" } })
      ),
      Effect.runPromise
    ))

  it("by a defect of the client ends a request, and no chat", async () => {
    let isBroken = true
    const client = Layer.effect(
      HttpClient.HttpClient,
      Effect.map(
        HttpClient.HttpClient,
        (client) =>
          HttpClient.transform(client, (sent) => Effect.suspend(() => isBroken ? Effect.die("of the client") : sent))
      )
    ).pipe(Layer.provide(EmbeddedServer.layerHttpClient({ script: echo, quirks: { content: "intact" } })))
    const { dispose, handler } = WebChat.toWebHandler(
      { session: { agent: "helper" }, authorize: () => "ada" },
      Ash.layerWithClient({ url: "http://ash.test", apiKey: Redacted.make("embedded"), allowPlainHttp: true }).pipe(
        Layer.tap((ash) => {
          isBroken = false
          const created = Effect.provideContext(Agents.use(({ create }) => create({ name: "helper" })), ash)
          return Effect.map(created, () => isBroken = true)
        }),
        Layer.provide(client)
      )
    )
    assert.strictEqual((await handler(postOf(body))).status, 500)
    isBroken = false
    assert.strictEqual(textOf(await messageOf(await pageOf(handler).send("a", "Again"))), "You wrote: Again")
    await dispose()
  })
})
