/** How far a turn's stream is: what its stages, from the bytes to the end of the turn, know of each other. */

export interface TurnProgress {
  /** Whether an event has arrived. */
  hasBegun: boolean
  /** Whether the result has arrived, and nothing of the agent's behind it: what is missing is the end. */
  hasResult: boolean
  /** Messages that have arrived. */
  messages: number
  /** Whether the stream has ended, be it in failure. */
  hasEnded: boolean
}

export const initialProgress = (): TurnProgress => ({
  hasBegun: false,
  hasResult: false,
  messages: 0,
  hasEnded: false
})
