/**
 * Measures this SDK beside its peers, or beside itself at another commit: `npm run bench -- --help`. Writes a table and
 * a chart to `bench/results`.
 */
import { mkdirSync, writeFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { parseArgs } from "node:util"
import { type Checkout, checkOut } from "./checkout.ts"
import { measureEntries } from "./entry.ts"
import { peers, reference } from "./peers.ts"
import { toMarkdown, toSvg } from "./report.ts"
import { type Contender, runScenario, startServer } from "./run.ts"
import { full, quick, type Scenario } from "./scenarios.ts"

const help = `npm run bench -- [options]
  --quick             two minutes instead of twenty
  --compare <commit>  this SDK beside itself at a commit, instead of beside its peers
  --only <text>       only scenarios whose title contains the text
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

const besidePeers = ({ peers }: Scenario): ReadonlyArray<Contender> =>
  peers.map((peer) => ({ label: labelOf(peer), peer, root, reference: labelOf(reference) }))

const besideItself = ({ peers }: Scenario, other: Checkout): ReadonlyArray<Contender> =>
  peers.filter((peer) => peer.startsWith("effect-ash")).flatMap((peer) => {
    const there = `${labelOf(peer)} @ ${other.name}`
    return [
      { label: there, peer, root: other.root, reference: there },
      { label: `${labelOf(peer)}, here`, peer, root, reference: there }
    ]
  })

const run = async (other: Checkout | undefined) => {
  const { origin, server } = await startServer()
  const scenarios = (options.quick ? quick : full).filter(({ title }) => title.includes(options.only))
  const sections = []
  for (const scenario of scenarios) {
    console.error(scenario.title)
    const contenders = other === undefined ? besidePeers(scenario) : besideItself(scenario, other)
    sections.push({ scenario, results: await runScenario(scenario, contenders, origin) })
  }
  server.disconnect()

  console.error("Having the package")
  const roots = other === undefined ? [root] : [other.root, root]
  const costs = measureEntries(roots, options.quick ? 3 : 15)
  const names = other === undefined ? ["effect-ash"] : [`effect-ash @ ${other.name}`, "effect-ash, here"]
  return { sections, entries: costs.map((cost, index) => [names[index] ?? "", cost] as const) }
}

const write = (name: string, text: string) => {
  const folder = join(root, "bench/results")
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, name), text)
}

if (options.help) {
  console.log(help)
} else {
  if (options.peers !== undefined) process.env.BENCH_PEERS = resolve(options.peers)
  if (process.env.ASH_SDK !== undefined) process.env.ASH_SDK = resolve(process.env.ASH_SDK)
  const other = options.compare === undefined ? undefined : checkOut(root, options.compare)
  try {
    const measured = await run(other)
    const beside = other === undefined ? `the ${labelOf(reference)}` : `itself at ${other.name}`
    const report = {
      root,
      title: `effect-ash beside ${beside}`,
      note: "Medians; the ratios are over the reference, round by round, with the least and the greatest in brackets. "
        + "Speed: more is better. CPU, peak and KiB: less is better.",
      ...measured
    }
    const name = other === undefined ? (options.quick ? "quick" : "full") : `compare-${other.name}`
    const markdown = toMarkdown(report)
    write(`${name}.md`, markdown)
    write(`${name}.svg`, toSvg(report))
    console.log(markdown)
  } finally {
    other?.remove()
  }
}
