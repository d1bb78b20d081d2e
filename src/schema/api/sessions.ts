/** The endpoints for sessions: the sessions, their messages, files, workspaces and attachments. */
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
  RateLimitBucket,
  Repeats,
  StartsSandbox,
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
import { created, Download, empty, EventStream, get, item, Limit, patch, post, remove, session } from "./parts.ts"

const SessionResponse = Schema.Struct({ session: Session })

export class SessionsGroup extends HttpApiGroup.make("sessions")
  .add(
    post("create", "/api/sessions", { payload: CreateSessionRequest, success: SessionResponse.pipe(created) })
      .annotate(RateLimitBucket, "sessions").annotate(StartsSandbox, true),
    get("list", "/api/sessions", {
      query: { agent: omittable(Schema.String) },
      success: Schema.Struct({ sessions: Schema.Array(Session) })
    }),
    get("get", "/api/sessions/:id", { params: session, success: SessionResponse }),
    patch("updateConfig", "/api/sessions/:id/config", {
      params: session,
      payload: UpdateSessionConfigRequest,
      success: SessionResponse
    }),
    post("pause", "/api/sessions/:id/pause", { params: session, success: SessionResponse }),
    post("resume", "/api/sessions/:id/resume", { params: session, success: SessionResponse })
      .annotate(Repeats, "harmless").annotate(StartsSandbox, true),
    post("stop", "/api/sessions/:id/stop", { params: session, success: SessionResponse }),
    post("fork", "/api/sessions/:id/fork", { params: session, success: SessionResponse.pipe(created) })
      .annotate(StartsSandbox, true),
    remove("end", "/api/sessions/:id", { params: session, success: SessionResponse }).annotate(Repeats, "harmless"),
    post("exec", "/api/sessions/:id/exec", { params: session, payload: ExecRequest, success: ExecResult })
      .annotate(AnswerInErrors, false),
    get("listEvents", "/api/sessions/:id/events", {
      params: session,
      query: { limit: omittable(Limit), after: atLeast(0), type: omittable(SessionEventType) },
      success: Schema.Struct({ events: Schema.Array(SessionEvent) })
    }).annotate(AnswerInErrors, false),
    get("logs", "/api/sessions/:id/logs", { params: session, query: { after: atLeast(-1) }, success: SandboxLogs })
      .annotate(AnswerInErrors, false)
  )
  .annotate(AnswerInErrors, true)
{}

export class MessagesGroup extends HttpApiGroup.make("messages")
  .add(
    post("send", "/api/sessions/:id/messages", {
      params: session,
      payload: SendMessageRequest,
      success: EventStream
    }).annotate(StartsTurn, true).annotate(BodyLimit, 52_428_800),
    get("list", "/api/sessions/:id/messages", {
      params: session,
      query: { limit: omittable(Limit), after: atLeast(0) },
      success: Schema.Struct({ messages: Schema.Array(StoredMessage) })
    })
  )
{}

const sessionFile = { id: SessionId, path: FilePath }

export class SessionFilesGroup extends HttpApiGroup.make("sessionFiles")
  .add(
    get("list", "/api/sessions/:id/files", {
      params: session,
      query: { includeHidden: omittable(Schema.Boolean) },
      success: SessionFileList
    }),
    get("read", "/api/sessions/:id/files/:path", {
      params: sessionFile,
      query: { format: omittable(Schema.Literals(["json", "raw"])) },
      success: Download
    }),
    post("write", "/api/sessions/:id/files", {
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
      success: Schema.Struct({ files: Schema.Array(WriteFileResult) })
    }).annotate(Repeats, "harmless").annotate(TimeLimit, carriesWorkspace).annotate(BodyLimit, 209_715_200),
    remove("delete", "/api/sessions/:id/files/:path", {
      params: sessionFile,
      success: Schema.Struct({ path: Schema.String, deleted: Schema.Boolean })
    })
  )
{}

export class WorkspacesGroup extends HttpApiGroup.make("workspaces")
  .add(
    get("download", "/api/sessions/:id/workspace", { params: session, success: Download })
      .annotate(TimeLimit, carriesWorkspace),
    post("upload", "/api/sessions/:id/workspace", {
      params: session,
      payload: Schema.Struct({ bundle: bytesUpTo(104_857_600) }),
      success: Schema.Struct({ message: Schema.String })
    }).annotate(Repeats, "harmless").annotate(TimeLimit, carriesWorkspace).annotate(BodyLimit, 140_509_184)
  )
{}

export class AttachmentsGroup extends HttpApiGroup.make("attachments")
  .add(
    post("upload", "/api/sessions/:id/attachments", {
      params: session,
      payload: CreateAttachmentRequest,
      success: Schema.Struct({ attachment: Attachment }).pipe(created)
    }),
    get("list", "/api/sessions/:id/attachments", {
      params: session,
      success: Schema.Struct({ attachments: Schema.Array(Attachment) })
    }),
    get("download", "/api/attachments/:id", { params: item, success: Download }),
    remove("delete", "/api/attachments/:id", { params: item, success: empty })
  )
{}
