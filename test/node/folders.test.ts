import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { mkdirSync, symlinkSync, truncateSync, writeFileSync } from "node:fs"
import { dirname } from "node:path"
import { gunzipSync } from "node:zlib"
import * as Bundle from "../../src/functions/Bundle.ts"
import { deployDirectory, type DeployDirectoryOptions } from "../../src/node/deployDirectory.ts"
import { uploadWorkspace } from "../../src/node/uploadWorkspace.ts"
import { agent, sessionId } from "../support/fixtures.ts"
import * as Server from "../support/ScriptedServer.ts"
import { folder, run } from "../support/shell.ts"
import { withWarnings } from "../support/warnings.ts"

interface Body {
  readonly bundle?: string
  readonly env?: Record<string, string>
  readonly files?: ReadonlyArray<{ readonly path: string; readonly content: string }>
}

const write = (directory: string, files: Readonly<Record<string, string | Uint8Array>>) => {
  for (const [path, content] of Object.entries({ "CLAUDE.md": "# agent", ...files })) {
    mkdirSync(dirname(`${directory}/${path}`), { recursive: true })
    writeFileSync(`${directory}/${path}`, content)
  }
}

const unpacked = (bundle: string) =>
  Effect.map(
    Stream.runCollect(Bundle.unpack(Stream.make(new Uint8Array(Buffer.from(bundle, "base64"))))),
    (files) => files.map(({ content, path }) => [path, Buffer.from(content).toString()] as const)
  )

/** What both ways send of a folder, and what they tell. */
const send = Effect.fnUntraced(function*(directory: string, options: DeployDirectoryOptions = {}) {
  const server = Server.make(({ path }) =>
    path === "/api/agents"
      ? Server.json({ agent }, 201)()
      : Server.json(path.endsWith("/workspace") ? { message: "ok" } : { written: 1 })()
  )
  const deployed = yield* withWarnings(
    Effect.result(Effect.provide(deployDirectory(directory, { name: "a", ...options }), server.layer))
  )
  const agentBodies = server.requests.map((request) => Server.jsonOf(request) as Body)
  const uploaded = yield* withWarnings(
    Effect.result(Effect.provide(uploadWorkspace(sessionId, directory, options), server.layer))
  )
  const [workspace] = server.requests.slice(agentBodies.length).map((request) => Server.jsonOf(request) as Body)
  return {
    env: agentBodies[0]?.env,
    deployed: new Map(
      agentBodies.flatMap(({ files = [] }) => files).map(({ content, path }) =>
        [path, Buffer.from(content, "base64").toString()] as const
      )
    ),
    uploaded: new Map(workspace?.bundle === undefined ? [] : yield* unpacked(workspace.bundle)),
    bundle: Buffer.from(workspace?.bundle ?? "", "base64"),
    requests: server.requests.length,
    failures: [deployed.result, uploaded.result].map((result) =>
      result._tag === "Failure" ? result.failure.message : ""
    ),
    warnings: [deployed.warnings, uploaded.warnings] as const
  }
})

/** Expects that both ways send these files and no others. */
const assertSent = (sent: Effect.Success<ReturnType<typeof send>>, paths: ReadonlyArray<string>) => {
  assert.deepStrictEqual(sent.failures, ["", ""])
  for (const files of [sent.deployed, sent.uploaded]) {
    assert.deepStrictEqual([...files.keys()].toSorted(), ["CLAUDE.md", ...paths].toSorted())
  }
}

const assertTold = (warnings: ReadonlyArray<string>, path: string, why: string) =>
  assert.isTrue(
    warnings.some((warning) => warning.startsWith(`${path} is left out: ${why}`)),
    `${path}: ${warnings.join()}`
  )

