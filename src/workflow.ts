/**
 * For runs of agents that survive the death of the machine that drives them, on Effect's own workflows and cluster.
 *
 * @module effect-ash/workflow
 */
export * as AshWorkflow from "./workflow/AshWorkflow.ts"

export * from "./workflow/AgentRun.ts"
export * from "./workflow/AgentRuns.ts"
export type { OrphanOptions } from "./workflow/orphans.ts"
export type { Plan, Plans, Progress } from "./workflow/Plan.ts"
export * from "./workflow/RunErrors.ts"
export { LedgerTurn, RunStatus } from "./workflow/RunStatus.ts"
export type { RunState } from "./workflow/store/RunStore.ts"
export type { RunEvent } from "./workflow/watch.ts"
