import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as Transcript from "../../src/functions/Transcript.ts"
import * as TurnStream from "../../src/functions/TurnStream.ts"
import type { StreamEvent } from "../../src/schema/StreamEvent.ts"
import { assistant, result, sessionId } from "../support/fixtures.ts"
import { chance, promise } from "../support/promise.ts"
import { readTurn } from "../support/readTurn.ts"
import { frames } from "../support/ScriptedServer.ts"

type Frame = readonly [event: string, data: unknown]

/** How a server sends pieces: as events of their own, as messages of the Claude API, or as both, the twin behind. */
type Form = "granular" | "twins" | "both"

const kinds = {
  text: { event: "text_delta", delta: (text: string) => ({ type: "text_delta", text }), type: "text" },
  thinking: {
    event: "thinking_delta",
    delta: (thinking: string) => ({ type: "thinking_delta", thinking }),
    type: "thinking"
  }
} as const
type Kind = keyof typeof kinds

/** Turns at random, and what their agent says in them. */
const generate = (seed: number) => {
  const random = chance(seed)
  const pick = <A>(first: A, ...others: ReadonlyArray<A>): A =>
    others[Math.floor(random() * (others.length + 1)) - 1] ?? first
  const some = (most: number) => Math.floor(random() * (most + 1))
  const form = pick<Form>("granular", "twins", "both", "both")
  // With keys in another order, as newer SDKs write them.
  const isReordered = random() < 0.3
  // Servers of which ids say nothing, or differ where one would not look.
  const pieceId = pick<(id: number) => string>((id) => `p${id}`, (id) => `${id}-aaaa-bbbb-cccc`, () => "p")
  let words = 0
  let ids = 0
  const word = () => `w${words++}${pick("", " \"parent_tool_use_id\":null ", "}ü😀")};`
  const all: Array<Frame> = [["session_start", { sessionId }]]
  const init: Frame = ["message", { type: "system", subtype: "init", session_id: "s", uuid: "init" }]
  const said: Record<Kind, string> = { text: "", thinking: "" }
  /** Each block of the agent's own text that is complete, and whatever a subagent says. */
  const blocks: Array<string> = []
  const foreign: Array<string> = []
  let toolUsed = false

  let hasPartials = false
  const partial = (event: unknown, parent: string | null) => {
    if (form === "granular") return
    hasPartials = true
    const rest = { session_id: "s", parent_tool_use_id: parent, uuid: pieceId(ids++) }
    const message: Frame = [
      "message",
      isReordered ? { ...rest, type: "stream_event", event } : { type: "stream_event", event, ...rest }
    ]
    all.push(message)
    if (!isReordered && random() < 0.05) all.push(message)
  }
  const piece = (kind: Kind, text: string, parent: string | null) => {
    if (form !== "twins") all.push([kinds[kind].event, { delta: text }])
    partial({ type: "content_block_delta", index: 0, delta: kinds[kind].delta(text) }, parent)
  }
  const complete = (kind: Kind, text: string, parent: string | null, id: string) => {
    // Servers send the whole of each block of thinking once more.
    if (kind === "thinking") all.push(["thinking_delta", { delta: text }])
    const message: Frame = [
      "message",
      assistant([{ type: kinds[kind].type, [kind]: text }], {
        parent_tool_use_id: parent ?? pick<string | null>(null, ""),
        uuid: pick("", `u${ids++}`),
        message: { id, role: "assistant", model: "claude", content: [{ type: kinds[kind].type, [kind]: text }] }
      })
    ]
    all.push(message)
    const hasId = (message[1] as { readonly uuid: string }).uuid !== ""
    if (hasId && random() < 0.1) all.push(message)
  }
  const own = (kind: Kind, text: string, isBehindTool: boolean) => {
    if (kind === "text" && text === "") toolUsed ||= isBehindTool
    said[kind] += kind === "text" && text !== "" && isBehindTool && said.text !== "" ? `\n\n${text}` : text
  }
  const aSubagentSpeaks = () => {
    // Nothing tells whose pieces are that have no twin, until their message is complete.
    const id = `m${ids++}`
    const kind = pick<Kind>("text", "thinking")
    if (form !== "granular" && random() < 0.8) partial({ type: "message_start", message: { id } }, "toolu_1")
    const pieces = form === "granular" ? [] : Array.from({ length: some(3) }, word)
    // The first piece of a turn is shown at once where nothing tells that it has a twin, and then taken back.
    foreign.push(...pieces.slice(form === "both" && !hasPartials ? 1 : 0))
    for (const text of pieces) piece(kind, text, "toolu_1")
    if (random() < 0.7 || form === "granular") {
      const text = word()
      foreign.push(text)
      complete(kind, text, "toolu_1", id)
    }
  }

  /** A message that is complete while the next one is written. */
  let late: () => void = () => {}
  const saysLate = () => {
    late()
    late = () => {}
  }
  /** In between the pieces of a block of this kind. */
  const somethingElse = (kind: Kind, id: string) => {
    if (random() < 0.2) saysLate()
    if (form !== "granular" && random() < 0.1) aSubagentSpeaks()
    if (form !== "granular" && random() < 0.1) {
      all.push(["message", assistant([{ type: "tool_use", id: `t${ids++}`, name: "Bash", input: {} }])])
      toolUsed = true
    }
    if (kind === "text" && random() < 0.1) {
      const text = word()
      complete("thinking", text, null, id)
      own("thinking", text, false)
    }
  }

  // The end of a turn that ran before, and went on when this one began.
  const isMixed = form !== "granular" && random() < 0.1
  const isBehind = isMixed && random() < 0.5
  if (isMixed && !isBehind) piece(pick<Kind>("text", "thinking"), word(), null)
  if (random() < 0.5) all.push(init)
  const count = 1 + some(4)
  for (let turn = 0; turn < count; turn++) {
    const id = `m${ids++}`
    const kind = pick<Kind>("text", "text", "thinking")
    const isRetried = random() < 0.25
    if (random() < 0.2) aSubagentSpeaks()
    if (random() < 0.2) {
      all.push(["message", assistant([{ type: "tool_use", id: `t${ids++}`, name: "Bash", input: {} }])])
      toolUsed = true
    }
    partial({ type: "message_start", message: { id } }, null)
    partial({ type: "content_block_start", index: 0, content_block: { type: kinds[kind].type, [kind]: "" } }, null)
    if (isRetried) {
      for (let left = 1 + some(2); left > 0; left--) piece(kind, word(), null)
      all.push(["message", { type: "system", subtype: "api_retry", attempt: 1, uuid: `r${ids++}` }])
      partial({ type: "message_start", message: { id: `${id}b` } }, null)
    }
    const pieces = Array.from({ length: some(3) }, word)
    const isBehindTool = toolUsed
    if (kind === "text") toolUsed = false
    for (const text of pieces) {
      piece(kind, text, null)
      somethingElse(kind, id)
    }
    const whole = pieces.join("")
    // Where pieces have no beginning of their own, those without a complete message run into the next ones.
    const ending = form === "granular"
      ? pick("same", "longer", "shorter", "other")
      : pick("same", "same", "longer", "shorter", "other", "missing")
    if (ending === "missing") {
      // Asked again without an answer, the model has said nothing of which it is known that it counts.
      const text = isRetried && whole === "" ? word() : whole
      if (isRetried && whole === "") complete(kind, text, null, id)
      own(kind, text, isBehindTool)
      continue
    }
    const text = ending === "same" && whole !== ""
      ? whole
      : ending === "longer"
      ? whole + word()
      : ending === "shorter" && pieces.length > 1
      ? pieces.slice(0, -1).join("")
      : word()
    saysLate()
    if (form !== "granular" && !isRetried && whole !== "" && text === whole && random() < 0.3) {
      late = () => complete(kind, text, null, id)
    } else complete(kind, text, null, random() < 0.5 ? id : "msg_other")
    own(kind, text, isBehindTool)
    if (kind === "text") blocks.push(text)
  }
  saysLate()
  all.push(["message", result])
  if (isBehind) piece(pick<Kind>("text", "thinking"), word(), null)
  all.push(["done", { sessionId }])
  return { all, said, blocks, foreign, form, isMixed }
}

