/** The JSON in the text that an agent writes in the place of structured output. */
import * as Result from "effect/Result"
import { parseFinite } from "../../schema/Wire.ts"

/** JSON, or why there is none: what begins as some is none, or nothing does. */
type AnswerText = Result.Result<unknown, "NotJson" | "Absent">

const absent: AnswerText = Result.fail("Absent")
const notJson: AnswerText = Result.fail("NotJson")

const parse = (text: string): AnswerText => Result.orElse(Result.try((): unknown => parseFinite(text)), () => notJson)

const fence = /^( {0,3})(`{3,}(?=[^`]*$)|~{3,})/

interface Fence {
  readonly indentation: string
  readonly mark: string
  readonly lines: Array<string>
}

/**
 * The code blocks of a Markdown text and what stands around them; whether the last block has its end; and whether each block
 * stands in one place: one that begins in an item of a list and ends beside it is two, of which the second has no end.
 */
export const blocksIn = (text: string) => {
  const blocks: Array<string> = []
  const around: Array<string> = []
  let open: Fence | undefined
  let isEven = true
  for (const line of text.split(/\r?\n/)) {
    const [, indentation = "", mark] = fence.exec(line) ?? []
    if (open === undefined) {
      if (mark === undefined) around.push(line)
      else open = { indentation, mark, lines: [] }
      continue
    }
    isEven &&= line.trim() === "" || line.startsWith(open.indentation)
    if (mark?.startsWith(open.mark) === true && line.trim() === mark) {
      isEven &&= indentation === open.indentation
      blocks.push(open.lines.join("\n"))
      open = undefined
    } else open.lines.push(line)
  }
  return { blocks, around, isClosed: open === undefined, isEven }
}

/** The JSON of a text that is JSON, or that has one code block, which is. */
export const jsonIn = (text: string): AnswerText => {
  const trimmed = text.trim()
  if (trimmed === "") return absent
  const bare = parse(trimmed)
  if (Result.isSuccess(bare)) return bare
  const { blocks, isClosed } = blocksIn(trimmed)
  if (!isClosed) return notJson
  const [block, ...more] = blocks
  if (block !== undefined) return more.length === 0 ? parse(block) : absent
  return /^[{[]/.test(trimmed) ? notJson : absent
}
