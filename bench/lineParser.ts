/** What reading an event stream costs at least: every line of data is parsed, and nothing is checked. */
import { parseJson, seeText } from "./official.ts"
import type { OnText } from "./peers.ts"

/** Cuts chunks into lines, and parses each line of data. */
export const lineParser = (onText: OnText) => {
  const decoder = new TextDecoder()
  let buffer = ""
  let type = ""
  let count = 0
  return {
    push: (chunk: Uint8Array) => {
      buffer += decoder.decode(chunk, { stream: true })
      const lines = buffer.split("\n")
      buffer = lines.pop() ?? ""
      for (const line of lines) {
        if (line.startsWith("event: ")) type = line.slice(7)
        if (!line.startsWith("data: ")) continue
        count += 1
        seeText(type, parseJson(line.slice(6)), onText)
      }
    },
    count: () => count
  }
}