interface Block {
  readonly kind: Kind | "tool"
  readonly text: string
}

/** Turns of a server that sends all blocks of a message in one, or each by itself as soon as it is written. */
const generateBlocks = (seed: number) => {
  const random = chance(seed)
  const pick = <A>(first: A, ...others: ReadonlyArray<A>): A =>
    others[Math.floor(random() * (others.length + 1)) - 1] ?? first
  const some = (most: number) => Math.floor(random() * (most + 1))
  const hasDeltas = random() < 0.5
  const isWhole = random() < 0.8
  let ids = 0
  const id = () => `id${ids++}`
  // Texts that are the same, or begin alike, or of which each is said once.
  const word = random() < 0.5 ? () => pick("a", "b", "ab", "a ") : () => `${id()};`
  const all: Array<Frame> = [["session_start", { sessionId }]]
  const said: Record<Kind, string> = { text: "", thinking: "" }
  /** The texts of complete messages. */
  const texts: Array<string> = []
  let toolUsed = false
  const jsonOf = ({ kind, text }: Block) =>
    kind === "tool" ? { type: "tool_use", id: "toolu_1", name: "Bash", input: {} } : { type: kind, [kind]: text }
  const partial = (event: unknown) =>
    all.push(["message", { type: "stream_event", event, session_id: "s", parent_tool_use_id: null, uuid: id() }])
  const say = ({ kind, text }: Block) => {
    if (kind === "tool") toolUsed = true
    else if (text !== "") {
      const isApart = kind === "text" && toolUsed && said.text !== ""
      said[kind] += isApart ? `\n\n${text}` : text
      if (kind === "text") toolUsed = false
    }
  }
  const complete = (message: string, blocks: ReadonlyArray<Block>) => {
    for (const { kind, text } of blocks) if (kind === "thinking") all.push(["thinking_delta", { delta: text }])
    blocks.forEach(say)
    for (const { kind, text } of blocks) if (kind === "text") texts.push(text)
    const content = blocks.map(jsonOf)
    const body = { id: message, role: "assistant", content }
    all.push(["message", { type: "assistant", message: body, parent_tool_use_id: null, uuid: id() }])
  }
  const write = (index: number, isMissing: boolean): Block => {
    const kind = pick<Block["kind"]>("text", "text", "thinking", "tool")
    partial({ type: "content_block_start", index, content_block: jsonOf({ kind, text: "" }) })
    if (kind === "tool") return { kind, text: "" }
    const pieces = Array.from({ length: some(3) }, word)
    for (const text of pieces) {
      if (hasDeltas) all.push([kinds[kind].event, { delta: text }])
      partial({ type: "content_block_delta", index, delta: kinds[kind].delta(text) })
    }
    const whole = pieces.join("")
    if (isMissing) return { kind, text: whole }
    const longer = pick(whole + word(), word())
    return { kind, text: whole === "" ? "" : pick(whole, longer, pieces.slice(0, -1).join("") || whole) }
  }
  for (let messages = 1 + some(3); messages > 0; messages--) {
    const message = id()
    // It breaks off, and never comes as a whole.
    const isMissing = random() < 0.1
    partial({ type: "message_start", message: { id: message } })
    const written = Array.from({ length: 1 + some(3) }, (_, index) => {
      const block = write(index, isMissing)
      if (isMissing) say(block)
      else if (!isWhole) complete(message, [block])
      partial({ type: "content_block_stop", index })
      return block
    })
    if (isMissing) continue
    const hasMore = ({ kind }: Block) => written.filter((block) => block.kind === kind && block.text !== "").length > 1
    const emptied = random() < 0.2 ? written.find(hasMore) : undefined
    if (isWhole) complete(message, written.map((block) => block === emptied ? { ...block, text: "" } : block))
    partial({ type: "message_stop" })
  }
  all.push(["message", result], ["done", { sessionId }])
  return { all, said, texts }
}

