/** Files in as many requests as they need: agents take them in bodies of 1 MiB. */

interface File {
  readonly path: string
  readonly content: { readonly length: number }
}

/** What the files of one request may take in its body, leaving room for the rest of it. */
const batchSize = 1_010_000

/** At most so much a file takes in JSON: base64, and a path that may be escaped character by character. */
const sizeOf = ({ content, path }: File) => Math.ceil(content.length / 3) * 4 + path.length * 6 + 32

/** Whether no request can carry a file. */
export const isTooLarge = (file: File): boolean => sizeOf(file) > batchSize

/** The files, in their order, request by request. */
export const batches = <A extends File>(files: ReadonlyArray<A>): ReadonlyArray<ReadonlyArray<A>> => {
  const all: Array<Array<A>> = []
  let size = Infinity
  for (const file of files) {
    size += sizeOf(file)
    if (size > batchSize) {
      all.push([])
      size = sizeOf(file)
    }
    all.at(-1)?.push(file)
  }
  return all
}
