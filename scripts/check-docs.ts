/** Compiles every TypeScript block of the documents and of doc comments against the package, all at once. */
import { spawnSync } from "node:child_process"
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"

const folder = ".docs-check"

interface Block {
  readonly file: string
  readonly line: number
  readonly code: string
}

/** The lines of a doc comment without their asterisks; every other line empty, so that line numbers stay. */
const docComments = (text: string): string =>
  text.replace(
    /\/\*\*[^]*?\*\/|[^\n]+/g,
    (part) => part.startsWith("/**") ? part.replace(/^\s*(?:\/\*\*|\*\/|\*) ?/gm, "") : ""
  )

const blocksOf = (file: string): ReadonlyArray<Block> => {
  const text = readFileSync(file, "utf8")
  const document = file.endsWith(".md") ? text : docComments(text)
  return [...document.matchAll(/^```ts\n([^]*?)^```/gm)].map(({ 1: code = "", index }) => ({
    file,
    line: document.slice(0, index).split("\n").length + 1,
    code
  }))
}

const files = [...globSync("*.md"), ...globSync("docs/**/*.md"), ...globSync("src/**/*.ts")]
const blocks = files.flatMap(blocksOf)

rmSync(folder, { recursive: true, force: true })
mkdirSync(folder)
blocks.forEach(({ code }, index) => writeFileSync(join(folder, `block-${index}.ts`), `${code}\nexport {}\n`))
writeFileSync(
  join(folder, "tsconfig.json"),
  JSON.stringify({
    extends: "../tsconfig.json",
    compilerOptions: { noUnusedLocals: false, noUnusedParameters: false },
    include: ["*.ts"]
  })
)
const { status, stdout } = spawnSync("npx", ["tsc", "-p", folder, "--pretty", "false"], { encoding: "utf8" })
rmSync(folder, { recursive: true, force: true })

if (status !== 0) {
  console.error(stdout.replace(/^(?:\.docs-check\/)?block-(\d+)\.ts\((\d+),(\d+)\)/gm, (_, block, line, column) => {
    const { file, line: start } = blocks[Number(block)]!
    return `${file}:${start + Number(line) - 1}:${column}`
  }))
  process.exit(1)
}
console.log(`${blocks.length} code blocks compile`)
