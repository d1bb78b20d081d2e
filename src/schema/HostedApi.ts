/**
 * What only the hosted product may have: routes that the official TypeScript client calls, and no open server knows
 * (docs/ash.md 7.1 and 7.2). Their shapes are those of that client's types.
 */
import * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as Schema from "effect/Schema"
import { created, empty, get, key, post, remove } from "./api/parts.ts"
import { MethodName, ServiceName } from "./Operation.ts"
import { CreateProjectFileRequest, ProjectFile } from "./ProjectFile.ts"
import { Session, SessionStatus } from "./Session.ts"
import { atLeast, nullish, omittable } from "./Wire.ts"

const FileResponse = Schema.Struct({ file: ProjectFile })

class HostedGroup extends HttpApiGroup.make("hosted")
  .add(
    get("listSessions", "/api/sessions", {
      query: {
        agent: omittable(Schema.String),
        status: omittable(SessionStatus),
        limit: atLeast(0),
        offset: atLeast(0),
        includeTotal: Schema.Boolean
      },
      success: Schema.Struct({ sessions: Schema.Array(Session), total: nullish(Schema.Finite) })
    }).annotate(MethodName, "Sessions.listPage"),
    get("listFiles", "/api/files", { success: Schema.Struct({ files: Schema.Array(ProjectFile) }) })
      .annotate(MethodName, "list"),
    post("createFile", "/api/files", {
      payload: CreateProjectFileRequest,
      success: [FileResponse, FileResponse.pipe(created)]
    }).annotate(MethodName, "create"),
    get("getFileUrl", "/api/files/:id/url", { params: key, success: Schema.Struct({ url: Schema.String }) })
      .annotate(MethodName, "getUrl"),
    remove("deleteFile", "/api/files/:id", { params: key, success: empty }).annotate(MethodName, "delete")
  )
  .annotate(ServiceName, "ProjectFiles")
{}

/** The routes of the hosted product. */
export class HostedApi extends HttpApi.make("hosted").add(HostedGroup) {}
