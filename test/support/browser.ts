/** The Chromium of this machine. */
import * as Effect from "effect/Effect"
import { existsSync } from "node:fs"
import { chromium } from "playwright-core"

/** Where it is, if there is one. */
export const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((
  path
) => existsSync(path))

/** A browser without a window, closed with the scope. */
export const launch = (args: ReadonlyArray<string> = []) =>
  Effect.acquireRelease(
    Effect.promise(() =>
      chromium.launch({ ...(executablePath !== undefined && { executablePath }), args: ["--no-sandbox", ...args] })
    ),
    (browser) => Effect.promise(() => browser.close())
  )
