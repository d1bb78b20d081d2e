/** Runs the turns of sessions: performs the script, stores what the agent says, and hands it on as frames. */
import * as Context from "effect/Context"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as PubSub from "effect/PubSub"
import type * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { StoredMessage } from "../../schema/Message.ts"
import { fromTexts } from "../../schema/promptText.ts"
import type { Session } from "../../schema/Session.ts"
import type { AgentTurn, TurnOptions, Workspace } from "../AgentScript.ts"
import { Settings } from "../EmbeddedOptions.ts"
import { type Sandbox, Sandboxes, type Utterance } from "../sandbox/Sandboxes.ts"
import { type SessionRow, Store } from "../store/Store.ts"
import { Usage } from "../store/Usage.ts"
import * as Frames from "../wire/Frames.ts"
import { elements, textField } from "../wire/Json.ts"
import * as Outflow from "./Outflow.ts"
import * as Performance from "./Performance.ts"

/** A turn that came to nothing. */
export class TurnFailure extends Data.TaggedError("TurnFailure")<{ readonly message: string }> {}

export class Turns extends Context.Service<Turns, {
  /** Starts a turn. The frames end with it; the scope is that of the client's connection. */
  readonly start: (options: {
    readonly row: SessionRow
    readonly sandbox: Sandbox
    readonly content: Schema.Json
    readonly options: TurnOptions
    /** How many bytes may wait for the reader before the turn does. */
    readonly capacity: number
  }) => Effect.Effect<Stream.Stream<Uint8Array>, never, Scope.Scope>
  /** Runs a turn without a reader, and answers what was said in it. Nothing of it is stored. */
  readonly ask: (options: {
    readonly session: Session
    readonly sandbox: Sandbox
    readonly prompt: string
  }) => Effect.Effect<string, TurnFailure>
}>()("effect-ash/embedded/turn/Turns") {
  static readonly layer = Layer.effect(
    Turns,
    Effect.gen(function*() {
      const { quirks, script } = yield* Settings
      const store = yield* Store
      const usage = yield* Usage
      const sandboxes = yield* Sandboxes
      const random = yield* SecureRandom.SecureRandom
      const fileSystem = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const serverScope = yield* Effect.scope

      const workspaceOf = ({ directory, exec }: Sandbox): Workspace => ({
        directory,
        exec: (command) => exec(command),
        readFile: (file) => fileSystem.readFileString(path.join(directory, file)),
        writeFile: (file, text) =>
          Effect.andThen(
            fileSystem.makeDirectory(path.dirname(path.join(directory, file)), { recursive: true }),
            fileSystem.writeFileString(path.join(directory, file), text)
          )
      })

      /** What the agent is told of a turn. */
      const describe = Effect.fnUntraced(function*({ content, history, options, sandbox, session }: {
        readonly content: Schema.Json
        readonly history: ReadonlyArray<StoredMessage>
        readonly options: TurnOptions
        readonly sandbox: Sandbox
        readonly session: Session
      }): Effect.fn.Return<AgentTurn> {
        const claudeFile = path.join(sandbox.directory, "CLAUDE.md")
        const systemPrompt = yield* Effect.orElseSucceed(fileSystem.readFileString(claudeFile), () => "")
        return {
          prompt: promptOf(content),
          content,
          options,
          history,
          workspace: workspaceOf(sandbox),
          session,
          agent: { name: session.agentName, systemPrompt }
        }
      })

      /** The agent's part of a turn: it goes on whether or not anybody listens. */
      const perform = Effect.fnUntraced(function*(turn: AgentTurn, sandbox: Sandbox, number: number) {
        const ending = yield* Performance.perform(script, turn, {
          ...stageOf(sandbox),
          emit: (message) => sandbox.speak(number, { _tag: "Message", message })
        })
        switch (ending._tag) {
          case "Finished":
            return yield* sandbox.speak(number, { _tag: "Done", sessionId: turn.session.id })
          case "Failed":
            return yield* sandbox.speak(number, { _tag: "Failed", error: ending.error })
          case "Crashed":
            // Not here: the sandbox's end waits for its turns, and this is one of them.
            yield* Effect.forkIn(sandboxes.crash(sandbox.id), serverScope)
            return yield* Effect.never
        }
      }, Effect.provideService(SecureRandom.SecureRandom, random))

      const remember = Effect.fnUntraced(function*(session: Session, message: Schema.JsonObject) {
        const sessionId = session.id
        if (message["type"] === "result") yield* usage.count(session, message)
        if (Frames.isStored(message)) yield* store.addMessage(sessionId, "assistant", message)
        for (const { data, type } of Frames.timeline(message)) yield* store.addEvent(sessionId, type, data)
      })

      /** The server's part of a turn: passes on what the agent says, stores what is new, and tells whether to go on. */
      const relay = Effect.fnUntraced(function*(
        session: Session,
        sandbox: Sandbox,
        utterance: Utterance,
        outflow: Outflow.Outflow
      ) {
        const sessionId = session.id
        const isNew = sandbox.claim(utterance)
        const done = Frames.done(sessionId)
        switch (utterance._tag) {
          case "Message": {
            const isTaken = yield* Effect.interruptible(outflow.write(Frames.fromMessage(utterance.message)))
            // What the reader does not take is not stored, nor what follows.
            if (!isTaken) yield* outflow.end([Frames.error("Client write timeout — closing stream"), done])
            else if (yield* isNew) yield* remember(session, utterance.message)
            return isTaken
          }
          case "Failed":
            if (yield* isNew) yield* store.addEvent(sessionId, "error", { error: utterance.error })
            yield* outflow.end([Frames.error(utterance.error)])
            return false
          case "Done":
            if (yield* isNew) yield* sandboxes.persist(sandbox.id)
            yield* outflow.end([Frames.done(utterance.sessionId)])
            return false
          case "Died":
            if (quirks.hangOnDeadSandbox) return true
            yield* outflow.end([Frames.error("Sandbox died"), done])
            return false
        }
        // What has gone out is stored, though the reader leaves at once.
      }, Effect.uninterruptible)

      const isHeard = (turn: number, utterance: Utterance) =>
        quirks.mixTurns || utterance.turn === turn || utterance._tag === "Died"

      const start: Turns["Service"]["start"] = Effect.fnUntraced(
        function*({ capacity, content, options, row, sandbox }) {
          const { session, settings } = row
          const history = yield* store.messages(session.id)
          yield* store.addMessage(session.id, "user", { type: "user", content })
          yield* store.updateSession(session.id, {})

          // With the connection ends the listening, and with the listening the storing.
          const owner = quirks.dropAfterDisconnect ? yield* Effect.scope : serverScope
          const listening = yield* Scope.fork(owner)
          const subscription = yield* Scope.provide(sandbox.listen, listening)
          const outflow = yield* Outflow.make(quirks.cutStalledReaders ? capacity : undefined)
          yield* Effect.addFinalizer(() => outflow.abandon)
          const number = yield* sandbox.nextTurn
          yield* PubSub.take(subscription).pipe(
            Effect.flatMap((utterance) =>
              isHeard(number, utterance) ? relay(session, sandbox, utterance, outflow) : Effect.succeed(true)
            ),
            Effect.repeat({ while: (goesOn) => goesOn }),
            Effect.ensuring(Scope.close(listening, Exit.void)),
            Effect.forkIn(owner)
          )

          const turn = Effect.flatMap(
            describe({ content, history, options: { ...settings, ...options }, sandbox, session }),
            (turn) => perform(turn, sandbox, number)
          )
          yield* sandbox.start(quirks.mixTurns ? turn : sandbox.turnLock.withPermit(turn))
          return outflow.stream
        }
      )

      const ask: Turns["Service"]["ask"] = Effect.fnUntraced(function*({ prompt, sandbox, session }) {
        const turn = yield* describe({ content: prompt, history: [], options: {}, sandbox, session })
        let answer = ""
        const ending = yield* sandbox.run(Performance.perform(script, turn, {
          ...stageOf(sandbox),
          emit: (message) =>
            Effect.sync(() => {
              answer += Frames.textOf(message)
            })
        }))
        switch (ending._tag) {
          case "Finished":
            return answer
          case "Failed":
            return yield* new TurnFailure({ message: ending.error })
          case "Crashed":
            yield* sandboxes.crash(sandbox.id)
            return yield* new TurnFailure({ message: "Sandbox died" })
        }
      }, Effect.provideService(SecureRandom.SecureRandom, random))

      return Turns.of({ start, ask })
    })
  )
}

const stageOf = ({ conversation, log, settings }: Sandbox) => ({
  conversation,
  permissionMode: settings.permissionMode,
  mcpServers: Object.keys(settings.mcpServers ?? {}),
  log
})

/** What an agent reads in a content: its texts, one behind the other. */
const promptOf = (content: Schema.Json): string =>
  typeof content === "string" ? content : fromTexts(elements(content).map(textIn)).join("")

const textIn = (block: Schema.Json): string | undefined =>
  typeof block === "string" ? block : textField(block, "type") === "text" ? textField(block, "text") : undefined
