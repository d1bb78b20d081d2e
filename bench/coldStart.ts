/** Programs of one turn, as users start them: bundled whole, and with packages as npm installs them. */
import { execFileSync } from "node:child_process"
import { copyFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { bundleBeside, bundleProgram, temporaryFolder } from "./bundle.ts"
import { httpClientId, imitation, labelOf, officialEntry, reference, type Transport, transports } from "./peers.ts"

const forms = ["bundled", "bundled, compiled before", "not bundled"] as const

/** How a program comes: as one file, as one of which Node has kept what it compiled, or with packages as npm installs them. */
export type Form = typeof forms[number]

interface Program {
  readonly label: string
  /** Its file; none where the peer is not installed. */
  readonly file?: string
}

const coldLabel = (name: string, form: Form) => `${name}, ${form}`

/** How a program of this package over a transport is called. */
export const coldId = (transport: Transport, form: Form) => coldLabel(`effect-ash, ${transport}`, form)

/** What ratios of cold starts are over. */
export const coldReference = coldLabel(labelOf(reference), "bundled")

/** What a program of this package over a transport leaves out of its bundle, as the README advises: undici, where it is not used. */
const leftOut = (transport: Transport) => transport === "undici" ? [] : ["undici"]

/** A program that measures one way to connect; imports come first, so that their time is known. */
const programOf = (imports: string, connect: string) => `
  ${imports}
  import { measureColdStart } from "./cold.ts"
  void measureColdStart((url) => ${connect})
`

const imitated = programOf(`import { connectImitation } from "./official.ts"`, "connectImitation(url)")

const real = (entry: string) =>
  programOf(
    `import * as Official from ${JSON.stringify(entry)}
     import { connectOfficial } from "./official.ts"`,
    "connectOfficial(Official, url)"
  )

const layers: Record<Transport, readonly [imported: string, layer: string]> = {
  "fetch": [`import { Ash } from "effect-ash"`, "Ash.layer"],
  "node:http": [`import { AshNode } from "effect-ash/node"`, "AshNode.layer"],
  "undici": [`import { AshNode } from "effect-ash/node"`, "AshNode.layerUndici"]
}

const ours = (transport: Transport) => {
  const [imported, layer] = layers[transport]
  return programOf(`${imported}\nimport { connect } from "./sdk.ts"`, `connect(url, ${layer})`)
}

const nodeHttpClient = `import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"`

const httpClients: Record<Transport, readonly [imported: string, layer: string]> = {
  "fetch": [`import * as FetchHttpClient from "effect/http/FetchHttpClient"`, "FetchHttpClient.layer"],
  "node:http": [nodeHttpClient, "NodeHttpClient.layerNodeHttp"],
  "undici": [nodeHttpClient, "NodeHttpClient.layerUndici"]
}

const effects = (transport: Transport) => {
  const [imported, layer] = httpClients[transport]
  return programOf(
    `${imported}\nimport { connectHttpClient } from "./effectClients.ts"`,
    `connectHttpClient(url, ${layer})`
  )
}

/** A program that starts another with what Node has compiled of it before. */
const compiledBefore = (file: string) => `
  const { enableCompileCache } = require("node:module")
  enableCompileCache(${JSON.stringify(`${file}.cache`)})
  require(${JSON.stringify(file)})
`

/** The package in a folder, compiled as npm has it, where a program of the same folder imports it by its name. */
const install = (root: string, folder: string) => {
  copyFileSync(join(root, "package.json"), join(folder, "package.json"))
  execFileSync(join(root, "node_modules/.bin/tsc"), [
    "-p",
    join(root, "tsconfig.build.json"),
    "--outDir",
    join(folder, "dist"),
    "--declaration",
    "false",
    "--declarationMap",
    "false",
    "--sourceMap",
    "false"
  ], { stdio: "inherit" })
}

/** The programs of this package in a folder, and those of its peers beside it. */
export const prepareColdStarts = (root: string) => {
  const { folder, remove } = temporaryFolder(root)
  install(root, folder)
  const place = process.env.ASH_SDK
  const entries = place === undefined ? [] : [officialEntry(place)]
  const official = entries[0] === undefined ? undefined : real(entries[0])
  let count = 0
  const program = (
    label: string,
    code: string | undefined,
    form: Form,
    external: ReadonlyArray<string> = []
  ): Program => {
    if (code === undefined) return { label }
    const file = join(folder, `${count++}.${form === "not bundled" ? "mjs" : "cjs"}`)
    if (form === "not bundled") bundleBeside(root, code, file, entries)
    else bundleProgram(root, code, file, external)
    if (form !== "bundled, compiled before") return { label, file }
    const starter = join(folder, `${count++}.cjs`)
    writeFileSync(starter, compiledBefore(file))
    return { label, file: starter }
  }
  return {
    remove,
    peers: [
      ...(["bundled", "bundled, compiled before"] as const).map((form) =>
        program(coldLabel(labelOf(imitation), form), imitated, form)
      ),
      ...forms.map((form) => program(coldLabel(labelOf("official"), form), official, form)),
      ...transports.map((transport) =>
        program(coldLabel(httpClientId(transport), "bundled"), effects(transport), "bundled")
      )
    ],
    ours: forms.flatMap((form) =>
      transports.map((transport) => program(coldId(transport, form), ours(transport), form, leftOut(transport)))
    )
  }
}
