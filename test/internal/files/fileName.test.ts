import { assert, describe, it } from "@effect/vitest"
import * as Option from "effect/Option"
import { posix, win32 } from "node:path"
import { inHeader, lastSegment, unwritable } from "../../../src/internal/files/fileName.ts"

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

describe("a path that is written", () => {
  const git = [
    ".git",
    ".git/config",
    "a/.git/hooks/x",
    ".GIT/x",
    ".giT",
    "git~1/x",
    "GIT~1",
    ".git./x",
    ".git /x",
    ".git..  .",
    ".g\u200cit/x",
    "\ufeff.git",
    ".git:x",
    ".git::$INDEX_ALLOCATION/x"
  ]
  it.each(git)("%j is no part of a git repository, on any system", (path) => {
    assert.isDefined(unwritable(path, posix))
    assert.isDefined(unwritable(path, win32))
  })

  const foreign = [
    "..\\..\\x",
    "a\\..\\..\\b",
    "C:\\x",
    "C:x",
    "c:/x",
    "\\x",
    "\\\\server\\share\\x",
    "a\\b",
    "file:stream",
    "a/file:stream:$DATA",
    "con",
    "CON",
    "a/con",
    "con/x",
    "con.txt",
    "Con.tar.gz",
    "con .txt",
    "prn",
    "aux.c",
    "nul",
    "nul.",
    "com1",
    "COM9.log",
    "lpt3",
    "com\u00b9",
    "LPT\u00b3.x",
    "CONIN$",
    "conout$",
    "a.",
    "a./b",
    "a ",
    "a /b",
    "...",
    "a?",
    "a*b",
    "<a>",
    "a|b",
    "a\"b",
    "a\nb",
    "a\u0001",
    "a\u007f"
  ]
  it.each(foreign)("%j is refused on Windows, and has its place elsewhere", (path) => {
    assert.isDefined(unwritable(path, win32))
    assert.isUndefined(unwritable(path, posix))
  })

  it.each([
    "a",
    "a/b.txt",
    ".gitignore",
    ".github/x",
    "git",
    "agit~1",
    "console",
    "com",
    "com10",
    "icon",
    "a.con",
    "comma.txt",
    "\u00fc \u4e2d/\ud83d\ude00",
    "-x",
    "a..b/..c"
  ])(
    "%j is written everywhere",
    (path) => {
      for (const system of [posix, win32]) assert.isUndefined(unwritable(path, system))
    }
  )

  it("lies within the folder, each of its names as it was", () => {
    const pieces = [".", "..", ":", "\\", "a", "C", " ", "con", "~1", "git", "*"]
    for (const one of pieces) {
      for (const two of pieces) {
        for (const three of pieces) {
          const path = `${one}${two}/${three}${one}`
          if (path.split("/").some((name) => /^\.{0,2}$/.test(name)) || unwritable(path, win32) !== undefined) continue
          assert.strictEqual(win32.resolve("C:\\folder", path), `C:\\folder\\${path.replaceAll("/", "\\")}`)
        }
      }
    }
  })
})
