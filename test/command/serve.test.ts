import { assert, describe, it } from "@effect/vitest"
import { QuirkValues } from "../../src/command/serve.ts"
import * as Quirks from "../../src/embedded/Quirks.ts"

describe("effect-ash serve", () => {
  it("sets every quirk, and no other", () =>
    assert.deepStrictEqual(Object.keys(QuirkValues.fields).toSorted(), Object.keys(Quirks.defaults).toSorted()))
})
