/** Preloaded, prints every file that a program loads, with the first file that imports it, as JSON, when it ends. */
import { registerHooks } from "node:module"

const importers: Record<string, string | undefined> = {}

registerHooks({
  resolve: (specifier, context, next) => {
    const resolved = next(specifier, context)
    if (resolved.url.startsWith("file:")) importers[resolved.url] ??= context.parentURL ?? ""
    return resolved
  }
})

process.on("exit", () => console.log(JSON.stringify(importers)))
