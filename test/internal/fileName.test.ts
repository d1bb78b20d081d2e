import { assert, describe, it } from "@effect/vitest"
import * as Option from "effect/Option"
import { inHeader, lastSegment } from "../../src/internal/fileName.ts"

const named = (header: string) => Option.getOrUndefined(inHeader(header))

describe("the name in a header", () => {
  it.each<readonly [header: string, name: string]>([
    ["attachment; filename=a.txt", "a.txt"],
    ["attachment; filename=\"a.txt\"", "a.txt"],
    ["ATTACHMENT;FileName = \"a b.txt\" ; size=3", "a b.txt"],
    ["attachment; filename=\"a \\\"q\\\".txt\"", "a \"q\".txt"],
    ["attachment; filename=\"a;b=c.txt\"", "a;b=c.txt"],
    ["attachment; x=\"; filename=evil.txt\"; filename=good.txt", "good.txt"],
    ["attachment; xfilename=bad.txt; filename=good.txt", "good.txt"],
    ["attachment; filename=a b.txt", "a b.txt"],
    ["attachment; filename*=UTF-8''%e2%82%ac%20rates.txt", "€ rates.txt"],
    ["attachment; filename*=utf-8'en-GB'%E2%82%AC.txt", "€.txt"],
    ["attachment; filename*=ISO-8859-1''%A3%20rates", "£ rates"],
    ["attachment; filename=\"EURO.txt\"; filename*=UTF-8''%e2%82%ac.txt", "€.txt"],
    ["attachment; filename*=UTF-8''%e2%82%ac.txt; filename=\"EURO.txt\"", "€.txt"],
    ["attachment; filename*=UTF-8''%ff; filename=\"sound.txt\"", "sound.txt"],
    ["attachment; filename*=UTF-8''%zz; filename=\"sound.txt\"", "sound.txt"],
    ["attachment; filename*=KLINGON''a.txt; filename=\"sound.txt\"", "sound.txt"],
    ["attachment; filename*=a.txt; filename=\"sound.txt\"", "sound.txt"],
    ["attachment; filename=\"na\u00c3\u00afve.txt\"", "naïve.txt"],
    ["attachment; filename=\"na\u00efve.txt\"", "naïve.txt"],
    ["inline; filename=\"a%20b.txt\"", "a%20b.txt"],
    ["filename=\"bare.txt\"", "bare.txt"],
    ["attachment; filename=\"unclosed.txt", "unclosed.txt"],
    ["attachment; size=3; filename=\"un \\\"closed.txt\\", "un \"closed.txt"],
    ["attachment; filename=\"\"; filename=second.txt", "second.txt"],
    ["attachment; filename=; filename=second.txt", "second.txt"],
    ["attachment; filename=first.txt; filename=second.txt", "first.txt"]
  ])("%s", (header, name) => assert.strictEqual(named(header), name))

  it.each([
    "",
    "attachment",
    "attachment; filename",
    "attachment; filename=",
    "attachment; filename=\"\"",
    "inline; name=a"
  ])(
    "%j has none",
    (header) => assert.isUndefined(named(header))
  )
})

describe("a name is no path", () => {
  const paths = [
    "../../etc/passwd",
    "/etc/passwd",
    "..\\..\\passwd",
    "C:\\Windows\\passwd",
    "C:passwd",
    "a/../passwd",
    "\\\\host\\share\\passwd",
    "./passwd",
    "a/C:passwd",
    "a\\c:D:passwd",
    "c:d:passwd",
    "C: d: passwd",
    "c\u202e:pass\u2066wd",
    "/\u200ec:passwd",
    "pass\u202ewd",
    "pass\u0085\u2028wd\ufeff",
    "pass\0wd",
    "passwd\r\n"
  ]

  it.each(paths)("%j", (path) => {
    assert.strictEqual(named(`attachment; filename*=UTF-8''${encodeURIComponent(path)}`), "passwd")
    assert.strictEqual(named(`attachment; filename="${path.replaceAll("\\", "\\\\")}"`), "passwd")
    assert.deepStrictEqual(lastSegment(path), Option.some("passwd"))
  })

  it.each([
    "..",
    ".",
    "/",
    "a/..",
    "\\",
    "C:",
    "\0",
    " ",
    "a/b\\Z:..",
    "c:d:.",
    ".\u202e.",
    ". .",
    "c: ..",
    "a/c:",
    "..."
  ])(
    "%j is none at all",
    (path) =>
      assert.isUndefined(
        named(`attachment; filename*=UTF-8''${encodeURIComponent(path)}; filename="${path.replaceAll("\\", "\\\\")}"`)
      )
  )

  it.each(["a.txt:ads", "a.txt::$DATA", ":a", "c:a:b"])("%j names no stream beside a file", (name) => {
    assert.notInclude(Option.getOrElse(lastSegment(name), () => ":"), ":")
  })
})
