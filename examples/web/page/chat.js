/**
 * A chat over the routes of `WebChat`. The id of the chat stands behind the `#` of the address, so that a reload, or another
 * tab, has the same chat. What an agent writes is only ever set as text.
 */
const [messages, status, error, form, text, send, stop] = [
  "#messages",
  "#status",
  "#error",
  "form",
  "#text",
  "#send",
  "#stop"
]
  .map((selector) => document.querySelector(selector))

if (location.hash === "") history.replaceState(null, "", `#${crypto.randomUUID()}`)
const id = location.hash.slice(1)
const api = "/api/chat"
const chat = `${api}/${encodeURIComponent(id)}`

/** Other tabs of this chat, which read a turn that one of them has begun. */
const tabs = new BroadcastChannel(`chat ${id}`)

let isBusy = false
let isStale = false

const lost = "The connection to the server was lost. Try again when the server is back."

const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties)
  made.append(...children)
  return made
}

/** A message, which is filled part by part. */
const addMessage = (role) => {
  const message = element(
    "article",
    { className: role },
    element("h2", { textContent: role === "user" ? "You" : "Agent" })
  )
  messages.append(message)
  return message
}

/** A text or a thought: answers how it grows. */
const addText = (message, type) => {
  const node = document.createTextNode("")
  const paragraph = element("p", {}, node)
  message.append(
    type === "reasoning"
      ? element("details", {}, element("summary", { textContent: "Thoughts" }), paragraph)
      : paragraph
  )
  return (delta) => node.appendData(delta)
}

/** A call of a tool: answers how it ends. */
const addTool = (message, { input, toolName }) => {
  const state = element("span", { textContent: "is running" })
  const details = element(
    "details",
    {},
    element("summary", {}, element("strong", { textContent: toolName }), " ", state),
    element("pre", { textContent: JSON.stringify(input, null, 2) })
  )
  message.append(details)
  return (how, output) => {
    state.textContent = how
    if (typeof output === "string") details.append(element("pre", { textContent: output }))
    else if (output !== null) details.append(element("pre", { textContent: JSON.stringify(output, null, 2) }))
  }
}

const show = ({ parts, role }) => {
  const message = addMessage(role)
  for (const part of parts) {
    if (part.type === "dynamic-tool") addTool(message, part)("has run", part.output)
    else addText(message, part.type)(part.text)
  }
}

const setBusy = (busy) => {
  isBusy = busy
  messages.setAttribute("aria-busy", String(busy))
  if (!busy && document.activeElement === stop) text.focus()
  send.hidden = busy
  stop.hidden = !busy
}

/** Runs one thing at a time. A failure becomes a text of the page. */
const busily = async (what, work) => {
  if (isBusy) return
  setBusy(true)
  error.textContent = ""
  status.textContent = what
  try {
    status.textContent = await work()
  } catch (cause) {
    status.textContent = ""
    // What `fetch` and its body throw has no text for people.
    error.textContent = cause instanceof Refused ? cause.message : lost
  } finally {
    setBusy(false)
  }
  if (isStale) await load()
}

/** The server has answered why not. */
class Refused extends Error {}

const request = async (url, init) => {
  const response = await fetch(url, init)
  if (!response.ok) throw new Refused(await response.text() || `The server answered ${response.status}.`)
  return response
}

/** The parts of an answer. The last frame is `[DONE]`; without it the connection was lost. */
async function* chunksOf(body) {
  let rest = ""
  const reader = body.pipeThrough(new TextDecoderStream()).getReader()
  while (true) {
    const { done, value } = await reader.read()
    if (done) throw new Error(lost)
    const frames = (rest + value).split("\n\n")
    rest = frames.pop() ?? ""
    for (const frame of frames) {
      if (!frame.startsWith("data: ")) continue
      const data = frame.slice("data: ".length)
      if (data === "[DONE]") return
      yield JSON.parse(data)
    }
  }
}

/** Shows a turn as it runs, and answers how it ended. A tool without a result at the end was cut off. */
const read = async ({ body }) => {
  let made
  const message = () => made ??= addMessage("assistant")
  const texts = new Map()
  const tools = new Map()
  let how = "The agent is done."
  status.textContent = "The agent is at work."
  try {
    for await (const chunk of chunksOf(body)) {
      switch (chunk.type) {
        case "text-start":
        case "reasoning-start":
          texts.set(chunk.id, addText(message(), chunk.type.split("-")[0]))
          break
        case "text-delta":
        case "reasoning-delta":
          texts.get(chunk.id)?.(chunk.delta)
          break
        case "tool-input-available":
          tools.set(chunk.toolCallId, addTool(message(), chunk))
          status.textContent = `The agent uses ${chunk.toolName}.`
          break
        case "tool-output-available":
        case "tool-output-error":
          tools.get(chunk.toolCallId)?.(
            chunk.type === "tool-output-error" ? "has failed" : "is done",
            chunk.output ?? chunk.errorText
          )
          tools.delete(chunk.toolCallId)
          status.textContent = "The agent is at work."
          break
        case "data-session-restarted":
          message().append(element("p", { textContent: "(The agent was restarted, and has lost its memory.)" }))
          break
        case "error":
          throw new Refused(chunk.errorText)
        case "abort":
          how = "The agent was stopped."
      }
      scrollTo({ top: document.body.scrollHeight })
    }
  } finally {
    for (const end of tools.values()) end("was cut off", null)
  }
  return how
}

const historyOf = async () => (await request(chat)).json()

/** Shows the chat as the server has it, and the turn that runs in it. */
const load = () => {
  isStale = isBusy
  return busily("The chat is loaded.", async () => {
    let stored = await historyOf()
    const response = await request(`${chat}/stream`)
    const isRunning = response.status === 200
    // It ended between the two requests.
    if (!isRunning && stored.at(-1)?.role === "user") stored = await historyOf()
    messages.replaceChildren()
    stored.forEach(show)
    return isRunning ? read(response) : ""
  })
}

const submit = () => {
  const sent = text.value
  if (isBusy || sent.trim() === "") return
  void busily("The message is sent.", async () => {
    const response = await request(api, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ id, messages: [{ role: "user", parts: [{ type: "text", text: sent }] }] })
    })
    text.value = ""
    show({ role: "user", parts: [{ type: "text", text: sent }] })
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a channel has none
    tabs.postMessage("sent")
    return read(response)
  })
}

/** The stream ends when the turn has been stopped. */
const stopTurn = () =>
  request(`${chat}/stream`, { method: "DELETE" }).catch((cause) => {
    error.textContent = cause instanceof Refused ? cause.message : lost
  })

form.addEventListener("submit", (event) => {
  event.preventDefault()
  submit()
})
text.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return
  event.preventDefault()
  submit()
})
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && isBusy) void stopTurn()
})
stop.addEventListener("click", stopTurn)
document.querySelector("#new").addEventListener("click", () => {
  location.hash = crypto.randomUUID()
})
addEventListener("hashchange", () => location.reload())
tabs.addEventListener("message", load)

text.focus()
void load()
