/**
 * Reads a turn. One fiber sends the message and reads the bytes of the answer ahead of the consumer, into a buffer that is
 * bounded in bytes, so that a server does not cut off a slow consumer. The consumer takes events, up to the end of the turn.
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { AshError } from "../../schema/AshError.ts"
import type { StreamEvent } from "../../schema/StreamEvent.ts"
import { callAfter } from "../request/eventLoop.ts"
import { renamed } from "../request/operations.ts"
import { Arrivals, type End } from "./arrivals.ts"
import type { TurnAnswer, TurnSource, TurnToSend } from "./turnControl.ts"
import { TurnEnding } from "./turnEnd.ts"
import { EventDecoder, tooLarge } from "./turnStream.ts"
import { timedOut, type Timer, TurnTimers } from "./turnTimers.ts"

type TurnPull = Pull.Pull<Arr.NonEmptyReadonlyArray<StreamEvent>, AshError>

/** Turns of the event loop. */
const patience = 3

/** Milliseconds in which the end of a connection comes, which servers send at once behind that of the turn. */
const longestEnd = 500

const endBehindError: ReadonlyArray<StreamEvent> = [{ _tag: "Done" }]

/** The reader of one turn. A class, as methods stay compiled when a turn ends, and closures do not. */
class TurnReader {
  readonly #source: TurnSource
  readonly #clock: Clock.Clock
  readonly #context: Context.Context<never>
  readonly #arrivals: Arrivals
  readonly #decoder: EventDecoder
  readonly #connection = Scope.makeUnsafe()
  #fiber: Fiber.Fiber<unknown, unknown> | undefined
  /** Present once the server has answered. */
  #ending: TurnEnding | undefined
  #timers: TurnTimers | undefined
  #pull: Pull.Pull<unknown, AshError> | undefined
  /** Whether nothing has come behind an error that may be a block of the agent's. */
  #isNoBlock = false
  readonly #next: TurnPull = Effect.suspend(() => this.#ending === undefined ? this.#await() : this.#go(this.#ending))
  /** The next events, once something has arrived. */
  readonly #arrived: TurnPull

  constructor(source: TurnSource, context: Context.Context<never>) {
    this.#source = source
    this.#clock = Context.get(context, Clock.Clock)
    this.#context = context
    this.#arrivals = new Arrivals(source, this.#clock)
    this.#arrived = Effect.andThen(this.#arrivals.filled, this.#next)
    this.#decoder = new EventDecoder(source.limits.maxEventSize)
  }

