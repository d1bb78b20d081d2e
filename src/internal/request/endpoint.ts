/** What an endpoint of the contract sends, and how its answers are read, both made of its schemas when it is first called. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as HttpBody from "effect/http/HttpBody"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as UrlParams from "effect/http/UrlParams"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import { ToBase64 } from "../../schema/Bytes.ts"
import { jsonDecoder } from "../../schema/jsonDecoder.ts"
import { AnswerInErrors, BodyLimit, StartsSandbox } from "../../schema/Operation.ts"
import type { InvalidRequest } from "../../schema/Reasons.ts"
import { isWellFormed, parseFinite, wellFormed } from "../../schema/Wire.ts"
import type { Received } from "./answer.ts"
import { anObject, mustBe } from "./options.ts"
import { hasRoomForPieces, jsonBody, toBase64 } from "./upload.ts"

export type Declared = Pick<
  HttpApiEndpoint.Top,
  "identifier" | "method" | "path" | "params" | "query" | "payload" | "success" | "annotations"
>

export interface Input {
  readonly params?: unknown
  readonly query?: unknown
  readonly payload?: unknown
}

export type Endpoint = ReturnType<typeof make>

export type Encoded = Effect.Success<ReturnType<Endpoint["encode"]>>

type Decode = (received: Received) => Effect.Effect<unknown, HttpClientError.HttpClientError | Schema.SchemaError>

const codecOf = ({ ast }: Schema.Constraint): Schema.Codec<unknown> => Schema.make<Schema.Codec<unknown>>(ast)

type Fields = Readonly<Record<string, unknown>>

const recordOf = (value: unknown): Fields => Predicate.isObject(value) ? value : {}

/** Encodes what stands in a URL, and refuses what a URL cannot hold; `empty` where there is nothing to encode. */
const urlEncoder = <A>(schema: Schema.Constraint | undefined, empty: A, write: (values: Fields) => A) => {
  if (schema === undefined) return () => Result.succeed(empty)
  const encode = Schema.encodeUnknownResult(codecOf(schema))
  return (input: unknown): Result.Result<A, Schema.SchemaError | InvalidRequest> => {
    const values = recordOf(input)
    const field = Object.keys(values).find((name) => {
      const value = values[name]
      return Predicate.isString(value) && !isWellFormed(value)
    })
    return field === undefined
      ? Result.map(encode(input), (encoded) => write(recordOf(encoded)))
      : Result.fail(mustBe(field, wellFormed))
  }
}

/** The path of a file as a parameter of that name: its slashes separate segments. */
const encodeFilePath = (path: string) => path.split("/").map(encodeURIComponent).join("/")

const pathEncoder = ({ params, path }: Declared) => {
  // Every other piece is the name of a parameter.
  const pieces = path.split(/:(\w+)/)
  return urlEncoder(params, path, (values) =>
    pieces.reduce((path, piece, index) => {
      if (index % 2 === 0) return path + piece
      const value = String(values[piece])
      return path + (piece === "path" ? encodeFilePath(value) : encodeURIComponent(value))
    }))
}

const writeQuery = (values: Fields) =>
  UrlParams.make(Object.entries(values).map(([name, value]) => [name, String(value)] as const))

const isHarmless = SchemaAST.resolveAt<boolean>("isHarmless")

/** Whether texts are those of a closed enum, or annotated as harmless. */
const isNoSecret = (ast: SchemaAST.AST): boolean =>
  isHarmless(ast) === true || ast._tag === "Literal" || (ast._tag === "Union" && ast.types.every(isNoSecret))

/** The paths of the fields whose texts are no secrets. The items of a list have the path of the list. */
const harmlessIn = function*(schema: SchemaAST.AST, path: string): Generator<string> {
  const ast = SchemaAST.toEncoded(schema)
  if (isNoSecret(ast)) yield path
  else if (ast._tag === "Union") {
    for (const type of ast.types) if (type._tag !== "Literal") yield* harmlessIn(type, path)
  } else if (ast._tag === "Arrays") { for (const item of [...ast.elements, ...ast.rest]) yield* harmlessIn(item, path) }
  else if (ast._tag === "Objects") {
    for (const { name, type } of ast.propertySignatures) {
      yield* harmlessIn(type, path === "" ? String(name) : `${path}.${String(name)}`)
    }
  }
}

type EncodeBody = (
  input: unknown,
  mark: string,
  contents: Array<Uint8Array>
) => Effect.Effect<HttpBody.HttpBody, Schema.SchemaError | InvalidRequest>

