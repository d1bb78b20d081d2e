/** A chat for pages, as routes of a server that keeps the key: a session for each chat, and its turns in order. */
import * as ByteSize from "effect/ByteSize"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as HttpRouter from "effect/http/HttpRouter"
import type * as HttpServerError from "effect/http/HttpServerError"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import {
  aFunction,
  amount,
  anObject,
  checked,
  duration,
  oneOf,
  optionsOf,
  required,
  text
} from "../internal/request/options.ts"
import { AshError } from "../schema/AshError.ts"
import { jsonText } from "../schema/Wire.ts"
import type { Sessions } from "../services/Sessions.ts"
import { ChatId, ChatRequest, contentOf, Refusal, refuse } from "./chatRequest.ts"
import * as Chats from "./chats.ts"
import * as EventStream from "./EventStream.ts"
import { framesOf, headers, type UiMessageChunk } from "./uiMessageStream.ts"

/** What a chat is, beside who may use it. */
export interface WebChatSettings extends Omit<Chats.ChatsOptions, "messageId"> {
  /** @default "/api/chat" */
  readonly path?: `/${string}` | undefined
  /** How much a page may send at once, in bytes; Infinity sets no limit. @default 8 MiB */
  readonly maxBodySize?: number | undefined
}

/** A chat as routes. */
export interface WebChatOptions<E, R> extends WebChatSettings {
  /**
   * Who asks: an id, by which the chats of one user are kept from those of another. `undefined`, an empty id and a failure
   * are refused. `anyone` lets everybody in.
   */
  readonly authorize: (request: HttpServerRequest.HttpServerRequest) => Effect.Effect<string | undefined, E, R>
}

/** A chat as a handler of `fetch`. */
export interface WebHandlerOptions extends WebChatSettings {
  /** As that of `layer`, of the platform's request. What it throws is refused. */
  readonly authorize: (request: Request) => string | undefined | Promise<string | undefined>
}

const operation = "WebChat.layer"

const notSignedIn = "You are not signed in."

const nothing = HttpServerResponse.empty({ status: 204 })

const json = (body: unknown) => HttpServerResponse.text(jsonText(body), { contentType: "application/json" })

/** Lets everybody in, as one user: who knows the id of a chat, reads it. */
export const anyone = () => Effect.succeed("anyone")

const refusal = (status: number, text: string) => HttpServerResponse.text(text, { status })

type Failure = Refusal | AshError | Cause.ExceededCapacityError

/** Answers a failure too: where there is no turn to read, what a page is told. Its own words are for the log. */
const answering = ({ errorText = EventStream.errorText }: WebChatSettings) => {
  const answerTo = (error: Failure) =>
    error instanceof Refusal
      ? refusal(error.status, error.text)
      : error instanceof AshError
      ? refusal(error.reason._tag === "RateLimited" ? 429 : 503, errorText(error))
      : refusal(503, "Too many chats are open. Try again later.")
  return <R>(answer: Effect.Effect<HttpServerResponse.HttpServerResponse, Failure, R>) =>
    answer.pipe(
      Effect.tapError((error) => error instanceof AshError ? Effect.logWarning(error.message) : Effect.void),
      Effect.catch((error) => Effect.sync(() => answerTo(error))),
      Effect.tapDefect((defect) => Effect.logError("a route of a chat failed", defect))
    )
}

const isTooLarge = ({ reason }: HttpServerError.HttpServerError) =>
  reason._tag === "RequestParseError" && reason.reason === "BodyTooLarge"

/** What no chat can be kept by is refused. */
const rules = optionsOf<WebChatOptions<never, never>>({
  authorize: required(aFunction),
  path: text,
  maxBodySize: amount(0),
  session: required(anObject),
  handle: anObject,
  turn: anObject,
  maxChats: amount(1),
  maxTurns: amount(1),
  idleTimeToLive: duration(),
  whenLeft: oneOf("cancel", "detach"),
  ...EventStream.rules
})

const decodeRequest = Schema.decodeEffect(Schema.fromJsonString(ChatRequest))

/** By a limit of the host, or as the host has read it before: not the page can mend it, but who reads the log. */
const unreadable = (why: unknown) =>
  Effect.andThen(
    Effect.logWarning("the body of a message cannot be read:", why),
    refuse(400, "The body cannot be read.")
  )

