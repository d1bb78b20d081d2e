/** What the package does on every runtime: a turn, a cancel, a file, an error. */
import { AshError, textDeltas } from "effect-ash/promise"

const expect = (is, what) => {
  if (!is) throw new Error(`expected ${what}`)
}

export const reasonOf = (promise) =>
  promise.then(() => "none", (error) => error instanceof AshError ? error.reason._tag : String(error))

/** Each check by its name. `echo` repeats the prompt, `endless` never ends its turn. */
export const checks = {
  turn: async (ash) => {
    const session = await ash.sessions.open({ agent: "echo" })
    try {
      let text = ""
      for await (const piece of textDeltas(session.stream("Hello", { includePartialMessages: true }))) text += piece
      expect(text === "Hello", `the text of the turn, not ${text}`)
      expect((await session.ask("Again")).text === "Again", "the second turn")
    } finally {
      await session[Symbol.asyncDispose]()
    }
    const { status } = await session.get()
    expect(status === "ended", `a session that has ended, not ${status}`)
  },
  cancel: async (ash) => {
    const session = await ash.sessions.open({ agent: "endless" })
    try {
      const events = session.stream("Hello")[Symbol.asyncIterator]()
      await events.next()
      const rest = (async () => {
        while (!(await events.next()).done);
      })()
      const reason = reasonOf(rest)
      await session.cancel()
      expect(await reason === "TurnCancelled", `a cancelled turn, not ${await reason}`)
    } finally {
      await session[Symbol.asyncDispose]()
    }
  },
  file: async (ash) => {
    const session = await ash.sessions.open({ agent: "echo" })
    try {
      await session.files.write([{ path: "a/ü.txt", content: "é" }, {
        path: "b",
        content: new Blob(["b".repeat(200_000)])
      }])
      expect(await session.files.readText("a/ü.txt") === "é", "the text of the file")
      const file = await session.files.read("b")
      expect((await file.bytes()).length === 200_000, "the bytes of the file")
    } finally {
      await session[Symbol.asyncDispose]()
    }
  },
  error: async (ash) => {
    const missing = await reasonOf(ash.agents.get("nobody"))
    expect(missing === "NotFound", `NotFound, not ${missing}`)
    const aborted = ash.with({ signal: AbortSignal.abort(new Error("the user left")) }).agents.list()
    expect(await aborted.catch(({ message }) => message) === "the user left", "the reason of the signal")
  }
}

/** Runs every check, and answers which failed, and why. */
export const smoke = async (ash) => {
  const failures = {}
  for (const [name, check] of Object.entries(checks)) {
    await check(ash).catch((error) => {
      failures[name] = String(error?.message ?? error)
    })
  }
  return failures
}
