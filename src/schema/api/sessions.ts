/** The endpoints for sessions: the sessions, their messages, files, workspaces and attachments. */
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as Schema from "effect/Schema"
import { Attachment, CreateAttachmentRequest } from "../Attachment.ts"
import { bytesUpTo, FileUpload, SessionFileList, WriteFileResult } from "../File.ts"
import { FilePath, SessionId } from "../Ids.ts"
import { SendMessageRequest, StoredMessage } from "../Message.ts"
import {
  AnswerInErrors,
  BodyLimit,
  carriesWorkspace,
  FilePathParameter,
  RateLimitBucket,
  Repeats,
  startsSandbox,
  StartsTurn,
  TimeLimit
} from "../Operation.ts"
import {
  CreateSessionRequest,
  ExecRequest,
  ExecResult,
  SandboxLogs,
  Session,
  UpdateSessionConfigRequest
} from "../Session.ts"
import { SessionEvent, SessionEventType } from "../SessionEvent.ts"
import { atLeast, harmless, omittable, WellFormed } from "../Wire.ts"
import { created, Download, empty, error, EventStream, item, Limit, session } from "./parts.ts"

const SessionResponse = Schema.Struct({ session: Session })

/** The endpoints of sessions. */
export class SessionsGroup extends HttpApiGroup.make("sessions")
  .add(
    HttpApiEndpoint.post("create", "/api/sessions", {
      payload: CreateSessionRequest,
      success: SessionResponse.pipe(created),
      error
    }).annotate(RateLimitBucket, "sessions").annotate(TimeLimit, startsSandbox),
    HttpApiEndpoint.get("list", "/api/sessions", {
      query: { agent: omittable(Schema.String) },
      success: Schema.Struct({ sessions: Schema.Array(Session) }),
      error
    }),
    HttpApiEndpoint.get("get", "/api/sessions/:id", { params: session, success: SessionResponse, error }),
    HttpApiEndpoint.patch("updateConfig", "/api/sessions/:id/config", {
      params: session,
      payload: UpdateSessionConfigRequest,
      success: SessionResponse,
      error
    }),
    HttpApiEndpoint.post("pause", "/api/sessions/:id/pause", { params: session, success: SessionResponse, error }),
    HttpApiEndpoint.post("resume", "/api/sessions/:id/resume", { params: session, success: SessionResponse, error })
      .annotate(Repeats, "harmless").annotate(TimeLimit, startsSandbox),
    HttpApiEndpoint.post("stop", "/api/sessions/:id/stop", { params: session, success: SessionResponse, error }),
    HttpApiEndpoint.post("fork", "/api/sessions/:id/fork", {
      params: session,
      success: SessionResponse.pipe(created),
      error
    }).annotate(TimeLimit, startsSandbox),
    HttpApiEndpoint.delete("end", "/api/sessions/:id", { params: session, success: SessionResponse, error }).annotate(
      Repeats,
      "harmless"
    ),
    HttpApiEndpoint.post("exec", "/api/sessions/:id/exec", {
      params: session,
      payload: ExecRequest,
      success: ExecResult,
      error
    }).annotate(AnswerInErrors, false),
    HttpApiEndpoint.get("listEvents", "/api/sessions/:id/events", {
      params: session,
      query: { limit: omittable(Limit), after: atLeast(0), type: omittable(SessionEventType) },
      success: Schema.Struct({ events: Schema.Array(SessionEvent) }),
      error
    }).annotate(AnswerInErrors, false),
    HttpApiEndpoint.get("logs", "/api/sessions/:id/logs", {
      params: session,
      query: { after: atLeast(-1) },
      success: SandboxLogs,
      error
    }).annotate(AnswerInErrors, false)
  )
  .annotate(AnswerInErrors, true)
{}

/** The endpoints of messages of sessions. */
export class MessagesGroup extends HttpApiGroup.make("messages")
  .add(
    HttpApiEndpoint.post("send", "/api/sessions/:id/messages", {
      params: session,
      payload: SendMessageRequest,
      success: EventStream,
      error
    }).annotate(StartsTurn, true).annotate(BodyLimit, 52_428_800),
    HttpApiEndpoint.get("list", "/api/sessions/:id/messages", {
      params: session,
      query: { limit: omittable(Limit), after: atLeast(0) },
      success: Schema.Struct({ messages: Schema.Array(StoredMessage) }),
      error
    })
  )
{}

const sessionFile = { id: SessionId, path: FilePath }

/** The endpoints of files of workspaces. */
export class SessionFilesGroup extends HttpApiGroup.make("sessionFiles")
  .add(
    HttpApiEndpoint.get("list", "/api/sessions/:id/files", {
      params: session,
      query: { includeHidden: omittable(Schema.Boolean) },
      success: SessionFileList,
      error
    }),
    HttpApiEndpoint.get("read", "/api/sessions/:id/files/:path", {
      params: sessionFile,
      query: { format: omittable(Schema.Literals(["json", "raw"])) },
      success: Download,
      error
    }).annotate(FilePathParameter, "path"),
    HttpApiEndpoint.post("write", "/api/sessions/:id/files", {
      params: session,
      payload: Schema.Struct({
        files: Schema.Array(FileUpload).check(
          Schema.isBetweenLength(1, 500, { expected: "1 to 500 files" }),
          Schema.makeFilter(
            (files: ReadonlyArray<FileUpload>) =>
              files.reduce((size, file) => size + file.content.byteLength, 0) <= 104_857_600,
            { expected: "files of 104857600 bytes together" }
          )
        ),
        targetPath: omittable(WellFormed.annotate(harmless))
      }),
      success: Schema.Struct({ files: Schema.Array(WriteFileResult) }),
      error
    }).annotate(Repeats, "harmless").annotate(TimeLimit, carriesWorkspace).annotate(
      BodyLimit,
      209_715_200
    ),
    HttpApiEndpoint.delete("delete", "/api/sessions/:id/files/:path", {
      params: sessionFile,
      success: Schema.Struct({ path: Schema.String, deleted: Schema.Boolean }),
      error
    }).annotate(FilePathParameter, "path")
  )
{}

/** The endpoints of whole workspaces. */
export class WorkspacesGroup extends HttpApiGroup.make("workspaces")
  .add(
    HttpApiEndpoint.get("download", "/api/sessions/:id/workspace", { params: session, success: Download, error })
      .annotate(TimeLimit, carriesWorkspace),
    HttpApiEndpoint.post("upload", "/api/sessions/:id/workspace", {
      params: session,
      payload: Schema.Struct({ bundle: bytesUpTo(104_857_600) }),
      success: Schema.Struct({ message: Schema.String }),
      error
    }).annotate(Repeats, "harmless").annotate(TimeLimit, carriesWorkspace).annotate(
      BodyLimit,
      140_509_184
    )
  )
{}

/** The endpoints of attachments of sessions. */
export class AttachmentsGroup extends HttpApiGroup.make("attachments")
  .add(
    HttpApiEndpoint.post("upload", "/api/sessions/:id/attachments", {
      params: session,
      payload: CreateAttachmentRequest,
      success: Schema.Struct({ attachment: Attachment }).pipe(created),
      error
    }),
    HttpApiEndpoint.get("list", "/api/sessions/:id/attachments", {
      params: session,
      success: Schema.Struct({ attachments: Schema.Array(Attachment) }),
      error
    }),
    HttpApiEndpoint.get("download", "/api/attachments/:id", { params: item, success: Download, error }),
    HttpApiEndpoint.delete("delete", "/api/attachments/:id", { params: item, success: empty, error })
  )
{}
