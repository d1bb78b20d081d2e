/** What an event stream means by the standard (HTML, section 9.2.6), written as the standard has it, for texts as a whole. */
import { type StreamEvent, streamEventFromJson } from "../../src/schema/StreamEvent.ts"
import { parseJson } from "../../src/schema/Wire.ts"

export const eventsByStandard = (bytes: Uint8Array): ReadonlyArray<StreamEvent> => {
  const text = new TextDecoder("utf-8").decode(bytes)
  const lines = text.split(/\r\n|\n|\r/)
  // What is not ended by a line end is not processed.
  lines.pop()
  const events: Array<StreamEvent> = []
  let name = ""
  let data = ""
  for (const line of lines) {
    if (line === "") {
      if (data !== "") events.push(streamEventFromJson(name === "" ? "message" : name, parseJson(data.slice(0, -1))))
      name = ""
      data = ""
      continue
    }
    const colon = line.indexOf(":")
    if (colon === 0) continue
    const field = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? "" : line.slice(colon + 1).replace(/^ /, "")
    if (field === "event") name = value
    if (field === "data") data += `${value}\n`
  }
  return events
}
