/** For runs of agents that survive the death of the machine that drives them, on Effect's own workflows and cluster. */
export * from "./workflow/AgentRun.ts"
export * from "./workflow/AgentRuns.ts"
export * as AshWorkflow from "./workflow/AshWorkflow.ts"
export type { Plan, Plans, Progress } from "./workflow/Plan.ts"
export * from "./workflow/RunErrors.ts"
export { LedgerTurn, RunStatus } from "./workflow/RunStatus.ts"
export type { RunEvent } from "./workflow/watch.ts"
