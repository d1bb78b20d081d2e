/** The declarations of the package as consumers get them, read by the API of TypeScript 6: version 7 has none. */
import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync, symlinkSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, relative, resolve, sep } from "node:path"
import ts from "typescript-6.0"
import manifest from "../../package.json" with { type: "json" }

/** An entry of the package, and the file of its declarations, from the folder of all of them. */
export interface Entry {
  readonly name: string
  readonly file: string
}

/** The entries, those first that others export anew. A path that leads to a file alone is a namespace of one of them. */
export const entries: ReadonlyArray<Entry> = Object.entries(manifest.exports)
  .flatMap(([path, target]) =>
    typeof target === "object" && target !== null
      ? [{ name: path.replace(".", manifest.name), file: target.types.replace("./dist/", "") }]
      : []
  )
  .toSorted((a, b) => Number(b.name.endsWith("/schema")) - Number(a.name.endsWith("/schema")))

/** The declarations of a folder, with their types. */
export interface Declarations {
  readonly checker: ts.TypeChecker
  readonly moduleOf: (entry: Entry) => ts.Symbol
  /** The path of the file that declares something, if it is of the package. */
  readonly fileOf: (declaration: ts.Declaration) => string | undefined
}

/** Reads the declarations of a folder, from which `effect` is to be found. */
export const readDeclarations = (folder: string): Declarations => {
  const program = ts.createProgram({
    rootNames: entries.map(({ file }) => join(folder, file)),
    options: {
      module: ts.ModuleKind.NodeNext,
      target: ts.ScriptTarget.ES2023,
      strict: true,
      exactOptionalPropertyTypes: true,
      skipLibCheck: true,
      types: ["node"],
      typeRoots: [resolve("node_modules/@types")]
    }
  })
  const checker = program.getTypeChecker()
  return {
    checker,
    moduleOf: ({ file }) => checker.getSymbolAtLocation(program.getSourceFile(join(folder, file))!)!,
    fileOf: (declaration) => {
      const path = relative(folder, declaration.getSourceFile().fileName)
      return path.startsWith("..") ? undefined : path.replaceAll(sep, "/").replace(/\.d\.ts$/, "")
    }
  }
}

/** Emits the declarations of the sources as they are, and hands them on. */
export const withDeclarations = <A>(use: (declarations: Declarations) => A): A => {
  const root = mkdtempSync(join(tmpdir(), "effect-ash-api-"))
  try {
    const folder = join(root, "dist")
    symlinkSync(resolve("node_modules"), join(root, "node_modules"))
    const options = ["--emitDeclarationOnly", "--declarationMap", "false", "--sourceMap", "false", "--outDir", folder]
    execFileSync("node_modules/.bin/tsc", ["-p", "tsconfig.build.json", ...options], { stdio: "inherit" })
    return use(readDeclarations(folder))
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}

/** Something that an entry exports, by its name, or that a module does which the entry exports, as `Module.name`. */
export interface Export {
  readonly name: string
  readonly symbol: ts.Symbol
  /** Whether it is exported as a type alone, whatever else it may be. */
  readonly isType: boolean
}

/** What an alias stands for, at the end of all of them. */
export const target = ({ checker }: Declarations, symbol: ts.Symbol): ts.Symbol =>
  symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol

const isTypeOnly = (symbol: ts.Symbol) =>
  symbol.declarations?.some((node) => ts.isExportSpecifier(node) && ts.isTypeOnlyExportDeclaration(node)) ?? false

/** What an entry exports, in the order of the names. */
export const exportsOf = (declarations: Declarations, entry: Entry): ReadonlyArray<Export> => {
  const { checker, moduleOf } = declarations
  const named = (prefix: string) => (symbol: ts.Symbol): ReadonlyArray<Export> => {
    const name = `${prefix}${symbol.name}`
    const found = target(declarations, symbol)
    return found.flags & ts.SymbolFlags.ValueModule
      ? checker.getExportsOfModule(found).flatMap(named(`${name}.`))
      : [{ name, symbol: found, isType: isTypeOnly(symbol) || !(found.flags & ts.SymbolFlags.Value) }]
  }
  return checker.getExportsOfModule(moduleOf(entry)).flatMap(named(""))
    .toSorted((a, b) => a.name < b.name ? -1 : a.name > b.name ? 1 : 0)
}
