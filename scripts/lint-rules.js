/** Lint rules for src/ that oxlint has not: failures are values of Effect, and so is what takes time. */
const forbid = (message, ...nodes) => ({
  create: (context) => Object.fromEntries(nodes.map((type) => [type, (node) => context.report({ node, message })]))
})

const asynchronous = (context) => (node) => {
  if (node.async) context.report({ node, message: "Use Effect instead of an async function" })
}

/**
 * A name from outside may be one that every object has. TypeScript's own uses of brackets, with a literal between them, are
 * all that is left: lists have `at`, maps `get`, and what is known of an object is read through `Object.hasOwn`.
 */
const computed = (context) => ({
  MemberExpression: (node) => {
    if (!node.computed || node.property.type === "Literal") return
    context.report({ node, message: "Look up a name in a Map, or behind Object.hasOwn" })
  }
})

export default {
  meta: { name: "effect-ash" },
  rules: {
    "no-computed-access": { create: computed },
    "no-async": {
      create: (context) => ({
        ArrowFunctionExpression: asynchronous(context),
        FunctionDeclaration: asynchronous(context),
        FunctionExpression: asynchronous(context)
      })
    },
    "no-throw": forbid("Fail with a value instead of throwing", "ThrowStatement"),
    "no-try": forbid("Use Effect.try or Result.try", "TryStatement")
  }
}
