/** The turns that the agents of an embedded server ran, for tests to look at. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import type { AgentScript, AgentTurn } from "./AgentScript.ts"
import * as FileTree from "./sandbox/FileTree.ts"

/** A turn as it began. */
export interface AskedTurn extends AgentTurn {
  /** The paths of the workspace's files, without those of dependencies and caches. */
  readonly files: ReadonlyArray<string>
}

/** The turns that the agents of a server ran: of messages, of the queue and of evals. */
export class AskedTurns extends Context.Service<AskedTurns, {
  /** All turns so far, in the order in which they began. */
  readonly all: Effect.Effect<ReadonlyArray<AskedTurn>>
  /** The first turns, so many of them, once they have begun: for prompts that a program sends in the background. */
  readonly first: (count: number) => Effect.Effect<ReadonlyArray<AskedTurn>>
}>()("effect-ash/embedded/AskedTurns") {}

const filesOf = ({ workspace }: AgentTurn) =>
  FileTree.list(workspace.directory, FileTree.isHidden).pipe(
    Effect.map((entries) => entries.map(({ path }) => path)),
    // A workspace that is removed meanwhile has none.
    Effect.orElseSucceed((): ReadonlyArray<string> => []),
    Effect.provide(NodeFileSystem.layer)
  )

/** A record without any turns, and what puts those of a script into it. */
export const make = Effect.gen(function*() {
  const turns: Array<AskedTurn> = []
  const count = yield* SubscriptionRef.make(0)
  const inOrder = (yield* Semaphore.make(1)).withPermit
  const add = (turn: AskedTurn) => Effect.suspend(() => SubscriptionRef.set(count, turns.push(turn)))
  return {
    service: AskedTurns.of({
      all: Effect.sync(() => [...turns]),
      first: (number) =>
        SubscriptionRef.changes(count).pipe(
          Stream.takeUntil((count) => count >= number),
          Stream.runDrain,
          Effect.map(() => turns.slice(0, number))
        )
    }),
    record: (script: AgentScript): AgentScript => (turn) =>
      Stream.unwrap(Effect.as(
        inOrder(Effect.flatMap(filesOf(turn), (files) => add({ ...turn, files }))),
        Stream.suspend(() => script(turn))
      ))
  }
})
