/** The version of this package; a test holds it to package.json. */
export const version = "0.1.0"

/** How this package names itself to a server. */
export const userAgent = `effect-ash/${version}`
