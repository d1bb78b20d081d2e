/** The media types of files by their extension, and their names in headers, as the server sends them (docs/ash.md 3.7). */
const types = new Map(Object.entries({
  avif: "image/avif",
  bmp: "image/bmp",
  c: "text/x-c",
  cpp: "text/x-c++",
  css: "text/css",
  csv: "text/csv",
  gif: "image/gif",
  go: "text/x-go",
  gz: "application/gzip",
  h: "text/x-c",
  htm: "text/html",
  html: "text/html",
  ico: "image/x-icon",
  java: "text/x-java",
  jpeg: "image/jpeg",
  jpg: "image/jpeg",
  js: "text/javascript",
  json: "application/json",
  jsx: "text/javascript",
  log: "text/plain",
  md: "text/markdown",
  mjs: "text/javascript",
  mp3: "audio/mpeg",
  mp4: "video/mp4",
  pdf: "application/pdf",
  png: "image/png",
  py: "text/x-python",
  rb: "text/x-ruby",
  rs: "text/x-rust",
  sh: "text/x-shellscript",
  sql: "text/x-sql",
  svg: "image/svg+xml",
  tar: "application/x-tar",
  toml: "text/x-toml",
  ts: "text/typescript",
  tsx: "text/typescript",
  txt: "text/plain",
  wasm: "application/wasm",
  wav: "audio/wav",
  webm: "video/webm",
  webp: "image/webp",
  xml: "application/xml",
  yaml: "text/yaml",
  yml: "text/yaml",
  zip: "application/zip"
}))

/** The extension of a file in small letters, without its dot: none of a name that begins with its only dot. */
export const extensionOf = (file: string): string => /[^/]\.([^./]+)$/.exec(file)?.at(1)?.toLowerCase() ?? ""

export const mediaTypeOf = (file: string): string => types.get(extensionOf(file)) ?? "application/octet-stream"

/** The header that names a file for a download. A lone surrogate, which has no bytes in UTF-8, is replaced. */
export const disposition = (file: string): string => {
  const name = file.slice(file.lastIndexOf("/") + 1).replace(/\p{Surrogate}/gu, "\ufffd")
  return `attachment; filename*=UTF-8''${encodeURIComponent(name)}`
}
