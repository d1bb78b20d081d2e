/**
 * The same chat on `useChat`: `npm run start:web`, and in another terminal `npx vite examples/web/react`, with the address that
 * it prints.
 */
import { useChat } from "@ai-sdk/react"
import type { UIMessage } from "ai"
import { type SubmitEvent, useState } from "react"
import { createRoot } from "react-dom/client"

if (location.hash === "") history.replaceState(null, "", `#${crypto.randomUUID()}`)
const id = location.hash.slice(1)
const chat = `/api/chat/${encodeURIComponent(id)}`

const lost = "The connection to the server was lost. Try again when the server is back."

const Part = ({ part }: { readonly part: UIMessage["parts"][number] }) => {
  switch (part.type) {
    case "text":
      return <p>{part.text}</p>
    case "data-session-restarted":
      return <p>(The agent was restarted, and has lost its memory.)</p>
    case "dynamic-tool":
      return (
        <details>
          <summary>
            <strong>{part.toolName}</strong> {states.get(part.state) ?? "is running"}
          </summary>
          <pre>{JSON.stringify(part.input, null, 2)}</pre>
          <pre>{String(part.output ?? part.errorText ?? "")}</pre>
        </details>
      )
    default:
      return null
  }
}

const states = new Map([["output-available", "is done"], ["output-error", "has failed"]])

const Chat = ({ stored }: { readonly stored: Array<UIMessage> }) => {
  const [text, setText] = useState("")
  const { error, messages, sendMessage, status } = useChat({ id, messages: stored, resume: true })
  const isBusy = status === "submitted" || status === "streaming"
  const submit = (event: SubmitEvent) => {
    event.preventDefault()
    if (isBusy || text.trim() === "") return
    setText("")
    void sendMessage({ text })
  }
  return (
    <>
      <main>
        <h1>Chat</h1>
        <div id="messages" role="log" aria-label="Messages" aria-busy={isBusy}>
          {messages.map(({ id, parts, role }) => (
            <article key={id} className={role}>
              <h2>{role === "user" ? "You" : "Agent"}</h2>
              {parts.map((part, index) => <Part key={index} part={part} />)}
            </article>
          ))}
        </div>
        <p id="status" role="status">{isBusy ? "The agent is at work." : ""}</p>
        <p id="error" role="alert">{error instanceof TypeError ? lost : error?.message}</p>
      </main>
      <form aria-label="New message" onSubmit={submit}>
        <label htmlFor="text">Message</label>
        <textarea id="text" required value={text} onChange={(event) => setText(event.target.value)} />
        {isBusy
          ? <button type="button" onClick={() => fetch(`${chat}/stream`, { method: "DELETE" })}>Stop</button>
          : <button type="submit">Send</button>}
      </form>
    </>
  )
}

const stored: Array<UIMessage> = await (await fetch(chat)).json()
createRoot(document.body).render(<Chat stored={stored} />)
