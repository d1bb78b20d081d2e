/** What is wrong with an answer that a schema was asked for. */
import * as Schema from "effect/Schema"

/** What is wrong at a place of an answer. */
export interface AnswerIssue extends Schema.Schema.Type<typeof AnswerIssue> {}
export const AnswerIssue = Schema.Struct({
  /** The keys and indices that lead to it; empty for the answer as a whole. */
  path: Schema.Array(Schema.Union([Schema.String, Schema.Finite])),
  /** What the schema expects there. It never has the value. */
  message: Schema.String
}).annotate({ identifier: "AnswerIssue" })
