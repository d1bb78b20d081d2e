#!/usr/bin/env node
/** The command `effect-ash`. It is bundled with all that it needs, and runs with only Node. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Cause from "effect/Cause"
import * as CliConfig from "effect/cli/CliConfig"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Runtime from "effect/Runtime"
import { stderr, stdout } from "node:process"
import { version } from "../internal/request/connection.ts"
import { CommandError, serve } from "./serve.ts"

const command = Command.make("effect-ash").pipe(
  Command.withDescription("The command of the Effect SDK for Ash"),
  Command.withSubcommands([serve])
)

const complain = (message: string) => Console.error(`effect-ash: ${message}`)

/** Prints what is wrong with an invocation in one line, without the help. */
const presenter = CliOutput.layerPresenter({
  present: (event) =>
    event._tag === "InvalidInvocation"
      ? complain(event.errors.map(({ message }) => message.replaceAll(/\s*\n\s*/g, " ")).join("; "))
      : CliOutput.defaultPresenter.present(event)
})

// The reader of a pipe may close it before the server ends.
for (const stream of [stdout, stderr]) stream.on("error", () => undefined)

Command.run(command, { version }).pipe(
  Effect.tapError((error) => error instanceof CommandError ? complain(error.message) : Effect.void),
  Effect.provide(Layer.mergeAll(
    NodeServices.layer,
    presenter,
    CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.Version] })
  )),
  NodeRuntime.runMain({
    disableErrorReporting: true,
    // A server has no other end than a signal: it is no failure.
    teardown: (exit, onExit) =>
      Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause) ? onExit(0) : Runtime.defaultTeardown(exit, onExit)
  })
)
