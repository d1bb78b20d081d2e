import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as AgentScript from "../../src/embedded/AgentScript.ts"
import * as MessageReader from "../../src/functions/MessageReader.ts"
import * as AshEmbedded from "../../src/layers/AshEmbedded.ts"
import type { MessageContent } from "../../src/schema/Message.ts"
import { Agents } from "../../src/services/Agents.ts"
import { Messages } from "../../src/services/Messages.ts"
import { Sessions } from "../../src/services/Sessions.ts"

const image: MessageContent = [{
  type: "image",
  source: { type: "base64", media_type: "image/png", data: new Uint8Array([1]) }
}]

const texts = ["hello", "a", "😀", "日本語", "hello brave\nnew world", " padded ", "\u2060", "hello\u2060", "two words"]
const blank = ["", " ", "\n\t "]

const greet: AgentScript.AgentScript = () => Stream.make(AgentScript.say("Hi."))

describe("MessageReader.promptOf", () => {
  it.effect.each(["mangled", "strings", "intact"] as const)("reads a prompt as it was sent: content %s", (form) => {
    const received: Array<string> = []
    const script: AgentScript.AgentScript = (turn) => {
      received.push(turn.prompt)
      return greet(turn)
    }
    return Effect.gen(function*() {
      yield* (yield* Agents).create({ name: "demo" })
      const session = yield* (yield* Sessions).open({ agent: "demo" })
      const sent = [...texts, ...blank]
      for (const text of sent) yield* session.ask(text)
      for (const text of texts) yield* session.ask([{ type: "text", text }])
      const rows = yield* Stream.runCollect((yield* Messages).history(session.id))
      const prompts = rows.flatMap(({ content }) => Option.toArray(MessageReader.promptOf(content)))
      assert.deepStrictEqual(prompts, [...sent, ...texts])
      assert.deepStrictEqual(received, prompts)
    }).pipe(Effect.scoped, Effect.provide(AshEmbedded.layer({ script, quirks: { content: form } })))
  })

  it.effect.each(["mangled", "intact"] as const)(
    "an image has no text, with a text beside it that text: %s",
    (form) =>
      Effect.gen(function*() {
        yield* (yield* Agents).create({ name: "demo" })
        const session = yield* (yield* Sessions).open({ agent: "demo" })
        yield* session.ask(image)
        yield* session.ask([...image, { type: "text", text: "look" }])
        const rows = yield* Stream.runCollect((yield* Messages).history(session.id))
        const prompts = rows.filter(({ role }) => role === "user").map(({ content }) => MessageReader.promptOf(content))
        assert.deepStrictEqual(prompts, [Option.none(), Option.some("look")])
        assert.deepStrictEqual(
          rows.filter(({ role }) => role !== "user").map(({ content }) => MessageReader.promptOf(content)),
          [
            Option.none(),
            Option.none(),
            Option.none(),
            Option.none()
          ]
        )
      }).pipe(Effect.scoped, Effect.provide(AshEmbedded.layer({ script: greet, quirks: { content: form } })))
  )
})
