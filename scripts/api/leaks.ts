/** Where the public types hold `any`, or failures that are `unknown`: what a consumer's compiler would not check. */
import ts from "typescript-6.0"
import { type Declarations, entries, exportsOf } from "./declarations.ts"

/** The names by which the modules of Effect call the parameter of a type that its failures are. */
const failures = /^(?:E|Err|Error|OutErr|E2|EX)$/

/** What an iterable returns and takes: the standard library has `any` for it. */
const leftOpen = new Set(["TReturn", "TNext"])

/** The paths to what leaks, each with what it is. */
export const leaks = (declarations: Declarations): ReadonlyArray<string> => {
  const { checker } = declarations
  const found = new Map<string, string>()
  const seen = new Set<ts.Type>()
  const isOurs = (symbol: ts.Symbol | undefined) =>
    symbol?.declarations?.some((declaration) => declarations.fileOf(declaration) !== undefined) ?? false

  /** The arguments of a type with the names of their parameters, of its alias and of itself. */
  const argumentsOf = (type: ts.Type) => {
    const reference = type as ts.TypeReference
    const own = type.flags & ts.TypeFlags.Object && (reference.objectFlags & ts.ObjectFlags.Reference) !== 0
    const parameters = own ? reference.target.typeParameters ?? [] : []
    const named = own ? checker.getTypeArguments(reference).slice(0, parameters.length) : []
    const alias = type.aliasSymbol?.declarations?.find(ts.isTypeAliasDeclaration)?.typeParameters ?? []
    return [
      ...named.map((argument, index) => [parameters[index]?.symbol?.name ?? "", argument] as const),
      ...(type.aliasTypeArguments ?? []).map((argument, index) => [alias[index]?.name.text ?? "", argument] as const)
    ]
  }

  const walk = (type: ts.Type, path: string): void => {
    if (type.flags & ts.TypeFlags.Any) return void found.set(path, "any")
    if (seen.has(type)) return
    seen.add(type)
    for (const [name, argument] of argumentsOf(type)) {
      if (leftOpen.has(name)) continue
      if (failures.test(name) && argument.flags & ts.TypeFlags.Unknown) found.set(path, "fails with unknown")
      walk(argument, `${path}<${name}>`)
    }
    if (type.isUnionOrIntersection()) return type.types.forEach((member) => walk(member, path))
    for (const signature of [...type.getCallSignatures(), ...type.getConstructSignatures()]) {
      if (!isOurs(signature.declaration && checker.getSymbolAtLocation(signature.declaration) || type.symbol)) continue
      for (const parameter of signature.parameters) {
        walk(checker.getTypeOfSymbol(parameter), `${path}(${parameter.name})`)
      }
      walk(signature.getReturnType(), `${path}()`)
    }
    for (const property of type.getProperties()) {
      if (isOurs(property) && !property.name.includes("#")) {
        walk(checker.getTypeOfSymbol(property), `${path}.${property.name}`)
      }
    }
  }

  for (const entry of entries) {
    for (const { isType, name, symbol } of exportsOf(declarations, entry)) {
      const path = `${entry.name}: ${name}`
      if (!isType) walk(checker.getTypeOfSymbol(symbol), path)
      if (symbol.flags & ts.SymbolFlags.Type) walk(checker.getDeclaredTypeOfSymbol(symbol), path)
    }
  }
  return [...found].map(([path, what]) => `${path}: ${what}`)
}
