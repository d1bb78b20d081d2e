/**
 * Measures this SDK beside its peers, or beside itself at another commit: `npm run bench -- --help`. Writes a table and
 * a chart to `bench/results`.
 */
import { mkdirSync, writeFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { parseArgs } from "node:util"
import { bundleWorker, temporaryFolder } from "./bundle.ts"
import { checkOut } from "./checkout.ts"
import { measureEntries } from "./entry.ts"
import { peers, reference } from "./peers.ts"
import { entryTitle, toMarkdown, toSvg } from "./report.ts"
import { type Contender, runScenario, startServer } from "./run.ts"
import { full, quick, type Scenario } from "./scenarios.ts"

const help = `npm run bench -- [options]
  --quick             two minutes instead of a quarter of an hour
  --compare <commit>  this SDK beside itself at a commit, instead of beside its peers
  --only <text>       only scenarios whose title contains the text; writes no files
  --peers <folder>    where eventsource-parser, @anthropic-ai/sdk and openai are installed, if not here
ASH_SDK=<folder>      a checkout of the official SDK, built, to be measured too`

const { values: options } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    compare: { type: "string" },
    only: { type: "string", default: "" },
    peers: { type: "string" },
    help: { type: "boolean", default: false }
  }
})

const root = resolve(import.meta.dirname, "..")

const labelOf = (id: string) => peers.find((peer) => peer.id === id)?.label ?? id

/** A version of this package that is measured. */
interface Version {
  readonly name: string
  readonly root: string
  readonly worker: string
}

const besidePeers = ({ peers }: Scenario, { worker }: Version): ReadonlyArray<Contender> =>
  peers.map((peer) => ({ label: labelOf(peer), peer, worker, reference: labelOf(reference) }))

const besideItself = ({ peers }: Scenario, versions: ReadonlyArray<Version>): ReadonlyArray<Contender> =>
  peers.filter((peer) => peer.startsWith("effect-ash")).flatMap((peer) => {
    const labels = versions.map(({ name }) => `${labelOf(peer)}, ${name}`)
    return versions.map(({ worker }, index) => ({
      label: labels[index] ?? "",
      peer,
      worker,
      reference: labels[0] ?? ""
    }))
  })

/** Measures this version beside the peers, or beside the other. */
const measure = async (here: Version, other: Version | undefined) => {
  const versions = other === undefined ? [here] : [other, here]
  const scenarios = (options.quick ? quick : full).filter(({ title }) => title.includes(options.only))
  const { origin, server } = await startServer()
  const sections = []
  for (const scenario of scenarios) {
    console.error(scenario.title)
    const contenders = other === undefined ? besidePeers(scenario, here) : besideItself(scenario, versions)
    sections.push({ scenario, results: await runScenario(scenario, contenders, origin) })
  }
  server.disconnect()

  if (!entryTitle.includes(options.only)) return { sections, entries: [] }
  console.error(entryTitle)
  const costs = measureEntries(versions.map(({ root }) => root), options.quick ? 3 : 15)
  return { sections, entries: costs.map((cost, index) => [`effect-ash, ${versions[index]?.name}`, cost] as const) }
}

const write = (name: string, text: string) => {
  const folder = join(root, "bench/results")
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, name), text)
}

/** Removes what was made for the run, however the run ends. */
const afterwards = (remove: () => void) => process.once("exit", remove)

const main = async () => {
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

  const report = {
    root,
    peersFolder,
    title: `effect-ash beside ${other === undefined ? `the ${labelOf(reference)}` : `itself at ${other.name}`}`,
    note: "Medians; the ratios are over the reference, round by round, with the least and the greatest in brackets. "
      + "Speed: more is better. CPU, peak and KiB: less is better.",
    ...await measure(here, other)
  }
  const markdown = toMarkdown(report)
  console.log(markdown)
  if (options.only !== "") return
  const name = other === undefined ? (options.quick ? "quick" : "full") : `compare-${other.name}`
  write(`${name}.md`, markdown)
  write(`${name}.svg`, toSvg(report))
}

if (options.help) console.log(help)
else await main()
