import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { join } from "node:path"

interface Entry {
  readonly integrity?: string
  readonly resolved?: string
  readonly link?: boolean
  readonly inBundle?: boolean
  readonly dev?: boolean
  readonly optional?: boolean
  readonly os?: ReadonlyArray<string>
  readonly cpu?: ReadonlyArray<string>
}

type Packages = Readonly<Record<string, Entry>>

const lock: { readonly packages: Packages } = JSON.parse(
  readFileSync(join(import.meta.dirname, "../../package-lock.json"), "utf8")
)

/** What is not installed from a registry: the package itself, links to folders, and what lies inside of another package. */
const isLocal = (path: string, { inBundle, link }: Entry) => path === "" || link === true || inBundle === true

const withoutIntegrity = (packages: Packages) =>
  Object.entries(packages).filter(([path, entry]) =>
    !isLocal(path, entry) && !/^sha512-[\w+/]{86}==$/.test(entry.integrity ?? "")
  ).map(([path]) => path)

/** An entry without an address comes from the registry that is configured, and is checked by its integrity. */
const withAddress = (packages: Packages) =>
  Object.entries(packages).filter(([path, { resolved, ...entry }]) => resolved !== undefined && !isLocal(path, entry))
    .map(([path]) => path)

/**
 * Programs of development for other platforms, which the registry that made the lock did not serve, so that it had no
 * integrity to give. `npm ci` asks for an entry of each, and installs none of them on Linux with x64.
 */
const notServed = [
  "@effect/tsgo-darwin-arm64",
  "@effect/tsgo-darwin-x64",
  "@effect/tsgo-linux-arm",
  "@effect/tsgo-linux-arm64",
  "@effect/tsgo-win32-arm64",
  "@effect/tsgo-win32-x64"
].map((name) => `node_modules/${name}`)

describe("the lock file", () => {
  it("has the integrity of every package, but for those that the registry does not serve", () => {
    assert.deepStrictEqual(withoutIntegrity(lock.packages), notServed)
  })

  it.each(notServed)("installs %s only for development, and only where it fits", (path) => {
    const { cpu = [], dev, optional, os = [] } = lock.packages[path]!
    assert.deepStrictEqual({ dev, optional }, { dev: true, optional: true })
    assert.isFalse(os.includes("linux") && cpu.includes("x64"))
  })

  it("names no address", () => {
    assert.deepStrictEqual(withAddress(lock.packages), [])
  })

  it.each([
    { integrity: undefined },
    { integrity: "" },
    { integrity: "sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=" }
  ])("would be refused with %j", ({ integrity }) => {
    assert.deepStrictEqual(withoutIntegrity({ "node_modules/a": { ...(integrity !== undefined && { integrity }) } }), [
      "node_modules/a"
    ])
  })

  it.each([
    "https://registry.example.com/a/-/a-1.0.0.tgz",
    "http://registry.example.com/a/-/a-1.0.0.tgz",
    "git+ssh://git@github.com/a/a.git#0123456",
    "https://github.com/a/a/archive/1.0.0.tar.gz"
  ])("would be refused with the address %s", (resolved) => {
    assert.deepStrictEqual(withAddress({ "node_modules/a": { resolved } }), ["node_modules/a"])
  })
})
