/** Text of others, as it may stand in a message or a log. */

/** What acts on a terminal, breaks a line or turns the direction of text, instead of being read. */
export const unreadable = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu

const escape = (character: string): string =>
  /[\n\r\t]/.test(character)
    ? JSON.stringify(character).slice(1, -1)
    : character.replace(/[^]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)

/** Text of at most so many characters, none of them cut in half. */
type Print = (text: string, length?: number) => string

const print = (kept: string): Print => (text, length) =>
  text.replace(unreadable, (character) => kept.includes(character) ? character : escape(character))
    .slice(0, length).replace(/[\ud800-\udbff]$/, "")

/** One line, its control characters escaped. */
export const printable = print("")

/** As {@link printable}, but its lines and tabs are kept. */
export const printableLines = print("\n\t")
