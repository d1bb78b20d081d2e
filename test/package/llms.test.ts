import { assert, describe, it } from "@effect/vitest"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import manifest from "../../package.json" with { type: "json" }

const root = join(import.meta.dirname, "../..")
const text = readFileSync(join(root, "llms.txt"), "utf8")
const items = text.split("\n").filter((line) => line.startsWith("- "))
const links = items.map((line) => /^- \[[^\]]+\]\(([^)]+)\): \S/.exec(line)?.[1])

const entries = Object.entries(manifest.exports).flatMap(([name, target]) =>
  typeof target === "object" && target !== null ? [name] : []
)

/** npm packs the README whatever `files` names. */
const packed = ["README.md", ...manifest.files]

describe("llms.txt", () => {
  it("has a title, a summary, and links with a line each", () => {
    assert.match(text, /^# effect-ash\n\n> [^\n]+\n\n/)
    assert.deepStrictEqual(items.filter((_, index) => links[index] === undefined), [])
  })

  it("is packed", () => assert.include(manifest.files, "llms.txt"))

  it("lists every page of docs, once", () => {
    const pages = readdirSync(join(root, "docs")).filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`)
    assert.deepStrictEqual(links.filter((link) => link?.startsWith("docs/")).toSorted(), pages.toSorted())
  })

  it.each(links)("leads by %s to a file that is packed", (link = "") => {
    assert.isTrue(existsSync(join(root, link)))
    assert.isTrue(packed.some((path) => link === path || link.startsWith(`${path}/`)))
  })

  it.each(entries)("names the entry %s", (name) => assert.include(text, `\`${name.replace(".", manifest.name)}\``))
})
