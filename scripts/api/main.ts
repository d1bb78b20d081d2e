/** Writes the report of the public types, which a test compares: a file for each entry. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { withDeclarations } from "./declarations.ts"
import { reports } from "./report.ts"

const folder = "api"

const texts = withDeclarations(reports)
rmSync(folder, { recursive: true, force: true })
mkdirSync(folder)
for (const [name, text] of texts) writeFileSync(join(folder, name), text)
console.log(`${texts.size} reports are in ${folder}`)