  /** Sends the message and reads what answers it, in a fiber of the scope. What that holds is released behind the fiber. */
  start(send: TurnToSend["send"], scope: Scope.Scope): Effect.Effect<TurnPull> {
    if (scope.state._tag === "Closed") return Effect.interrupt
    const read = Effect.flatMap(send(scope), (answer) => this.#read(answer))
    const fiber = Effect.runForkWith(Context.add(this.#context, Scope.Scope, this.#connection))(
      Effect.onExit(read, (exit) => this.#close(exit))
    )
    this.#fiber = Fiber.runIn(fiber, scope)
    fiber.addObserver((end) => {
      this.#arrivals.finish(end)
      this.#timers?.stop()
    })
    // Behind the fiber, which it ends also where the turn was to end before.
    this.#source.control.onAbort((error) => this.#break(Exit.fail(error)))
    return Effect.succeed(this.#next)
  }

  #read(answer: TurnAnswer): Effect.Effect<never, AshError | Cause.Done> {
    return Effect.flatMap(Channel.toPullScoped(answer.body.channel, this.#connection), (pull) => {
      this.#begin(answer)
      this.#pull = pull
      return this.#addAll(pull)
    })
  }

  /**
   * Closes the connection. Behind a turn that has ended it is read to its end, beside what the program goes on with: one that
   * is closed before cannot be used again. An end that does not come is not waited for.
   */
  #close(exit: Exit.Exit<never, AshError | Cause.Done>): Effect.Effect<void> {
    const close = Scope.close(this.#connection, exit)
    if (this.#pull === undefined || !this.#ending?.hasEnded || !Exit.hasInterrupts(exit)) return close
    const rest = Effect.forever(this.#pull)
    return Effect.sync(() => {
      const fiber = Effect.runForkWith(this.#context)(Effect.ensuring(Effect.ignore(rest), close))
      fiber.addObserver(callAfter(this.#context, longestEnd, () => fiber.interruptUnsafe()))
    })
  }

  /** Apart from what opens the body: a closure in there would keep the answer while the turn is read. */
  #addAll(pull: Pull.Pull<ReadonlyArray<Uint8Array>, AshError>): Effect.Effect<never, AshError | Cause.Done> {
    return Effect.forever(Effect.flatMap(pull, (batch) => this.#add(batch)), { disableYield: true })
  }

  #begin(answer: TurnAnswer) {
    this.#arrivals.begin()
    this.#ending = new TurnEnding(this.#source, answer)
    this.#timers = new TurnTimers({
      limits: this.#source.limits,
      startedAt: answer.startedAt,
      arrivals: this.#arrivals,
      progress: this.#ending,
      clock: this.#clock,
      context: this.#context,
      onPassed: (timer) => this.#pass(timer)
    })
  }

  #add(batch: ReadonlyArray<Uint8Array>): Effect.Effect<void, AshError> {
    const { awaitsHeartbeat } = this.#arrivals
    const added = this.#arrivals.add(batch)
    if (awaitsHeartbeat && !this.#arrivals.awaitsHeartbeat) this.#timers?.set()
    return added
  }

  #break(end: End) {
    this.#arrivals.finish(end)
    this.#fiber?.interruptUnsafe()
  }

  #pass(timer: Timer) {
    if (timer !== "block") {
      return this.#break(Exit.fail(timedOut(this.#source.operation, timer, this.#source.limits[timer])))
    }
    this.#isNoBlock = true
    this.#arrivals.wake()
  }

  /** Waits for the answer, or for why there is none. */
  #await(): TurnPull {
    const { end } = this.#arrivals
    return end === undefined
      ? this.#arrived
      : Effect.mapError(end, (error) => Cause.isDone(error) ? error : this.#named(error))
  }

  /** The next events, or how the turn has ended. */
  #go(ending: TurnEnding): TurnPull {
    if (ending.mixed !== undefined) return this.#fail(ending, ending.mixed)
    if (ending.hasEnded) return Effect.flatMap(this.#readEnd(), () => this.#fail(ending, ending.end()))
    const events = this.#decode()
    if (events.length > 0) return this.#deliver(ending, events)
    const end = this.#end
    if (end !== undefined) {
      return Effect.catch(end, (error) =>
        ending.held === undefined
          ? this.#fail(ending, Cause.isDone(error) ? ending.truncated() : error)
          : this.#deliver(ending, endBehindError))
    }
    this.#timers?.awaitEnd()
    return this.#arrived
  }

  #decode(): ReadonlyArray<StreamEvent> {
    let events = this.#decoder.take()
    while (events.length === 0 && !this.#decoder.isTooLarge && !this.#arrivals.isEmpty) {
      this.#decoder.feed(this.#arrivals.take())
      events = this.#decoder.take()
    }
    return events
  }

  #deliver(ending: TurnEnding, events: ReadonlyArray<StreamEvent>): TurnPull {
    this.#arrivals.hasBegun = true
    this.#isNoBlock = false
    const kept = ending.take(events)
    if (!Arr.isReadonlyArrayNonEmpty(kept)) return this.#next
    this.#source.control.receive(kept)
    return Effect.succeed(kept)
  }

  /** How the stream has ended behind what is decoded. */
  get #end(): End | undefined {
    const { limits, operation } = this.#source
    if (this.#decoder.isTooLarge) return Exit.fail(tooLarge(operation, limits.maxEventSize))
    return this.#isNoBlock ? Exit.fail(Cause.Done()) : this.#arrivals.end
  }

  /**
   * Reads the end of the connection, where it comes at once behind that of the turn, as it does from servers: the next turn
   * finds it free.
   */
  #readEnd(times = patience): Effect.Effect<void> {
    return this.#arrivals.end !== undefined || times === 0
      ? Effect.void
      : Effect.flatMap(Effect.yieldNow, () => this.#readEnd(times - 1))
  }

  #fail(ending: TurnEnding, error: AshError | Cause.Done): Effect.Effect<never, AshError | Cause.Done> {
    return Effect.fail(Cause.isDone(error) ? error : this.#named(ending.failure(error)))
  }

  #named(error: AshError): AshError {
    const { control, operation } = this.#source
    return control.fail(renamed(operation)(error))
  }
}

/** Streams a turn: the message is sent when the stream is run. */
export const readTurn = (open: Effect.Effect<TurnToSend, AshError, Scope.Scope>) =>
  Stream.fromChannel(
    Channel.fromTransform((_, scope: Scope.Scope) =>
      Effect.flatMap(
        Effect.updateContext(open, (context: Context.Context<never>) => Context.add(context, Scope.Scope, scope)),
        ({ send, source }) => Effect.withFiber(({ context }) => new TurnReader(source, context).start(send, scope))
      )
    )
  )
