/** The forms of a transcript: text for a terminal or a log, and Markdown. */
import * as Predicate from "effect/Predicate"
import type * as Schema from "effect/Schema"
import { jsonText } from "../../schema/Wire.ts"
import { printable, printableLines } from "../request/printable.ts"
import { blocksIn } from "./answerText.ts"
import type { CallEntry, Entry } from "./transcript.ts"

/** Writes an entry, without anything behind its last line. */
export type Form = (entry: Entry) => string

/** Its lines end as those of a transcript do. */
const linesOf = (text: string) => printableLines(text.replaceAll("\r\n", "\n"))

const indented = (text: string, by: string) =>
  text.split("\n").map((line) => line === "" ? by.trimEnd() : `${by}${line}`).join("\n")

/** What a tool answered: its texts, or else JSON. */
const contentOf = (content: Schema.Json): string => {
  if (Predicate.isString(content)) return content
  const blocks = Array.isArray(content) ? content : []
  const texts = blocks.flatMap((block) =>
    Predicate.isObject(block) && block["type"] === "text" && Predicate.isString(block["text"]) ? [block["text"]] : []
  )
  return texts.length > 0 && texts.length === blocks.length ? texts.join("\n") : jsonText(content, 2)
}

const headOf = ({ input, name, result }: CallEntry) => [
  name === "" ? "a tool" : name,
  input === null ? "" : jsonText(input),
  result?.isError === true ? "failed" : ""
]

const joined = (parts: ReadonlyArray<string>, by: string) => parts.filter((part) => part !== "").join(by)

/** As text: what is inside of a call stands indented below it. */
export const textForm: Form = (entry) => {
  switch (entry._tag) {
    case "User":
      return indented(linesOf(entry.text), "> ")
    case "Text":
      return linesOf(entry.text)
    case "Thinking":
      return indented(linesOf(entry.text), "~ ")
    case "Note":
      return `(${printable(entry.text)})`
    case "Data":
      return `[${printable(entry.name)}] ${printable(jsonText(entry.json))}`
    case "Call": {
      const [name = "", input = "", failed = ""] = headOf(entry).map((part) => printable(part))
      const result = entry.result === undefined ? "" : linesOf(contentOf(entry.result.content))
      const inside = joined([...entry.inside.map(textForm), result], "\n\n")
      return joined([joined([`[${name}]`, input, failed], " "), inside === "" ? "" : indented(inside, "    ")], "\n")
    }
  }
}

/** A code block that its content cannot end. */
const fenced = (text: string, language = "") => {
  const longest = Math.max(2, ...(text.match(/`+/g) ?? []).map(({ length }) => length))
  const fence = "`".repeat(longest + 1)
  return `${fence}${language}\n${text}\n${fence}`
}

const codeSpan = /(?<!`)(`+)(?!`)[^`\n]*\1(?!`)/g

/** Whether a text, as Markdown, ends what it is in: by a code block without an end, or by HTML. */
const isUnsafe = (text: string) => {
  const { around, isClosed, isEven } = blocksIn(text)
  const outside = around.join("\n")
  // A backtick behind a backslash begins no code.
  return !isClosed || !isEven || /<[a-z/!?]/i.test(outside.includes("\\`") ? outside : outside.replace(codeSpan, ""))
}

const prose = (text: string) => isUnsafe(text) ? fenced(linesOf(text)) : linesOf(text)

const html = (text: string) => printable(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")

const folded = (summary: string, content: string) =>
  `<details>\n<summary>${summary}</summary>\n\n${content}\n\n</details>`

/** How much of an input stands in the line that is seen of a folded call. */
const seenOfInput = 80

const cut = (text: string) => {
  const characters = Array.from(text.slice(0, 2 * seenOfInput))
  return characters.length > seenOfInput ? `${characters.slice(0, seenOfInput).join("")}...` : text
}

/** As Markdown: calls of tools are folded, what is inside of one is quoted in it, and nothing of the content ends what it is in. */
export const markdownForm: Form = (entry) => {
  switch (entry._tag) {
    case "User":
      return indented(prose(entry.text), "> ")
    case "Text":
      return prose(entry.text)
    case "Thinking":
      return folded("Thinking", fenced(linesOf(entry.text)))
    case "Note":
      return folded("Note", fenced(linesOf(entry.text)))
    case "Data":
      return folded(html(entry.name), fenced(jsonText(entry.json, 2), "json"))
    case "Call": {
      const [name = "", input = "", failed = ""] = headOf(entry)
      const summary = joined([`<b>${html(name)}</b>`, html(cut(input)), failed], " ")
      return folded(
        summary,
        joined([
          entry.input === null ? "" : fenced(jsonText(entry.input, 2), "json"),
          ...entry.inside.map((inner) => indented(markdownForm(inner), "> ")),
          entry.result === undefined ? "" : fenced(linesOf(contentOf(entry.result.content)))
        ], "\n\n")
      )
    }
  }
}
