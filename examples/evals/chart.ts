/** A chart of what two versions of an agent answered, as SVG: bars that are read without colours, and in words as well. */

/** What became of a question. */
export interface Answer {
  /** 0 to 1, or nothing where there is no answer. */
  readonly score: number | undefined
  readonly note: string
}

export interface Comparison {
  readonly title: string
  readonly versions: readonly [Version, Version]
  readonly questions: ReadonlyArray<{ readonly question: string; readonly answers: readonly [Answer, Answer] }>
}

interface Version {
  readonly name: string
  /** 0 to 1. */
  readonly passRate: number
}

const width = 720
const margin = 24
/** The longest bar. Its label stands behind it. */
const full = 400
const top = 136
const rowHeight = 72
const barHeight = 16

/** Text of a server, as XML takes it, and no longer than so many characters. */
const xml = (text: string, length: number) => {
  const characters = Array.from(text.replace(/[^\t\n\r -\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu, "\uFFFD"))
  const short = characters.length > length ? `${characters.slice(0, length - 1).join("")}…` : characters.join("")
  return short.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`)
}

const percent = (share: number) => `${Math.round(100 * share)}%`

const labelOf = ({ note, score }: Answer) => [score === undefined ? [] : percent(score), note || []].flat().join(", ")

const bar = (answer: Answer, kind: "a" | "b", y: number) => {
  const length = Math.round(full * Math.min(1, Math.max(0, answer.score ?? 0)))
  return [
    ...(length > 0 ? [`<rect class="${kind}" x="${margin}" y="${y}" width="${length}" height="${barHeight}"/>`] : []),
    `<text class="small" x="${margin + length + 8}" y="${y + 13}">${xml(labelOf(answer), 40)}</text>`
  ]
}

const legend = ({ name, passRate }: Version, kind: "a" | "b", y: number) => [
  `<rect class="${kind}" x="${margin}" y="${y}" width="28" height="${barHeight}"/>`,
  `<text x="${margin + 40}" y="${y + 13}">${xml(name, 60)}: ${percent(passRate)} passed</text>`
]

/** In plain rules, as not every reader of SVG knows variables. */
const style = `
    text { font: 14px system-ui, sans-serif; stroke-width: 3px; paint-order: stroke }
    .title { font-size: 18px; font-weight: 600 }
    .small { font-size: 12px }
    .a, .b { stroke-width: 2px }
    .page, .a { fill: #ffffff }
    text { fill: #1f2328; stroke: #ffffff }
    .line { stroke: #d0d7de }
    .a { stroke: #57606a }
    .b { fill: #0550ae; stroke: #0550ae }
    @media (prefers-color-scheme: dark) {
      .page, .a { fill: #0d1117 }
      text { fill: #e6edf3; stroke: #0d1117 }
      .line { stroke: #30363d }
      .a { stroke: #9198a1 }
      .b { fill: #6cb6ff; stroke: #6cb6ff }
    }
  `

/** Draws the chart. The first version is hollow, the second one filled, and the description has all numbers. */
export const comparisonChart = ({ questions, title, versions: [a, b] }: Comparison): string => {
  const height = top + questions.length * rowHeight + margin
  const description = [
    `Passed: ${a.name} ${percent(a.passRate)}; ${b.name} ${percent(b.passRate)}.`,
    ...questions.map(({ answers: [one, other], question }) =>
      `${question} ${a.name}: ${labelOf(one)}; ${b.name}: ${labelOf(other)}.`
    )
  ].join("\n")
  const grid = [0, 0.5, 1].map((share) => {
    const x = margin + full * share
    return `<line class="line" x1="${x}" y1="${top - 8}" x2="${x}" y2="${height - margin}"/>`
  })
  const rows = questions.flatMap(({ answers, question }, index) => {
    const y = top + index * rowHeight
    return [
      `<text x="${margin}" y="${y + 14}">${xml(question, 90)}</text>`,
      ...bar(answers[0], "a", y + 22),
      ...bar(answers[1], "b", y + 42)
    ]
  })
  const shapes = [
    `<rect class="page" width="${width}" height="${height}"/>`,
    `<text class="title" x="${margin}" y="40">${xml(title, 60)}</text>`,
    ...legend(a, "a", 58),
    ...legend(b, "b", 82),
    `<text class="small" x="${margin}" y="118">Share of the expected texts in the answer; lines at 0, 50 and 100%</text>`,
    ...grid,
    ...rows
  ]
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" ` +
    `role="img" aria-labelledby="title description">
  <title id="title">${xml(title, 200)}</title>
  <desc id="description">${xml(description, 20_000)}</desc>
  <style>${style}</style>
  ${shapes.join("\n  ")}
</svg>
`
}
