/**
 * Writes the pages of the API, by typedoc: a module for each entry, and in it a category for each room of the sources.
 * Typedoc needs an older TypeScript than the package, and so is installed in a folder of its own. A warning is a failure.
 */
import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import manifest from "../package.json" with { type: "json" }

const root = mkdtempSync(join(tmpdir(), "effect-ash-pages-"))

const sources = Object.values(manifest.exports).flatMap((target) =>
  typeof target === "object" && target !== null ? [target["effect-ash-source"]] : []
)

/** A plugin of typedoc: what an entry exports has for a category the folder of the sources that declares it. */
const rooms = `import { Comment, CommentTag, Converter } from "typedoc"
export const load = (app) => app.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }) => {
  for (const entry of project.children ?? []) for (const child of entry.children ?? []) {
    const room = /^src\\/(.*)\\/[^/]*$/.exec(project.getSymbolIdFromReflection(child)?.packagePath ?? "")?.[1]
    if (room === undefined || child.isReference()) continue
    child.comment ??= new Comment()
    child.comment.blockTags.push(new CommentTag("@category", [{ kind: "text", text: room }]))
  }
})
`

const options = {
  entryPoints: sources.map((source) => resolve(source)),
  tsconfig: resolve("tsconfig.json"),
  out: resolve("api-pages"),
  name: `${manifest.name} ${manifest.version}`,
  readme: "none",
  plugin: [join(root, "rooms.mjs")],
  // Its TypeScript is not the one that the package is checked by.
  skipErrorChecking: true,
  disableSources: true,
  excludeExternals: true,
  excludeInternal: true,
  excludePrivate: true,
  // What no entry exports has no page.
  validation: { notExported: false, invalidLink: true, invalidPath: true },
  treatWarningsAsErrors: true,
  logLevel: "Warn"
}

try {
  writeFileSync(join(root, "package.json"), JSON.stringify({ private: true }))
  writeFileSync(join(root, "rooms.mjs"), rooms)
  writeFileSync(join(root, "typedoc.json"), JSON.stringify(options))
  const install = ["install", "--no-audit", "--no-fund", "--loglevel=error"]
  const { "typescript-6.0": typescript } = manifest.devDependencies
  execFileSync("npm", [...install, "typedoc@0.28.20", `typescript@${typescript}`], {
    cwd: root,
    stdio: ["ignore", "ignore", "inherit"]
  })
  execFileSync(process.execPath, [
    join(root, "node_modules/typedoc/bin/typedoc"),
    "--options",
    join(root, "typedoc.json")
  ], {
    stdio: "inherit"
  })
  console.log("The pages of the API are in api-pages")
} finally {
  rmSync(root, { recursive: true, force: true })
}
