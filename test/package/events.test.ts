import { assert, describe, it } from "@effect/vitest"
import { type Schema, SchemaAST } from "effect"
import { readFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { ClaudeMessageType } from "../../src/schema/ClaudeMessage.ts"
import { StreamEvent } from "../../src/schema/StreamEvent.ts"

const root = resolve(import.meta.dirname, "../..")
const read = (file: string) => readFileSync(join(root, file), "utf8")

interface Row {
  readonly tag: string
  readonly meaning: string
}

/** The rows of the table below a heading, in a document or a doc comment, however it is indented and padded. */
const rowsBelow = (heading: string, text: string): ReadonlyArray<Row> => {
  const lines = text.split("\n").map((line) => line.replace(/^ \* /, "").trim())
  const start = lines.findIndex((line) => line.split("|")[1]?.trim() === heading)
  const rows: Array<Row> = []
  for (const line of lines.slice(start + 2)) {
    const [, tag, meaning] = /^\| `(\w+)` *\| (.+?) *\|$/.exec(line) ?? []
    if (tag === undefined || meaning === undefined) break
    rows.push({ tag, meaning })
  }
  return rows
}

/** The tags of the members of a union. */
const tagsOf = ({ ast }: Schema.Top) =>
  SchemaAST.isUnion(ast)
    ? ast.types.flatMap((member) => SchemaAST.isObjects(member) ? member.propertySignatures : []).flatMap((
      { name, type }
    ) => name === "_tag" && SchemaAST.isLiteral(type) ? [`${type.literal}`] : [])
    : []

describe("the tables of events", () => {
  it.each([
    { heading: "event", file: "src/schema/StreamEvent.ts", tags: tagsOf(StreamEvent) },
    { heading: "message", file: "src/schema/ClaudeMessage.ts", tags: tagsOf(ClaudeMessageType) }
  ])("name each $heading that the schema has, and no other", ({ file, heading, tags }) => {
    const rows = rowsBelow(heading, read("docs/streaming.md"))
    assert.deepStrictEqual(rows.map(({ tag }) => tag).toSorted(), tags.toSorted())
    assert.deepStrictEqual(rowsBelow(heading, read(file)), rows)
  })
})
