/** The types of the low-level client: a method for each endpoint of the contract. */
import type * as Effect from "effect/Effect"
import type * as HttpApi from "effect/http-api/HttpApi"
import type * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import type * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { Simplify } from "effect/Types"
import type { ServerAddress } from "../internal/request/connection.ts"
import type { Answered, Attempt } from "../internal/request/sending.ts"
import type { AshApi } from "../schema/AshApi.ts"
import type { AshError } from "../schema/AshError.ts"
import type { HostedApi } from "../schema/HostedApi.ts"
import type { Operation } from "../schema/Operation.ts"

export type { ServerAddress } from "../internal/request/connection.ts"

type GroupsOf<Api> = Api extends HttpApi.HttpApi<infer _Id, infer Group> ? Group : never

/** All that a client may ask: of any server, and of the hosted product. */
type Groups = GroupsOf<typeof AshApi> | GroupsOf<typeof HostedApi>

type GroupId = Groups["identifier"]

type Endpoints<Id extends GroupId> = Extract<Groups, { readonly identifier: Id }>["endpoints"]

type Endpoint<Id extends GroupId, Name extends keyof Endpoints<Id>> = Extract<
  Endpoints<Id>[Name],
  HttpApiEndpoint.ConstraintRequest
>

type Part<Name extends string, S extends Schema.Constraint> = [S["Type"]] extends [never] ? unknown
  : { readonly [_ in Name]: S["Type"] }

type RequestOf<E extends HttpApiEndpoint.ConstraintRequest> = Simplify<
  Part<"params", E["~Params"]> & Part<"query", E["~Query"]> & Part<"payload", E["~Payload"]>
>

interface StreamAnswer<Headers> {
  readonly body: Stream.Stream<Uint8Array, AshError>
  readonly headers: Headers
}

type AnswerOf<Success> = Success extends HttpApiSchema.WithHeaders<HttpApiSchema.StreamUint8Array, infer Headers>
  ? StreamAnswer<Headers["Type"]>
  : Success extends Schema.Constraint ? Success["Type"]
  : never

/** A stream holds a connection, which closes with a scope. */
type ScopeOf<Success> = Success extends HttpApiSchema.WithHeaders<HttpApiSchema.StreamUint8Array, infer _Headers>
  ? Scope.Scope
  : never

/** An operation of the API, which sends its request once. */
export interface ApiCall<Request, Answer, R = never> {
  (request: Request): Effect.Effect<Answer, AshError, R>
  /** What the operation is, and how it may be called. */
  readonly operation: Operation
  /** Checks and encodes a request before it is sent, and answers what sends it. */
  readonly prepare: (request: Request) => Effect.Effect<Attempt<Answered<Answer>, R>, AshError>
}

/** The method of an endpoint, by its group and its name. */
export interface ApiMethod<Id extends GroupId, Name extends keyof Endpoints<Id>> extends
  ApiCall<
    RequestOf<Endpoint<Id, Name>>,
    AnswerOf<Endpoint<Id, Name>["~Success"]>,
    ScopeOf<Endpoint<Id, Name>["~Success"]>
  >
{}

/** The methods of a group. */
export type GroupMethods<Id extends GroupId> = {
  readonly [Name in keyof Endpoints<Id>]: ApiMethod<Id, Name>
}

/** The methods of the low-level client, by group. */
export type ApiMethods = { readonly [Id in GroupId]: GroupMethods<Id> }

/** The low-level client of one server. */
export interface ApiClient extends ApiMethods {
  /** Where the server is, as spans and metrics of turns name it. */
  readonly server: ServerAddress
}
