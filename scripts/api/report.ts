/** The public types as text: a report for each entry, in which a change of a type is a change of a line. */
import ts from "typescript-6.0"
import { type Declarations, entries, exportsOf, target } from "./declarations.ts"

const printer = ts.createPrinter({ removeComments: true })

/** The statement or type that declares a symbol, as it is written, without comments. */
const print = (symbol: ts.Symbol) =>
  symbol.declarations?.map((declaration) => {
    const statement = ts.findAncestor(declaration, ts.isStatement) ?? declaration
    return printer.printNode(ts.EmitHint.Unspecified, statement, statement.getSourceFile())
  }).join("\n") ?? ""

/** The names of the reports' files, and their texts. */
export const reports = (declarations: Declarations): ReadonlyMap<string, string> => {
  const owners = new Map<ts.Symbol, string>()
  const texts = new Map<string, string>()
  for (const entry of entries) {
    const anew: Array<string> = []
    const sections: Array<string> = []
    for (const { isType, name, symbol } of exportsOf(declarations, entry)) {
      const owner = owners.get(symbol)
      const shown = isType && symbol.flags & ts.SymbolFlags.Value ? `type ${name}` : name
      if (owner === undefined) sections.push(`## ${shown}\n\n${print(symbol)}\n`)
      else anew.push(`${shown} is ${owner}\n`)
      owners.set(symbol, owner ?? `${name} of ${entry.name}`)
    }
    const title = `# ${entry.name}\n`
    texts.set(
      `${entry.name.replace("/", "-")}.txt`,
      [title, ...anew.length > 0 ? [anew.join("")] : [], ...sections].join("\n")
    )
  }
  return texts.set("unexported.txt", unexported(declarations, owners.keys()))
}

/** What no entry exports, and exported types are made of: a change of it is one of them. */
const unexported = (declarations: Declarations, exported: Iterable<ts.Symbol>): string => {
  const seen = new Set(exported)
  const sections = new Map<string, string>()
  const visit = (node: ts.Node): void => {
    const found = ts.isIdentifier(node) ? declarations.checker.getSymbolAtLocation(node) : undefined
    if (found !== undefined) look(target(declarations, found))
    ts.forEachChild(node, visit)
  }
  const look = (symbol: ts.Symbol): void => {
    const declaration = symbol.declarations?.[0]
    const file = declaration && declarations.fileOf(declaration)
    if (seen.has(symbol) || declaration === undefined || file === undefined || !isOfModule(declaration)) return
    seen.add(symbol)
    sections.set(`${file}: ${symbol.name}`, print(symbol))
    symbol.declarations!.forEach(visit)
  }
  const roots = [...seen]
  for (const symbol of roots) symbol.declarations?.forEach(visit)
  const texts = [...sections].toSorted(([a], [b]) => a < b ? -1 : 1).map(([name, text]) => `## ${name}\n\n${text}\n`)
  return `# What no entry exports, and exported types are made of\n\n${texts.join("\n")}`
}

/** Whether something is declared by a module itself, and not inside of another declaration. */
const isOfModule = (declaration: ts.Declaration) => {
  const statement = ts.isVariableDeclaration(declaration) ? declaration.parent.parent : declaration
  return statement.parent !== undefined && ts.isSourceFile(statement.parent)
}
