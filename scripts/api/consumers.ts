/** Programs that use all of the package: what other packages could export of it, under each compiler that they may have. */
import { spawnSync } from "node:child_process"
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs"
import { join, resolve } from "node:path"
import ts from "typescript-6.0"
import { type Declarations, entries, type Entry, type Export, exportsOf, readDeclarations } from "./declarations.ts"

/** Those whose API can be asked; the newest has only a command. */
const compilers = ["typescript-5.9", "typescript-6.0"]

const resolutions = [
  { module: "nodenext", moduleResolution: "nodenext" },
  { module: "esnext", moduleResolution: "bundler" }
]

/** What services stand on, and call: no program uses its members. */
const withoutMembers = new Set(["ApiCall", "ApiMethod", "RequestPolicy", "SessionGates", "SharedLimits"])

/** Expressions that a program may export: what is exported, and each member of a service or of a type. */
const expressionsOf = (declarations: Declarations, { isType, name, symbol }: Export): ReadonlyArray<string> => {
  const { checker, fileOf } = declarations
  const isOurs = (member: ts.Symbol) => member.declarations?.some((node) => fileOf(node) !== undefined) ?? false
  const isGroup = (type: ts.Type) =>
    type.getCallSignatures().length === 0 && type.getProperties().length > 0 && type.getProperties().every(isOurs)
  const membersOf = (type: ts.Type, isInner = false): ReadonlyArray<string> =>
    type.getProperties().filter((member) => isOurs(member) && /^[\w$]+$/.test(member.name)).flatMap((member) => {
      const inner = checker.getTypeOfSymbol(member)
      const below = isInner || !isGroup(inner) ? [] : membersOf(inner, true)
      return ["", ...below].map((path) => `.${member.name}${path}`)
    })
  const readers = (of: string, type: ts.Type) => membersOf(type).map((path) => `(of: ${of}) => of${path}`)

  const value = isType || !(symbol.flags & ts.SymbolFlags.Value) ? undefined : checker.getTypeOfSymbol(symbol)
  const type = symbol.flags & ts.SymbolFlags.Type ? checker.getDeclaredTypeOfSymbol(symbol) : undefined
  const service = value?.getProperty("Service")
  const parameters =
    symbol.declarations?.flatMap((node) =>
      ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node)
        ? node.typeParameters?.map(() => "never") ?? []
        : []
    ) ?? []
  return [
    ...value === undefined ? [] : [name],
    ...service === undefined || withoutMembers.has(name)
      ? []
      : readers(`(typeof ${name})["Service"]`, checker.getTypeOfSymbol(service)),
    ...type === undefined || type.isUnion() || withoutMembers.has(name)
      ? []
      : readers(parameters.length === 0 ? name : `${name}<${parameters.join(", ")}>`, type)
  ]
}

/**
 * The programs of an entry. One imports from it alone: what a type of it names has to be found without another import. The
 * other has what the first exports, and so names the same types without any import of the package.
 */
const programsOf = (declarations: Declarations, entry: Entry): ReadonlyArray<readonly [name: string, text: string]> => {
  const found = exportsOf(declarations, entry)
  const names = new Set(
    found.map(({ isType, name }) => name.includes(".") ? name.replace(/\..*/, "") : isType ? `type ${name}` : name)
  )
  const lines = found.flatMap((one) => expressionsOf(declarations, one))
  const name = entry.name.replace("/", "-")
  const exported = (expressions: ReadonlyArray<string>) =>
    expressions.map((expression, index) => `export const export${index} = ${expression}\n`).join("")
  return [
    [`${name}.ts`, `import { ${[...names].join(", ")} } from "${entry.name}"\n${exported(lines)}`],
    [
      `${name}-onward.ts`,
      `import * as first from "./${name}.js"\n${exported(lines.map((_, index) => `first.export${index}`))}`
    ]
  ]
}

/** Of the declarations of other packages nothing is asked. */
const isAsked = (file: string) => !/\/node_modules\/(?!effect-ash\/)/.test(resolve("/", file))

const printed = { getCanonicalFileName: (name: string) => name, getCurrentDirectory: () => "/", getNewLine: () => "\n" }

const diagnostics = async (compiler: string, config: string): Promise<ReadonlyArray<string>> => {
  const { default: ts }: { readonly default: typeof import("typescript-6.0") } = await import(compiler)
  const { fileNames, options } = ts.getParsedCommandLineOfConfigFile(config, {}, {
    ...ts.sys,
    onUnRecoverableConfigFileDiagnostic: () => {}
  })!
  const program = ts.createProgram(fileNames, options)
  return [
    ...program.getOptionsDiagnostics(),
    ...program.getSourceFiles().filter(({ fileName }) => isAsked(fileName)).flatMap((file) => [
      ...program.getSyntacticDiagnostics(file),
      ...program.getSemanticDiagnostics(file),
      ...file.isDeclarationFile ? [] : program.getDeclarationDiagnostics(file)
    ])
  ].map((found) => ts.formatDiagnostic(found, printed).trimEnd())
}

const diagnosticsByCommand = (folder: string, config: string): ReadonlyArray<string> =>
  spawnSync(resolve("node_modules/.bin/tsc"), ["-p", config, "--pretty", "false"], { cwd: folder, encoding: "utf8" })
    .stdout.split("\n").filter((line) => /^\S/.test(line) && isAsked(line))

/**
 * What compilers find in programs of a folder, in which a package is installed: in what they export, and in the package's
 * own declarations.
 */
export const consumerProblems = async (packed: string, folder: string): Promise<ReadonlyArray<string>> => {
  const installed = join(folder, "node_modules")
  mkdirSync(installed, { recursive: true })
  for (const name of ["effect", "@effect", "@types"]) symlinkSync(resolve("node_modules", name), join(installed, name))
  cpSync(packed, join(installed, "effect-ash"), { recursive: true })
  writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module" }))
  const declarations = readDeclarations(join(installed, "effect-ash/dist"))
  const programs = entries.flatMap((entry) => programsOf(declarations, entry))
  for (const [name, text] of programs) writeFileSync(join(folder, name), text)

  const problems: Array<string> = []
  for (const resolution of resolutions) {
    const config = join(folder, `tsconfig.${resolution.moduleResolution}.json`)
    const checked = { strict: true, exactOptionalPropertyTypes: true, declaration: true, skipLibCheck: false }
    const compilerOptions = { ...resolution, ...checked, target: "es2023", types: ["node"], outDir: "out" }
    writeFileSync(config, JSON.stringify({ compilerOptions, files: programs.map(([name]) => name) }))
    const report = (compiler: string, lines: ReadonlyArray<string>) =>
      problems.push(...lines.map((line) => `${compiler}, ${resolution.moduleResolution}: ${line}`))
    for (const compiler of compilers) report(compiler, await diagnostics(compiler, config))
    report("typescript", diagnosticsByCommand(folder, config))
  }
  return problems
}
