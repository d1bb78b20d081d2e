/**
 * How a text travels to servers that mangle a lone one: as two blocks that read as it does, and back. Models refuse a block
 * that has nothing to read, so where a text has nothing to be cut between, a word joiner stands beside it: a character
 * that is neither seen nor white space.
 */
import * as Predicate from "effect/Predicate"

const joiner = "\u2060"

const hasSomethingToRead = (text: string): boolean => /[^\s\p{C}\p{Z}]/u.test(text)

/** Where a text may be cut: after the first line, or else the first word, if visible text follows. */
const cut = (text: string): readonly [string, string] | undefined => {
  const end = /\S(?=[^\S\n]*\n\s*\S)/u.exec(text) ?? /\S(?=\s+\S)/u.exec(text)
  if (end === null) return undefined
  const at = end.index + end[0].length
  const parts = [text.slice(0, at), text.slice(at)] as const
  return parts.every(hasSomethingToRead) ? parts : undefined
}

/** What stands beside a block that has nothing beside it. */
export const besideBlock = joiner

/** A text as those of two blocks. */
export const toTwoTexts = (text: string): readonly [string, string] =>
  cut(text) ?? (hasSomethingToRead(text) ? [text, joiner] : [`${text}${joiner}`, `${joiner}${joiner}`])

/** What the texts of blocks were before, given in place; of an image or a document there is none. */
export const fromTexts = (blocks: ReadonlyArray<string | undefined>): ReadonlyArray<string> => {
  const [first, second] = blocks
  const isWhole = blocks.length === 2 && second === joiner
  const hadNothing = blocks.length === 2 && second === `${joiner}${joiner}` && first?.endsWith(joiner) === true
  return (isWhole ? [first] : hadNothing ? [first?.slice(0, -1)] : blocks).filter(Predicate.isNotUndefined)
}

const textIn = (block: unknown): string | undefined =>
  Predicate.isString(block)
    ? block
    : Predicate.hasProperty(block, "text") && Predicate.isString(block.text) && Predicate.hasProperty(block, "type") &&
        block.type === "text"
    ? block.text
    : undefined

/** The texts of a prompt, in any form in which it is sent, received or stored. */
export const textsOf = (content: unknown): ReadonlyArray<string> =>
  Predicate.isString(content) ? [content] : Array.isArray(content) ? fromTexts(content.map(textIn)) : []