/** The events of a turn, whose bytes are cut in two; of each third one, events that arrive by themselves. */
const eventsOf = (seed: number, all: ReadonlyArray<Frame>) => {
  const bytes = new TextEncoder().encode(frames(...all))
  const cut = 1 + (seed % bytes.length)
  const events = readTurn(Stream.make(bytes.slice(0, cut), bytes.slice(cut)))
  return seed % 3 === 0 ? Stream.rechunk(events, 1) : events
}

const withoutSpace = (text: string) => text.replace(/\s+/g, "")

const countOf = (text: string, part: string) => text.split(part).length - 1

describe("the agent's text", () => {
  promise(
    "P25",
    "a turn's text is that of the agent's own complete messages",
    { fast: 2000, full: 10_000 },
    (size) =>
      Effect.gen(function*() {
        const failures: Array<string> = []
        for (let seed = 0; seed < size; seed++) {
          const { all, blocks, foreign, form, isMixed, said } = generate(seed)
          const events = eventsOf(seed, all)
          const shown: Array<string> = []
          const fail = (what: string) => failures.push(`${seed} (${form}): ${what}`)
          const outcome = yield* Effect.result(
            TurnStream.toTurn(events, { onText: (text) => Effect.sync(() => shown.push(text)) })
          )
          if (isMixed || Result.isFailure(outcome)) {
            const tag = Result.isFailure(outcome) ? outcome.failure.reason._tag : undefined
            if (tag !== (isMixed ? "TurnMixed" : undefined)) fail(`failed as ${tag}`)
            continue
          }
          const turn = outcome.success
          const deltas = (yield* Stream.runCollect(TurnStream.textDeltas(events))).join("")
          if (turn.text !== said.text) fail(`text ${JSON.stringify([turn.text, said.text])}`)
          if (turn.thinking !== said.thinking) fail(`thinking ${JSON.stringify([turn.thinking, said.thinking])}`)
          if (shown.join("") !== deltas) fail("onText is not textDeltas")
          for (const block of blocks) if (!deltas.includes(block)) fail(`lost ${block} in ${deltas}`)
          // Each word is said once; one that is taken back may be said again in the whole that takes its place.
          const taken = (yield* Stream.runCollect(events)).filter((event): event is
            & StreamEvent
            & { readonly _tag: "TextReplaced" } => event._tag === "TextReplaced"
          )
          for (const block of blocks) {
            const again = taken.filter(({ abandoned, text }) => abandoned.includes(block) || text === block).length
            if (countOf(deltas, block) > 1 + again) fail(`doubled ${block} in ${deltas}`)
          }
          for (const text of foreign) if (deltas.includes(text)) fail(`of a subagent: ${text}`)
          // A user interface that shows pieces, and takes back what it is told to, where no subagent writes in between.
          if (foreign.length > 0) continue
          const screen = (yield* Stream.runCollect(events)).reduce((screen, event) => {
            if (event._tag === "TextDelta") return screen + event.delta
            if (event._tag !== "TextReplaced") return screen
            const at = screen.lastIndexOf(event.abandoned)
            return form === "twins" || at === -1
              ? screen
              : screen.slice(0, at) + event.text + screen.slice(at + event.abandoned.length)
          }, "")
          for (const { abandoned } of taken) {
            if (!turn.text.includes(abandoned) && screen.includes(abandoned)) fail(`not taken back: ${screen}`)
          }
        }
        return {
          cases: size,
          failures,
          note: "pieces in three forms, subagents, retries, duplicates, other turns, out of order, cut in two"
        }
      }),
    it.effect
  )

  promise(
    "P25",
    "a turn's text is that of its messages, however many blocks they have, and a transcript has it once",
    { fast: 2000, full: 10_000 },
    (size) =>
      Effect.gen(function*() {
        const failures: Array<string> = []
        for (let seed = 0; seed < size; seed++) {
          const { all, said, texts } = generateBlocks(seed)
          const events = eventsOf(seed, all)
          const { text, thinking } = yield* TurnStream.toTurn(events)
          const deltas = yield* Stream.mkString(TurnStream.textDeltas(events))
          for (const block of texts) {
            if (!deltas.includes(block)) failures.push(`${seed}: ${JSON.stringify([deltas, block])} in pieces`)
          }
          const transcript = Transcript.text(yield* Stream.runCollect(events)).split("\n")
          const lines = (isThinking: boolean) =>
            withoutSpace(
              transcript.filter((line) => !line.startsWith("[") && line.startsWith("~ ") === isThinking).join("\n")
            )
          // Of an agent that says nothing a transcript has the result.
          if (lines(false) !== withoutSpace(said.text || result.result)) {
            failures.push(`${seed}: ${JSON.stringify([transcript, said.text])} in the transcript`)
          }
          if (lines(true).replaceAll("~", "") !== withoutSpace(said.thinking)) {
            failures.push(`${seed}: ${JSON.stringify([transcript, said.thinking])} in the transcript`)
          }
          if (text !== said.text || thinking !== said.thinking) {
            failures.push(`${seed}: ${JSON.stringify([text, said.text, thinking, said.thinking])}`)
          }
        }
        return { cases: size, failures, note: "the same, longer, shorter and other than their pieces, or empty" }
      }),
    it.effect
  )
})