/** The body of a request. A page of another origin cannot send JSON unasked. */
const bodyOf = Effect.fnUntraced(function*(request: HttpServerRequest.HttpServerRequest, maxBodySize: number) {
  if (!/^application\/json\b/i.test(request.headers["content-type"] ?? "")) {
    return yield* refuse(415, "The body is not JSON.")
  }
  const body = yield* request.text.pipe(
    Effect.provideService(
      HttpIncomingMessage.MaxBodySize,
      ByteSize.fromInputUnsafe(Math.min(Math.floor(maxBodySize), Number.MAX_SAFE_INTEGER))
    ),
    Effect.catch((error) =>
      isTooLarge(error)
        ? refuse(413, `The message is too large: at most ${maxBodySize} bytes are taken.`)
        : unreadable(error.reason.cause)
    )
  )
  if (body === "") return yield* unreadable("it is empty, as where a parser of the host has read it before")
  return yield* Effect.mapError(decodeRequest(body), () => refuse(400, "The body is not that of a chat."))
})

const idOf = Effect.flatMap(HttpRouter.params, ({ id }) => Schema.decodeUnknownEffect(ChatId)(id)).pipe(
  Effect.mapError(() => refuse(404, "There is no such chat."))
)

/** The key of a chat: users do not share any. */
const keyOf = (user: string, id: string) => JSON.stringify([user, id])

/**
 * The routes of chats, as `useChat` calls them:
 *
 * - `POST path` sends the last of the messages, and answers its turn,
 * - `GET path/:id/stream` answers the turn that runs from its start, or 204,
 * - `DELETE path/:id/stream` stops the turns of the chat,
 * - `GET path/:id` answers the messages of the chat, none where it has no session.
 *
 * Fails with `InvalidRequest` for a setting that no chat can be kept by.
 */
export const layer = <E, R>(settings: WebChatOptions<E, R>) =>
  HttpRouter.use(Effect.fnUntraced(function*(router) {
    yield* checked(operation, rules, settings)
    const { authorize, maxBodySize = 8_388_608, path = "/api/chat", ...options } = settings
    const chats = yield* Chats.make(options)
    const answered = answering(options)

    const respond = (chunks: Stream.Stream<UiMessageChunk> | undefined) =>
      chunks === undefined
        ? nothing
        : EventStream.toHttpServerResponse(EventStream.make(framesOf(chunks), options, headers))

    /** The one who asks: who may not learns nothing of what is taken, or there. */
    const userOf = Effect.fnUntraced(function*(request: HttpServerRequest.HttpServerRequest) {
      const user = yield* Effect.mapError(authorize(request), () => refuse(401, notSignedIn))
      // Of a program without types it may be anything, such as the null of a database.
      return Predicate.isString(user) && user !== "" ? user : yield* refuse(401, notSignedIn)
    })

    const send = Effect.fnUntraced(function*(request: HttpServerRequest.HttpServerRequest) {
      const user = yield* userOf(request)
      const body = yield* bodyOf(request, maxBodySize)
      const content = yield* contentOf(body)
      return respond(yield* chats.send(keyOf(user, body.id), content))
    })

    const about = <A>(
      use: (key: string) => Effect.Effect<A, Failure, Scope.Scope>,
      answer: (found: A) => HttpServerResponse.HttpServerResponse
    ) =>
    (request: HttpServerRequest.HttpServerRequest) =>
      userOf(request).pipe(
        Effect.flatMap((user) => Effect.map(idOf, (id) => keyOf(user, id))),
        Effect.flatMap(use),
        Effect.map(answer),
        answered
      )

    yield* router.add("POST", path, (request) => answered(send(request)))
    yield* router.add("GET", `${path}/:id/stream`, about(chats.resume, respond))
    yield* router.add("DELETE", `${path}/:id/stream`, about(chats.stop, () => nothing))
    yield* router.add("GET", `${path}/:id`, about(chats.history, json))
  }))

/**
 * Chats as a handler of `fetch`, for Hono, Next, Bun, Deno and others, over a layer of Ash: `AshNode.layerConfig()`. Loggers
 * and a tracer that the layer has are those of the chats.
 */
export const toWebHandler = <E>(
  settings: WebHandlerOptions,
  ash: Layer.Layer<Sessions, E>
): { readonly handler: (request: Request) => Promise<Response>; readonly dispose: () => Promise<void> } => {
  const { authorize } = { ...settings }
  const answer = (request: HttpServerRequest.HttpServerRequest) =>
    HttpServerRequest.toWeb(request).pipe(
      Effect.flatMap((request) => Effect.promise(() => Promise.resolve(request).then(authorize))),
      Effect.catchDefect((defect) => Effect.as(Effect.logWarning("authorize failed", defect), undefined))
    )
  return HttpRouter.toWebHandler(
    // What is no function is refused by the layer.
    layer({ ...settings, authorize: Predicate.isFunction(authorize) ? answer : authorize }).pipe(
      Layer.provideMerge(ash)
    ),
    { disableLogger: true }
  )
}
