/** Text of others, as it may stand in a message or a log. */

/** What acts on a terminal, breaks a line or turns the direction of text, instead of being read. */
export const unreadable = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu

const names: ReadonlyMap<string, string> = new Map([["\n", "\\n"], ["\r", "\\r"], ["\t", "\\t"]])

const escape = (character: string): string =>
  names.get(character) ?? Array.from(
    { length: character.length },
    (_, index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, "0")}`
  ).join("")

/** One line, its control characters escaped. */
export const printable = (text: string): string => text.replace(unreadable, escape)

/** As {@link printable}, but its lines and tabs are kept. */
export const printableLines = (text: string): string =>
  text.replace(unreadable, (character) => character === "\n" || character === "\t" ? character : escape(character))
