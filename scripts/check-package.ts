/** Packs the package as it is published, and checks what a reader of the tarball meets: entries, types, links, sources. */
import { execFileSync, spawnSync } from "node:child_process"
import { existsSync, globSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs"
import { SourceMap } from "node:module"
import { tmpdir } from "node:os"
import { dirname, join, relative, resolve, sep } from "node:path"
import { consumerProblems } from "./api/consumers.ts"

const root = mkdtempSync(join(tmpdir(), "effect-ash-package-"))

/** `prepack` builds: what is packed is what the sources are now. */
const pack = () => {
  execFileSync("npm", ["pack", "--pack-destination", root], { stdio: ["ignore", "ignore", "inherit"] })
  const tarball = join(root, readdirSync(root)[0]!)
  execFileSync("tar", ["-xzf", tarball, "-C", root])
  return { tarball, folder: join(root, "package") }
}

/** What a tool prints when it finds fault, and nothing when it does not. */
const complaints = (command: string, ...args: ReadonlyArray<string>) => {
  const { status, stderr, stdout } = spawnSync("npx", [command, ...args], { encoding: "utf8" })
  return status === 0 ? [] : [`${command}:\n${stdout}${stderr}`]
}

const read = (file: string) => readFileSync(file, "utf8")

/** A document without its code, in which nothing is a link. */
const proseOf = (file: string) => read(file).replace(/^```[^]*?^```/gm, "").replace(/`[^`\n]*`/g, "")

const linksOf = (file: string) =>
  [...proseOf(file).matchAll(/\]\(<?([^\s)>]+)|^\[[^\]]+\]: *(\S+)|<(?:a|img)\b[^>]*?(?:href|src)="([^"]+)"/gm)]
    .map(([, inline, reference, html]) => inline ?? reference ?? html!)

/** The names by which the headings of a document are linked. */
const headingsOf = (file: string) =>
  [...read(file).replace(/^```[^]*?^```/gm, "").matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
    heading.toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, "").replaceAll(" ", "-")
  )

/** What is wrong with a link, if anything. */
const follow = (folder: string, file: string, link: string) => {
  if (/^[a-z][a-z+.-]*:/i.test(link)) return []
  const [path = "", fragment] = decodeURIComponent(link).split("#")
  const target = path === "" ? file : resolve(dirname(file), path)
  if (!target.startsWith(folder + sep) || !existsSync(target)) return ["leads to nothing that is packed"]
  if (fragment === undefined) return []
  return statSync(target).isFile() && headingsOf(target).includes(fragment) ? [] : ["leads to no heading"]
}

const deadLinks = (folder: string) =>
  globSync("**/*.md", { cwd: folder }).flatMap((name) =>
    linksOf(join(folder, name)).flatMap((link) =>
      follow(folder, join(folder, name), link).map((problem) => `${name}: the link ${link} ${problem}`)
    )
  )

/** Maps of code and of declarations whose sources are not packed. */
const lostSources = (folder: string) =>
  globSync("dist/**/*.js.map", { cwd: folder }).concat(globSync("dist/**/*.d.ts.map", { cwd: folder })).flatMap(
    (name) =>
      (JSON.parse(read(join(folder, name))).sources as ReadonlyArray<string>)
        .map((source) => resolve(folder, dirname(name), source))
        .filter((source) => !source.startsWith(join(folder, "src") + sep) || !existsSync(source))
        .map((source) => `${name}: the source ${relative(folder, source)} is not packed`)
  )

const declaration = /^export (?:declare )?(?:abstract )?(?:const|function|class|interface|type|namespace) (\w+)/

/** Declarations whose definition an editor would not find in the sources: each has to lead to where its name stands. */
const lostDefinitions = (folder: string) =>
  globSync("dist/**/*.d.ts", { cwd: folder }).flatMap((name) => {
    const file = join(folder, name)
    const lines = read(file).split("\n")
    if (!lines.some((line) => line.startsWith("//# sourceMappingURL="))) return [`${name}: it has no map`]
    const sources = new Map<string, ReadonlyArray<string>>()
    /** The lines of a source; none where it is not packed. */
    const linesOf = (source: string) => {
      const path = resolve(dirname(file), source)
      const found = sources.get(path) ?? (existsSync(path) ? read(path).split("\n") : [])
      sources.set(path, found)
      return found
    }
    const map = new SourceMap(JSON.parse(read(`${file}.map`)))
    return lines.flatMap((line, index) => {
      const identifier = declaration.exec(line)?.[1]
      if (identifier === undefined) return []
      const entry = map.findEntry(index, line.indexOf(` ${identifier}`) + 1)
      const source = "originalSource" in entry &&
        linesOf(entry.originalSource)[entry.originalLine]?.slice(entry.originalColumn)
      return source && new RegExp(`^${identifier}\\b`).test(source) ? [] : [`${name}: ${identifier} leads elsewhere`]
    })
  })

try {
  const { folder, tarball } = pack()
  const problems = [
    ...complaints("publint", "run", tarball, "--strict"),
    ...complaints("attw", tarball, "--profile", "esm-only"),
    ...deadLinks(folder),
    ...lostSources(folder),
    ...lostDefinitions(folder),
    ...(await consumerProblems(folder, join(root, "program")))
  ]
  console.log(problems.join("\n") || "What is packed is whole: its types, its links, its sources")
  process.exitCode = problems.length === 0 ? 0 : 1
} finally {
  rmSync(root, { recursive: true, force: true })
}