const bodyEncoder = (payloads: ReadonlyArray<Schema.Constraint>, limit: number): EncodeBody | undefined => {
  if (payloads.length === 0) return undefined
  const payload = Schema.Union(payloads.map(codecOf))
  const encode = Schema.encodeUnknownEffect(payload)
  const harmless = new Set(harmlessIn(payload.ast, ""))
  const inPieces = hasRoomForPieces(limit)
  return (input, mark, contents) => {
    const encoded = encode(input)
    return Effect.flatMapEager(
      // What has no bytes is encoded by now.
      inPieces && !Exit.isExit(encoded)
        ? Effect.provideService(encoded, ToBase64, toBase64(mark, contents))
        : encoded,
      (json) => {
        const body = Result.try(() => HttpBody.jsonUnsafe(json))
        return Result.isSuccess(body) ? Effect.succeed(jsonBody(body.success, harmless)) : Effect.fail(
          mustBe("", "a JSON-serializable request body")
        )
      }
    )
  }
}

/** How a schema refuses text that is no JSON. */
const refuseText = Schema.decodeUnknownEffect(Schema.fromJsonString(Schema.Never))

const streamDecoder = ({ headers }: HttpApiSchema.WithHeaders<Schema.Top, Schema.Top>): Decode => {
  const decode = Schema.decodeUnknownEffect(codecOf(headers))
  return ({ headers, response }) => Effect.mapEager(decode(headers), (headers) => ({ body: response.stream, headers }))
}

/** What fits is read in one pass. What does not goes to Effect's decoder, which reports what is wrong, and where. */
const answerDecoder = (schema: Schema.Constraint): Decode => {
  const codec = codecOf(schema)
  const read = jsonDecoder(codec)
  const report = Schema.decodeUnknownEffect(codec)
  const decode = (json: unknown) => {
    const value = read(json)
    return Option.isSome(value) ? Effect.succeed(value.value) : report(json)
  }
  const encoded = SchemaAST.toEncoded(schema.ast)
  const isText = SchemaAST.isString(encoded)
  const isEmpty = SchemaAST.isNull(encoded)
  return ({ response }) =>
    Effect.flatMap(response.text, (text) => {
      if (isText) return decode(text)
      const json = Result.try((): unknown => text === "" ? undefined : parseFinite(text))
      // What a server adds where nothing is expected is ignored, as a field is that it adds.
      return Result.isSuccess(json) ? decode(isEmpty ? null : json.success) : refuseText(text)
    })
}

export const eventStream = "text/event-stream"

/** An endpoint with what annotates it and its group. */
export const make = (endpoint: Declared, annotations: Context.Context<never>) => {
  // Those of an endpoint differ in their status alone.
  const [success = HttpApiSchema.NoContent] = endpoint.success
  // In the contract a response with headers is a stream, and no other is.
  const stream = HttpApiSchema.isWithHeaders(success) ? success : undefined
  const encodePath = pathEncoder(endpoint)
  const encodeQuery = urlEncoder(endpoint.query, UrlParams.empty, writeQuery)
  const bodyLimit = Context.get(annotations, BodyLimit)
  const encodeBody = bodyEncoder([...endpoint.payload.values()].flatMap(({ schemas }) => schemas), bodyLimit)
  return {
    method: endpoint.method,
    answersStream: stream !== undefined,
    answerInErrors: Context.get(annotations, AnswerInErrors),
    startsSandbox: Context.get(annotations, StartsSandbox),
    bodyLimit,
    /** Whether the stream is one of events, and no answer of another type is one. */
    answersEvents: Predicate.hasProperty(stream?.schema, "contentType") && stream?.schema.contentType === eventStream,
    encode: (input: Input, mark: string) => {
      const refused = anObject(input ?? null, "")
      if (refused !== undefined) return Effect.fail(refused)
      const { params, payload, query: fields } = input
      const path = encodePath(params)
      if (Result.isFailure(path)) return Effect.fail(path.failure)
      const query = encodeQuery(fields)
      if (Result.isFailure(query)) return Effect.fail(query.failure)
      const url = { path: path.success, query: query.success }
      // Large contents, for which there are marks in the body.
      const contents: Array<Uint8Array> = []
      return encodeBody === undefined
        ? Effect.succeed({ ...url, body: HttpBody.empty, contents })
        : Effect.mapEager(encodeBody(payload, mark, contents), (body) => ({ ...url, body, contents }))
    },
    decode: stream === undefined ? answerDecoder(success) : streamDecoder(stream)
  }
}