describe("of a folder, deployDirectory and uploadWorkspace", () => {
  const credentials = [
    ".npmrc",
    ".netrc",
    "_netrc",
    ".git-credentials",
    ".pypirc",
    ".aws/credentials",
    ".aws/config",
    ".ssh/id_rsa",
    ".ssh/config",
    ".gnupg/secring.gpg",
    ".kube/config",
    ".docker/config.json",
    ".config/gcloud/credentials.db",
    ".config/gh/hosts.yml",
    "application_default_credentials.json",
    "server.pem",
    "tls.key",
    "cert.p12",
    "cert.pfx",
    "id_rsa",
    "id_rsa.bak",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    ".env.production",
    "prod.env",
    "prod.env.local",
    "prod.env.bak",
    ".yarnrc.yml",
    "my-service-account.json",
    "serviceaccount.json",
    "secring.gpg",
    ".envrc",
    "terraform.tfstate",
    "terraform.tfstate.backup",
    "prod.tfvars",
    "prod.auto.tfvars.json",
    ".pgpass",
    ".vault-token",
    "release.keystore",
    "release.jks",
    ".cargo/credentials.toml",
    ".m2/settings.xml",
    ".dockercfg",
    ".htpasswd",
    "vault.kdbx",
    ".my.cnf",
    ".s3cfg",
    ".boto"
  ]

  it.live("keep back what may hold credentials, whatever the letters, as files and as folders, and name each", () =>
    Effect.scoped(Effect.gen(function*() {
      const upper = (path: string) => path.toUpperCase()
      const mixed = (path: string) =>
        path.replaceAll(/[a-z]/g, (letter, at) => at % 2 === 0 ? letter.toUpperCase() : letter)
      for (const spell of [(path: string) => path, upper, mixed]) {
        for (const place of ["", "src/deep/"]) {
          const directory = yield* folder
          const paths = credentials.map((path) => `${place}${spell(path)}`)
          write(
            directory,
            Object.fromEntries([...paths, "keep.ts", "src/environment.ts", "keys.md"].map((path) => [path, "x"]))
          )
          const sent = yield* send(directory)
          assertSent(sent, ["keep.ts", "src/environment.ts", "keys.md"])
          for (const warnings of sent.warnings) {
            for (const path of paths) {
              assert.isTrue(
                warnings.some((warning) =>
                  `${path}/`.startsWith(`${warning.slice(0, warning.indexOf(" is left out"))}/`)
                ),
                path
              )
            }
          }
        }
        const directory = yield* folder
        const names = credentials.map((path) => spell(path.split("/")[0]!)).filter((name) =>
          !/^\.(?:docker|config|cargo|m2)$/i.test(name)
        )
        write(directory, Object.fromEntries(names.map((name) => [`${name}/inner/x`, "x"])))
        assertSent(yield* send(directory), [])
      }
    })))

  it.live("send the rest of a folder with a credential in it, and take no pattern for leave to send one", () =>
    Effect.scoped(Effect.gen(function*() {
      const directory = yield* folder
      write(directory, {
        ".docker/config.json": "x",
        ".docker/daemon.json": "x",
        ".env/bin/x": "x",
        "server.pem": "x",
        ".ashignore": "!server.pem\n!.env\n"
      })
      const sent = yield* send(directory, { exclude: ["!*.pem", "!.env", "!.docker/config.json"] })
      assertSent(sent, [".docker/daemon.json"])
      for (const warnings of sent.warnings) {
        for (const path of [".docker/config.json", ".env", "server.pem"]) {
          assertTold(warnings, path, "it may hold credentials")
        }
      }
    })))

  it.live("leave out what an ignore file names, in folders within it as well, and then what is excluded", () =>
    Effect.scoped(Effect.gen(function*() {
      const directory = yield* folder
      write(directory, {
        ".ashignore": "\ufeff# comment\r\n*.log\r\n/build\r\ndata/*\r\n!data/keep\r\n!tmp/\r\nspaced\\ \r\n",
        "a.log": "x",
        "src/a.log": "x",
        "src/inner/b.log": "x",
        "build/x": "x",
        "src/build/x": "x",
        "data/drop": "x",
        "data/keep": "x",
        "tmp/x": "x",
        "node_modules/x/y": "x",
        "excluded/x": "x",
        "src/excluded": "x",
        "spaced ": "x",
        "src/.ashignore": "!a.log\n/inner/*.ts\nlocal\n!/excluded\n",
        "src/inner/x.ts": "x",
        "src/inner/deep/x.ts": "x",
        "src/deep/local/x": "x",
        "local": "x",
        "od[d] *!/.ashignore": "only\n/a/b\n",
        "od[d] *!/x/only": "x",
        "od[d] *!/a/b": "x",
        "od[d] *!/c/a/b": "x",
        "odd d!/only": "x"
      })
      assertSent(yield* send(directory, { exclude: ["excluded"] }), [
        "src/a.log",
        "src/build/x",
        "data/keep",
        "tmp/x",
        "src/inner/deep/x.ts",
        "local",
        "od[d] *!/c/a/b",
        "odd d!/only"
      ])
    })))

  it.live("leave out by ignore files what git leaves out by them", () =>
    Effect.scoped(Effect.gen(function*() {
      let seed = 7
      const random = (below: number) => (seed = (seed * 48271) % 2147483647) % below
      const pick = (choices: ReadonlyArray<string>) => choices[random(choices.length)]!
      const names = ["a", "b", "B", "c.txt", "d.md", "e e", "é", "\u65e5", "[f]", "#g", "!h"]
      const patterns = [
        "a",
        "B",
        "b/",
        "/a",
        "*.txt",
        "!c.txt",
        "a/b",
        "**/b",
        "a/**",
        "!a/",
        "e*",
        "/*/a",
        "\\[f]",
        "[a-c]",
        "\\#g",
        "\\!h",
        "!*.md",
        "# a",
        "",
        "?",
        "*/b/",
        "a/**/b",
        "e e",
        "!/b/",
        "[!a]",
        "???",
        "\u00e9",
        "!*/",
        "!.git/**"
      ]
      for (let time = 0; time < 40; time++) {
        const directory = yield* folder
        const files: Record<string, string> = {}
        for (let count = 0; count < 25; count++) {
          files[
            Array.from({ length: 1 + random(4) }, () => pick(names.slice(0, 8))).join("/") +
            `/${pick(names)}.${count}/${pick(names)}`
          ] = "x"
        }
        const folders = [
          "",
          ...new Set(
            Object.keys(files).flatMap((path) =>
              path.split("/").slice(0, -1).map((_, depth, all) => `${all.slice(0, depth + 1).join("/")}/`)
            )
          )
        ]
        for (let count = 0; count < 4; count++) {
          files[`${pick(folders)}.ashignore`] = Array.from({ length: 1 + random(5) }, () => pick(patterns)).join("\n")
        }
        run(directory, "git init -q .")
        write(directory, files)
        const expected = run(directory, "git ls-files -zo --exclude-per-directory=.ashignore").toString().split("\0")
          .filter((path) => path !== "" && !/(?:^|\/)\.ashignore$/.test(path))
        const sent = yield* send(directory)
        assert.deepStrictEqual([...sent.uploaded.keys()].toSorted(), expected.toSorted(), JSON.stringify(files))
      }
    })))

  it.live("follow links within it, out of it only where that is asked for, and report those they do not", () =>
    Effect.scoped(Effect.gen(function*() {
      const outside = yield* folder
      write(outside, { "secret/x": "outside", "passwd": "root", ".ssh/id": "key" })
      const directory = yield* folder
      write(directory, {
        "src/a": "a",
        "releases/1/b": "b",
        ".env": "A=1",
        ".aws/credentials": "x",
        "private/k.pem": "x"
      })
      const links = {
        current: "releases/1",
        alias: "src/a",
        etc: `${outside}/secret`,
        "src/passwd": `${outside}/passwd`,
        dangling: "nosuch",
        "src/around": "..",
        self: ".",
        up: "../",
        settings: ".env",
        cloud: ".aws",
        harmless: ".aws/credentials",
        keys: "private",
        home: outside,
        circle: "circle"
      }
      for (const [path, target] of Object.entries(links)) symlinkSync(target, `${directory}/${path}`)
      const sent = yield* send(directory)
      assertSent(sent, ["src/a", "releases/1/b", "current/b", "alias"])
      for (const warnings of sent.warnings) {
        for (const path of ["etc", "src/passwd", "home", "up"]) {
          assertTold(warnings, path, "it is a link that leads out of")
        }
        for (const path of ["dangling", "circle"]) assertTold(warnings, path, "it is a link that leads nowhere")
        for (const path of ["src/around", "self"]) assertTold(warnings, path, "it is a link into a folder around it")
        for (const path of ["settings", "cloud", "harmless", "keys/k.pem", "private/k.pem"]) {
          assertTold(warnings, path, "it may hold")
        }
      }
      run(directory, "rm up")
      const followed = yield* send(directory, { followLinks: true })
      assertSent(followed, [
        "src/a",
        "releases/1/b",
        "current/b",
        "alias",
        "etc/x",
        "src/passwd",
        "home/CLAUDE.md",
        "home/passwd",
        "home/secret/x"
      ])
      assertTold(followed.warnings[0], "home/.ssh", "it may hold credentials")
    })))

  it.live("come to an end where links multiply each other", () =>
    Effect.scoped(Effect.gen(function*() {
      const loops = yield* folder
      write(loops, { "a/x": "x" })
      for (const name of ["one", "two", "a/one", "a/two"]) {
        symlinkSync(name.includes("/") ? "." : "./", `${loops}/${name}`)
      }
      assertSent(yield* send(loops), ["a/x"])
      const doubling = yield* folder
      write(doubling, {})
      for (let level = 0; level < 40; level++) {
        mkdirSync(`${doubling}/d${level}`)
        for (const name of ["l", "r"]) {
          symlinkSync(`../d${level + 1}`, `${doubling}/d${level}/${name}`)
        }
      }
      write(doubling, { "d40/x": "x" })
      const sent = yield* send(doubling)
      assert.deepStrictEqual(sent.failures, ["", ""])
      assert.isTrue(sent.uploaded.has("d40/x") && sent.uploaded.has("d39/l/x"))
      assert.isBelow(sent.uploaded.size, 2000)
      for (const warnings of sent.warnings) {
        assert.isTrue(warnings.some((warning) => warning.includes("it is one of more than 1000 links")))
      }
    })))

  it.live("look at the size of a file before they read it", () =>
    Effect.scoped(Effect.gen(function*() {
      const directory = yield* folder
      write(directory, { "huge.bin": "" })
      truncateSync(`${directory}/huge.bin`, 2 ** 42)
      const sent = yield* send(directory)
      for (const failure of sent.failures) assert.include(failure, `huge.bin has ${2 ** 42} bytes`)
      assert.strictEqual(sent.requests, 0)
      assertSent(yield* send(directory, { exclude: ["huge.*"] }), [])
      for (let index = 0; index < 11; index++) {
        writeFileSync(`${directory}/part${index}`, "")
        truncateSync(`${directory}/part${index}`, 104_857_600)
      }
      assert.include((yield* send(directory, { exclude: ["huge.*"] })).failures[1], "the files have 1153433607 bytes")
    })))

  it.live.skipIf(process.platform !== "linux")(
    "leave out a file whose size the system does not tell",
    () =>
      Effect.scoped(Effect.gen(function*() {
        const directory = yield* folder
        write(directory, { empty: "" })
        symlinkSync("/proc/version", `${directory}/version`)
        const sent = yield* send(directory, { followLinks: true })
        assertSent(sent, ["empty"])
        for (const warnings of sent.warnings) assert.match(warnings.join(), /^[^,]*version[^,]*its size is not known/)
      }))
  )

  it.live("fail where another kind has taken the place of a file since they found it", () =>
    Effect.scoped(Effect.gen(function*() {
      const directory = yield* folder
      write(directory, { a: "a".repeat(700_000), z: "z".repeat(700_000) })
      const server = Server.make(() => {
        run(directory, "rm -f z; mkfifo z")
        return Server.json({ agent }, 201)()
      })
      const error = yield* Effect.flip(Effect.provide(deployDirectory(directory, { name: "a" }), server.layer))
      assert.strictEqual(error.reason._tag, "InvalidRequest")
      assert.match(error.message, /it is no file any more, but a FIFO/)
    })))

  it.live("name a file in one line, whatever stands in its name", () =>
    Effect.scoped(Effect.gen(function*() {
      const directory = yield* folder
      const name = "a\u0085\u2028\u202e\u001b[2J\nb"
      write(directory, { [name]: "" })
      truncateSync(`${directory}/${name}`, 2 ** 42)
      const { failures } = yield* send(directory)
      for (const failure of failures) assert.match(failure ?? "", /^[^\p{Cc}\p{Cf}\p{Zl}]+ has \d+ bytes/u)
    })))

  it.live("report what cannot be sent: no files, no names, and empty folders where agents have none", () =>
    Effect.scoped(Effect.gen(function*() {
      const directory = yield* folder
      write(directory, { "only/node_modules/x": "x" })
      run(directory, "mkfifo pipe; mkdir -p empty/inner; touch $'bad\\xff' $'\\xe4.txt'")
      const sent = yield* send(directory)
      assertSent(sent, [])
      for (const warnings of sent.warnings) {
        assertTold(warnings, "pipe", "it is no file, but a FIFO")
        for (const name of ["bad\ufffd", "\ufffd.txt"]) assertTold(warnings, name, "its name is not UTF-8")
      }
      for (const path of ["empty/inner", "only"]) assertTold(sent.warnings[0], path, "nothing in it is sent")
      const archive = gunzipSync(sent.bundle)
      for (const path of ["empty/inner/", "only/"]) assert.isTrue(archive.includes(path), path)
    })))

  const unreadable: ReadonlyArray<readonly [script: string, what: RegExp | undefined]> = [
    ["printf x > d/f; chmod 0 d/f", /EACCES: .*d\/f/],
    ["printf x > d/f; chmod 311 d", /EACCES: .*d'/],
    ["printf x > d/f; chmod 644 d", /EACCES: .*d\/f/],
    ["printf x > .ashignore; chmod 0 .ashignore", /EACCES: .*\.ashignore/],
    ["printf x > d/f; chmod 644 d; printf /d > .ashignore", undefined],
    ["printf x > d/f; chmod 644 d; printf f > .ashignore", undefined],
    ["printf x > d/f; chmod 0 d; printf d/ > .ashignore", undefined],
    ["printf x > d/.npmrc; chmod 0 d/.npmrc", undefined]
  ]

  it.live.each(unreadable)(
    "take all of a folder, or fail where something may not be read: %s",
    ([script, what]) =>
      Effect.scoped(Effect.gen(function*() {
        const directory = yield* folder
        write(directory, {})
        run(directory, `chmod 755 .; mkdir d; ${script}`)
        const isRoot = process.geteuid?.() === 0
        yield* Effect.acquireRelease(
          Effect.sync(() => isRoot && process.seteuid?.(65_534)),
          () => Effect.sync(() => isRoot && process.seteuid?.(0))
        )
        const { deployed, failures } = yield* send(directory)
        for (const failure of failures) {
          if (what === undefined) assert.strictEqual(failure, "")
          else assert.match(failure ?? "", what)
        }
        assert.deepStrictEqual([...deployed.keys()], what === undefined ? ["CLAUDE.md"] : [])
      }))
  )

  it.live("refuse an ignore file that is none, or that no pattern can be made of", () =>
    Effect.scoped(Effect.gen(function*() {
      for (
        const script of [
          "mkdir .ashignore",
          "mkfifo .ashignore",
          "ln -s nosuch .ashignore",
          "mkdir d; ln -s . d/.ashignore",
          ...["a", "*a", "[a]", "é", "a/"].map((piece) =>
            `head -c 900000 /dev/zero | sed 's/\\x00/${piece.replace("/", "\\/")}/g' | head -c 900000 > .ashignore`
          )
        ]
      ) {
        const directory = yield* folder
        write(directory, {})
        run(directory, script)
        const { failures, requests } = yield* send(directory)
        for (const failure of failures) assert.include(failure, ".ashignore", script)
        assert.strictEqual(requests, 0)
      }
    })))

  const arguments_: ReadonlyArray<readonly [directory: unknown, options: unknown, field: string]> = [
    ...["", undefined, null, 5, {}, ["."], new URL("file:///tmp"), "a\0b"].map((directory) =>
      [directory, {}, "directory"] as const
    ),
    ...["x", [null], [5], {}, ["a".repeat(4097)]].map((exclude) => [".", { exclude }, "exclude"] as const)
  ]

  it.live.each(arguments_)(
    "refuse what is no path or no pattern by its field: %#",
    ([directory, given, field]) =>
      Effect.gen(function*() {
        const server = Server.make(Server.json({}))
        const options = given as DeployDirectoryOptions
        const errors = yield* Effect.all([
          Effect.flip(deployDirectory(directory as string, options)),
          Effect.flip(uploadWorkspace(sessionId, directory as string, options))
        ]).pipe(Effect.provide(server.layer))
        for (const { reason } of errors) {
          assert.strictEqual(reason._tag === "InvalidRequest" ? reason.field : "", field)
        }
        assert.deepStrictEqual(server.requests, [])
      })
  )

  it.live("fail as the folder that is not there does, and send nothing", () =>
    Effect.scoped(Effect.gen(function*() {
      const sent = yield* send(`${yield* folder}/nosuch`)
      for (const failure of sent.failures) assert.include(failure, "the folder could not be read")
      assert.strictEqual(sent.requests, 0)
    })))
})

describe("deployDirectory reads .env", () => {
  const utf16 = (text: string, isBig: boolean) => {
    const bytes = Buffer.from(`\ufeff${text}`, "utf16le")
    return isBig ? bytes.swap16() : bytes
  }

  const texts: ReadonlyArray<readonly [string, Uint8Array | string]> = [
    ["UTF-8", "A=größer\nB=2\n"],
    ["UTF-8 with a mark", "\ufeffA=größer\nB=2\n"],
    ["UTF-16, as Windows writes it", utf16("A=größer\r\nB=2\r\n", false)],
    ["UTF-16, the other way", utf16("A=größer\nB=2\n", true)]
  ]
  it.live.each(texts)("in %s", ([, text]) =>
    Effect.scoped(Effect.gen(function*() {
      const directory = yield* folder
      write(directory, { ".env": text })
      const { deployed, env, warnings } = yield* send(directory)
      assert.deepStrictEqual(env, { A: "größer", B: "2" })
      assert.deepStrictEqual([...deployed.keys()], ["CLAUDE.md"])
      assert.deepStrictEqual(warnings[0], [])
    })))

  const others: ReadonlyArray<readonly [string, Uint8Array]> = [
    ["UTF-16 without a mark", Buffer.from("A=1", "utf16le")],
    ["UTF-32", new Uint8Array([0xff, 0xfe, 0, 0, 65, 0, 0, 0])],
    ["Latin-1", Buffer.from("A=gr\xf6\xdfer", "latin1")],
    ["NULs", Buffer.from("A=1\0B=2")]
  ]
  it.live.each(others)("and refuses it in %s, by its name", ([, text]) =>
    Effect.scoped(Effect.gen(function*() {
      for (const name of [".env", ".env.local", ".ashignore"]) {
        const directory = yield* folder
        write(directory, { [name]: text })
        const { failures } = yield* send(directory)
        assert.include(failures[0], `${name} is no text in UTF-8`)
      }
    })))

  it.live("where it is a file: a folder is left out, as is a link that leads out", () =>
    Effect.scoped(Effect.gen(function*() {
      const outside = yield* folder
      write(outside, { shared: "A=1" })
      const directory = yield* folder
      write(directory, { ".env/bin/x": "x", "shared.txt": "B=2" })
      symlinkSync(`${outside}/shared`, `${directory}/.env.local`)
      const sent = yield* send(directory)
      assertSent(sent, ["shared.txt"])
      assert.deepStrictEqual(sent.env, {})
      assertTold(sent.warnings[0], ".env", "it may hold credentials")
      assertTold(sent.warnings[0], ".env.local", "it is a link that leads out of the folder")
      assert.deepStrictEqual((yield* send(directory, { followLinks: true })).env, { A: "1" })
      run(directory, "rm .env.local; ln -s shared.txt .env.local")
      assert.deepStrictEqual((yield* send(directory)).env, { B: "2" })
    })))
})
