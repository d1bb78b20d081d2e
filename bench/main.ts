/**
 * Measures this SDK beside its peers, or beside itself at another commit: `npm run bench -- --help`. Writes a table and
 * a chart to `bench/results`.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { loadavg } from "node:os"
import { join, resolve } from "node:path"
import { parseArgs } from "node:util"
import { allocatedIn } from "./allocated.ts"
import { bundleWorker, temporaryFolder } from "./bundle.ts"
import { checkOut } from "./checkout.ts"
import { coldReference, prepareColdStarts } from "./coldStart.ts"
import { labelOf, officialEntry, reference } from "./peers.ts"
import { profilesToMarkdown, toMarkdown, toSvg, updateDocuments } from "./report.ts"
import { type Contender, runScenario, startServer } from "./run.ts"
import { full, quick, type Scenario, toProfile } from "./scenarios.ts"
import { sizeOf, streamsByMessages, streamsOneTurn } from "./size.ts"
import type { Figures, Section } from "./targets.ts"

const help = `npm run bench -- [options]
  --quick             two minutes instead of ten
  --profile           whose code the processor time goes to, where targets are missed, in the place of how long it takes
  --compare <commit>  this SDK beside itself at a commit, instead of beside its peers
  --only <text>       only scenarios whose title contains the text; writes no files
  --peers <folder>    where eventsource-parser, @anthropic-ai/sdk and openai are installed, if not here
ASH_SDK=<folder>      where the official SDK is, to be what all is compared with, in the place of its imitation`

const { values: options } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    profile: { type: "boolean", default: false },
    compare: { type: "string" },
    only: { type: "string", default: "" },
    peers: { type: "string" },
    help: { type: "boolean", default: false }
  }
})

const root = resolve(import.meta.dirname, "..")

/** A version of this package that is measured. */
interface Version {
  readonly name: string
  readonly root: string
  readonly worker: string
}

const besidePeers = (
  { peers, reference: base = reference }: Scenario,
  { worker }: Version
): ReadonlyArray<Contender> => peers.map((peer) => ({ label: labelOf(peer), peer, worker, reference: labelOf(base) }))

/** A contender that each version has, beside that of the first version. */
const besideItself = (
  versions: ReadonlyArray<Version>,
  name: string,
  peer: string,
  workerOf: (version: Version) => string
) => {
  const labels = versions.map((version) => `${name}, ${version.name}`)
  return versions.map((version, index): Contender => ({
    label: labels[index] ?? "",
    peer,
    worker: workerOf(version),
    reference: labels[0] ?? ""
  }))
}

/** Programs of cold starts, as they are made when they are needed. */
const coldContenders = (versions: ReadonlyArray<Version>): ReadonlyArray<Contender> => {
  const prepared = versions.map(({ root }) => prepareColdStarts(root))
  for (const { remove } of prepared) afterwards(remove)
  const [first] = prepared
  if (first === undefined) return []
  if (versions.length === 1) {
    return [...first.peers, ...first.ours].map(({ file, label }) => ({
      label,
      peer: label,
      worker: file,
      reference: coldReference
    }))
  }
  return first.ours.flatMap(({ label }, index) =>
    besideItself(versions, label, label, (version) => prepared[versions.indexOf(version)]?.ours[index]?.file ?? "")
  )
}

const contendersOf = (scenario: Scenario, versions: ReadonlyArray<Version>): ReadonlyArray<Contender> => {
  if (scenario.work.kind === "cold") return coldContenders(versions)
  const [here] = versions
  if (here !== undefined && versions.length === 1) return besidePeers(scenario, here)
  return scenario.peers.filter((peer) => peer.startsWith("effect-ash")).flatMap((peer) =>
    besideItself(versions, labelOf(peer), peer, ({ worker }) => worker)
  )
}

const measure = async (versions: ReadonlyArray<Version>): Promise<ReadonlyArray<Section>> => {
  const scenarios = (options.profile ? toProfile : options.quick ? quick : full).filter(({ title }) =>
    title.includes(options.only)
  )
  const { origin, server } = await startServer()
  const sections = []
  for (const scenario of scenarios) {
    console.error(scenario.title)
    const ask = options.profile ? "profile" : "round"
    sections.push({ scenario, results: await runScenario(scenario, contendersOf(scenario, versions), origin, ask) })
  }
  server.disconnect()
  return sections
}

const write = (name: string, text: string) => {
  const folder = join(root, "bench/results")
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, name), text)
}

/** Prints a table, and writes it where it is of all scenarios. */
const show = (name: string, markdown: string) => {
  console.log(markdown)
  if (options.only === "") write(name, markdown)
}

/** Removes what was made for the run, however the run ends. */
const afterwards = (remove: () => void) => process.once("exit", remove)

/** Writes the tables of a full run into the documents that have them. */
const writeDocuments = (figures: Figures) => {
  const [readme, benchReadme] = ["README.md", "bench/README.md"].map((name) => join(root, name))
  if (readme === undefined || benchReadme === undefined) return
  const updated = updateDocuments(figures, {
    readme: readFileSync(readme, "utf8"),
    benchReadme: readFileSync(benchReadme, "utf8")
  })
  writeFileSync(readme, updated.readme)
  writeFileSync(benchReadme, updated.benchReadme)
}

const main = async () => {
  if (process.env.ASH_SDK !== undefined) officialEntry(process.env.ASH_SDK)
  const [, load = 0] = loadavg()
  const peersFolder = resolve(options.peers ?? root)
  process.env.BENCH_PEERS = peersFolder
  process.once("SIGINT", () => process.exit(130))
  const workers = temporaryFolder(root)
  afterwards(workers.remove)
  const versionIn = (root: string, name: string): Version => ({
    name,
    root,
    worker: bundleWorker(root, join(workers.folder, name))
  })
  const here = versionIn(root, "here")
  let other: Version | undefined
  if (options.compare !== undefined) {
    const checkout = checkOut(root, options.compare)
    afterwards(checkout.remove)
    other = versionIn(checkout.root, checkout.name)
  }

  const sections = await measure(other === undefined ? [here] : [other, here])
  const run = { root, peersFolder, load, sections }
  if (options.profile) return show("profile.md", profilesToMarkdown(run))
  // A full run beside peers has them, as has a quick one what it measures of them.
  const figures = other !== undefined || options.only !== ""
    ? undefined
    : {
      sections,
      allocated: allocatedIn(root),
      size: sizeOf(root, streamsOneTurn),
      coreSize: sizeOf(root, streamsByMessages)
    }
  const report = {
    ...run,
    title: `effect-ash beside ${other === undefined ? `the ${labelOf(reference)}` : `itself at ${other.name}`}`,
    note: "Medians; the ratios are over the reference, round by round, with the least and the greatest in brackets. "
      + "Speed: more is better. CPU, peak and KiB: less is better.",
    figures
  }
  const name = other === undefined ? (options.quick ? "quick" : "full") : `compare-${other.name}`
  show(`${name}.md`, toMarkdown(report))
  if (options.only !== "") return
  write(`${name}.svg`, toSvg(report))
  if (figures !== undefined && !options.quick) writeDocuments(figures)
}

if (options.help) console.log(help)
else await main()
