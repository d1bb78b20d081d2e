/**
 * What only the hosted product may have: routes that the official TypeScript client calls, and no open server knows
 * (docs/ash.md 7.1 and 7.2). Their shapes are those of that client's types.
 */
import * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as Schema from "effect/Schema"
import { created, empty, error, key } from "./api/parts.ts"
import { compileAnswers } from "./compiled.ts"
import { MethodName, ServiceName } from "./Operation.ts"
import { CreateProjectFileRequest, ProjectFile } from "./ProjectFile.ts"
import { Session, SessionStatus } from "./Session.ts"
import { atLeast, nullish, omittable } from "./Wire.ts"

class HostedGroup extends HttpApiGroup.make("hosted")
  .add(
    HttpApiEndpoint.get("listSessions", "/api/sessions", {
      query: {
        agent: omittable(Schema.String),
        status: omittable(SessionStatus),
        limit: atLeast(0),
        offset: atLeast(0),
        includeTotal: Schema.Boolean
      },
      success: Schema.Struct({ sessions: Schema.Array(Session), total: nullish(Schema.Finite) }),
      error
    }).annotate(MethodName, "Sessions.listPage"),
    HttpApiEndpoint.get("listFiles", "/api/files", {
      success: Schema.Struct({ files: Schema.Array(ProjectFile) }),
      error
    }).annotate(MethodName, "list"),
    HttpApiEndpoint.post("createFile", "/api/files", {
      payload: CreateProjectFileRequest,
      success: [
        Schema.Struct({ file: ProjectFile }),
        Schema.Struct({ file: ProjectFile }).pipe(created)
      ],
      error
    }).annotate(MethodName, "create"),
    HttpApiEndpoint.get("getFileUrl", "/api/files/:id/url", {
      params: key,
      success: Schema.Struct({ url: Schema.String }),
      error
    }).annotate(MethodName, "getUrl"),
    HttpApiEndpoint.delete("deleteFile", "/api/files/:id", { params: key, success: empty, error })
      .annotate(MethodName, "delete")
  )
  .annotate(ServiceName, "ProjectFiles")
{}

/** The routes of the hosted product. */
export class HostedApi extends HttpApi.make("hosted").add(HostedGroup) {}

compileAnswers(HostedApi.groups)
