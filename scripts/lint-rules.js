/** Lint rules for src/ that oxlint has not: failures are values of Effect, and so is what takes time. */
const forbid = (message, ...nodes) => ({
  create: (context) => Object.fromEntries(nodes.map((type) => [type, (node) => context.report({ node, message })]))
})

const asynchronous = (context) => (node) => {
  if (node.async) context.report({ node, message: "Use Effect instead of an async function" })
}

export default {
  meta: { name: "effect-ash" },
  rules: {
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
