/** What was sent and answered, as attributes of spans have it: JSON in the form of the conventions. */
import * as Predicate from "effect/Predicate"
import type { ContentBlock } from "../../schema/Message.ts"
import { safelyIs } from "../request/inspectUnknown.ts"
import { isContent } from "../turn/contentForm.ts"

/** A part of a message. The bytes of images and documents are left out. */
const partOf = (block: ContentBlock) => {
  if (block.type === "text") return { type: "text", content: block.text }
  const modality = block.type
  switch (block.source.type) {
    case "url":
      return { type: "uri", modality, uri: block.source.url }
    case "text":
      return { type: "text", content: block.source.data }
    case "base64":
      return { type: "blob", modality, mime_type: block.source.media_type }
  }
}

/** The prompt. One that is refused, as it is none, may be anything, and is not there. */
export const inputMessages = (content: unknown): string | undefined =>
  safelyIs(content, isContent)
    ? JSON.stringify([{
      role: "user",
      parts: Predicate.isString(content) ? [{ type: "text", content }] : content.map(partOf)
    }])
    : undefined

export const outputMessages = (text: string, finishReason: string | undefined): string =>
  JSON.stringify([{ role: "assistant", parts: [{ type: "text", content: text }], finish_reason: finishReason ?? "" }])
