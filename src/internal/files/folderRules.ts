/** What is left out of a folder that is sent: patterns with the syntax of `.gitignore`. */
import { memoize } from "effect/Function"
import ignore from "ignore"

/** What holds secrets, or may, as a file or as a folder, whatever its letters. */
const credentials = [
  // The environment of programs.
  ".env*",
  "*.env",
  "*.env.local",
  "*.env.bak*",
  "*.env.old*",
  "*.env.orig",
  "*.env.save",
  ".dev.vars",
  // Keys and stores of keys.
  "*.pem",
  "*.key",
  "*.p8",
  "*.p12",
  "*.pfx",
  "*.pkcs12",
  "*.ppk",
  "*.jks",
  "*.keystore",
  "*.keychain",
  "*.keychain-db",
  "*.kdbx",
  "*.ovpn",
  "id_rsa*",
  "id_dsa*",
  "id_ecdsa*",
  "id_ed25519*",
  ".ssh",
  ".gnupg",
  "secring.*",
  ".pki",
  ".password-store",
  ".vault-token",
  ".vault?pass*",
  ".htpasswd",
  ".secrets",
  ".credentials.json",
  // Package managers and build tools.
  ".npmrc*",
  ".yarnrc.yml",
  ".pypirc*",
  ".cargo/credentials*",
  ".gem/credentials",
  ".bundle/config",
  ".m2/settings*.xml",
  ".gradle/gradle.properties",
  ".composer/auth.json",
  ".nuget/NuGet.Config",
  // Logins to other machines.
  ".netrc*",
  "_netrc*",
  ".authinfo*",
  ".git-credentials*",
  ".config/git/credentials",
  ".config/gh",
  ".config/hub",
  ".subversion",
  ".hg/hgrc",
  ".curlrc",
  ".pgpass",
  "pgpass.conf",
  ".my.cnf",
  ".mylogin.cnf",
  ".msmtprc",
  ".fetchmailrc",
  ".s3cfg",
  ".boto",
  "*rclone.conf",
  ".codex/auth.json",
  ".huggingface",
  ".kaggle",
  "kaggle.json",
  // Clouds, clusters and containers.
  ".aws",
  ".azure",
  ".oci",
  ".aliyun",
  ".config/gcloud",
  ".config/doctl",
  "application_default_credentials.json",
  "legacy_credentials",
  "access_tokens.db",
  "credentials.db",
  "credentials.json",
  "client_secret*.json",
  "*service?account*.json",
  "*serviceaccount*.json",
  ".databrickscfg",
  ".kube",
  "kubeconfig",
  "*.kubeconfig",
  ".docker/config.json",
  ".dockercfg",
  ".dockerconfigjson",
  "*.tfstate",
  "*.tfstate.*",
  "*.tfvars",
  "*.tfvars.json",
  ".terraform",
  ".terraformrc",
  "terraform.rc",
  ".terraform.d",
  // What was typed.
  ".*_history"
]

/** What a server has no use for. */
const useless = [
  "node_modules/",
  "__pycache__/",
  ".cache/",
  ".npm/",
  ".pnpm-store/",
  ".yarn/",
  ".venv/",
  "venv/",
  ".tmp/",
  "tmp/",
  ".DS_Store",
  "*.sock",
  "*.pid"
]

/** What no pattern takes back: the repository, as git has it, ignore files, and what a download leaves that was killed. */
const never = ["[.][gG][iI][tT]", ".ashignore", ".effect-ash-*/"]

/** At any depth, with a slash in a pattern as well. Made when a folder is first sent: few programs send one. */
const anywhere = memoize((patterns: ReadonlyArray<string>) =>
  ignore({ ignorecase: true }).add(patterns.map((pattern) => `**/${pattern}`))
)

/** Whether a path, or a folder on the way to it, is named as what holds secrets is. */
export const isCredential = (path: string): boolean => path !== "" && anywhere(credentials).ignores(path)

const encoder = new TextEncoder()

/** A text as its bytes, which are what git matches: each byte beyond ASCII is a character that means nothing else. */
const bytewise = (text: string): string =>
  String.fromCharCode(...Array.from(encoder.encode(text), (byte) => byte < 128 ? byte : 0xe000 + byte))

/** A line of the ignore file of a folder, as it reads in the folder around all. */
const fromWithin = (folder: string, line: string): string => {
  if (folder === "" || /^(?:#|\s*$)/.test(line)) return line
  const not = line.startsWith("!") ? "!" : ""
  const pattern = line.slice(not.length)
  // Without a slash, but for one at its end, a pattern is meant at any depth.
  const depth = /\/(?!$)/.test(pattern.trimEnd()) ? "" : "**/"
  return `${not}/${folder.replaceAll(/[\\*?[\]!# ]/g, "\\$&")}${depth}${pattern.replace(/^\//, "")}`
}

/** The rules that hold in a folder. */
export interface FolderRules {
  /** Whether a path is left out. That of a folder ends in `/`. */
  readonly ignores: (path: string) => boolean
  /** The rules below a folder with the lines of an ignore file. Its path ends in `/`, and is empty where it is the one around all. */
  readonly within: (folder: string, ignoreFile: ReadonlyArray<string>) => FolderRules
}

const make = (lines: ReadonlyArray<string>, exclude: ReadonlyArray<string>): FolderRules => {
  // As objects, they are not taken apart where the name of a folder has a line break.
  const rules = ignore({ ignorecase: false }).add(useless).add(lines.map((line) => ({ pattern: bytewise(line) })))
    .add(exclude.map(bytewise)).add(never)
  return {
    ignores: (path) => rules.ignores(bytewise(path)),
    within: (folder, ignoreFile) => make([...lines, ...ignoreFile.map((line) => fromWithin(folder, line))], exclude)
  }
}

/**
 * The rules of a folder: what is of no use, then what ignore files name, the inner ones later, then what is excluded. The
 * last one that fits decides, so that each can take back what those before it leave out. Some things are never sent.
 */
export const makeRules = (exclude: ReadonlyArray<string>): FolderRules => make([], exclude)
