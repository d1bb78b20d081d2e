/** What became of a turn of a handle, by what the server keeps. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { sentAt } from "../../internal/request/failures.ts"
import { checked, count, optionsOf, rule } from "../../internal/request/options.ts"
import { paginate } from "../../internal/request/paging.ts"
import { isContent } from "../../internal/turn/contentForm.ts"
import { contentKeyOf, reconcile, type ReconcileQuery, type TurnToFind } from "../../internal/turn/reconcile.ts"
import type { ListMessagesOptions } from "../Messages.ts"
import type { HandleState } from "./handleState.ts"

/** The conversation, and how far the server's clock is ahead of this program's. */
const readMessages = ({ id, services: { listMessages, policy } }: HandleState) =>
  Effect.gen(function*() {
    const clock = yield* Clock.Clock
    let clockAhead: number | undefined
    const page = Effect.fnUntraced(function*(query: ListMessagesOptions) {
      const { response, value } = yield* policy.exchange(listMessages, { params: { id }, query })
      const time = sentAt(response.headers)
      clockAhead = time === undefined ? undefined : time - clock.currentTimeMillisUnsafe()
      return value.messages
    })
    const rows = yield* Stream.runCollect(paginate(page))
    return { rows, clockAhead }
  })

/** The turn that is asked about: a given one, or else the last one that broke off, the last one, the last of the session. */
const turnToFind = ({ after = 0, broken, latest }: HandleState, asked: ReconcileQuery | undefined): TurnToFind => {
  const known = broken ?? latest
  if (asked !== undefined) {
    return {
      after: asked.after ?? 0,
      contentKey: asked.content === undefined ? undefined : contentKeyOf(asked.content)
    }
  }
  return { after, isLast: known === undefined, ...known, sentAt: known?.sentAt() }
}

const rules = optionsOf<ReconcileQuery>({
  after: count(0),
  content: rule("a text or a list of blocks", isContent)
})

export const outcome = Effect.fnUntraced(function*(handle: HandleState, asked: ReconcileQuery | undefined) {
  const { after, id, services } = handle
  yield* checked("SessionHandle.reconcile", rules, asked === undefined ? { after } : asked)
  const events = paginate((page) => services.sessions.listEvents(id, page))
  return yield* reconcile({ messages: readMessages(handle), events }, turnToFind(handle, asked))
})
