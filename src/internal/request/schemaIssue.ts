/** Describes what is wrong with a value, and where, without the value: it may be a secret. */
import * as Predicate from "effect/Predicate"
import type * as SchemaAST from "effect/SchemaAST"
import type * as SchemaIssue from "effect/SchemaIssue"

export interface Problem {
  /** Such as `files[0].path`; empty for the value as a whole. */
  readonly field: string
  readonly expected: string
}

const named = (annotations: Record<string, unknown> | undefined): string | undefined =>
  [annotations?.["expected"], annotations?.["title"], annotations?.["identifier"]].find(Predicate.isString)

const typeNames: { readonly [Tag in SchemaAST.AST["_tag"]]?: string } = {
  String: "a string",
  Number: "a number",
  Boolean: "true or false",
  Arrays: "a list",
  Objects: "an object",
  Null: "null"
}

const expectedType = (ast: SchemaAST.AST): string =>
  ast._tag === "Literal"
    ? JSON.stringify(ast.literal)
    : ast._tag === "Union"
    ? ast.types.filter((type) => type._tag !== "Undefined").map(expectedType).join(" or ")
    : named(ast.annotations) ?? typeNames[ast._tag] ?? "another type"

const appendPath = (field: string, path: ReadonlyArray<PropertyKey>): string =>
  path.reduce<string>(
    (field, key) =>
      typeof key === "number" ? `${field}[${key}]` : field === "" ? String(key) : `${field}.${String(key)}`,
    field
  )

/** The deepest problem of an issue: of the members of a union, the one that came furthest. */
export const problemOf = (issue: SchemaIssue.Issue, field = ""): Problem => {
  switch (issue._tag) {
    case "Pointer":
      return problemOf(issue.issue, appendPath(field, issue.path))
    case "Encoding":
      return problemOf(issue.issue, field)
    case "Filter":
      return { ...problemOf(issue.issue, field), expected: named(issue.filter.annotations) ?? "another value" }
    case "Composite":
    case "AnyOf": {
      const problems = issue.issues.map((member) => ({ member, problem: problemOf(member, field) }))
      const checked = problems.find(({ member }) => member._tag === "Filter")
      const deepest = problems.reduce<typeof checked>(
        (best, next) => best === undefined || next.problem.field.length > best.problem.field.length ? next : best,
        checked
      )
      return deepest?.problem ?? { field, expected: expectedType(issue.ast) }
    }
    case "MissingKey":
      return { field, expected: "present" }
    case "UnexpectedKey":
      return { field, expected: "absent" }
    case "InvalidType":
    case "OneOf":
      return { field, expected: expectedType(issue.ast) }
    case "InvalidValue":
    case "Forbidden":
      return { field, expected: named(issue.annotations) ?? "valid" }
  }
}
