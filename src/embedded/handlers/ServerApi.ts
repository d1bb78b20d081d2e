/** The API as a server has it. */
import * as HttpApi from "effect/http-api/HttpApi"
import { AshApi } from "../../schema/AshApi.ts"

const unchecked = { disableChecks: true } as const

/**
 * The API without the checks on what is sent: they keep a client from sending what servers refuse or take for something
 * else, while a server accepts whatever its routes do, which the gate has checked. Only their types are left.
 */
export const ServerApi: ReturnType<typeof AshApi.annotate> = AshApi
  .annotate(HttpApi.ParamsParseOptions, unchecked)
  .annotate(HttpApi.QueryParseOptions, unchecked)
  .annotate(HttpApi.PayloadParseOptions, unchecked)
