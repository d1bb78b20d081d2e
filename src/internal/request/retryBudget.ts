/**
 * A bound on repetitions that the calls of a layer share, so that a server in trouble is not asked ever more. A
 * repetition takes from it, a call that succeeds gives back what it took and a tenth more: while all is well calls are
 * repeated as they may, and while everything fails each is sent once.
 */
export interface RetryBudget {
  /** Takes a repetition, if there is one left. */
  readonly take: () => boolean
  /** A call succeeded after so many repetitions. */
  readonly giveBack: (repetitions: number) => void
}

const gain = 0.1

export const make = (size: number): RetryBudget => {
  let left = size
  return {
    take: () => {
      if (left < 1) return false
      left -= 1
      return true
    },
    giveBack: (repetitions) => {
      left = Math.min(size, left + repetitions + gain)
    }
  }
}
