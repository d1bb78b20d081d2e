/** The metrics of turns, in Effect's registry. */
import * as Metric from "effect/Metric"
import type { ServerAddress } from "../request/connection.ts"
import { attribute, histogram, operation, provider } from "./conventions.ts"

export interface TurnKind {
  readonly agentName: string | undefined
  readonly requestModel: string | undefined
  readonly responseModel: string | undefined
  readonly errorType?: string | undefined
}

type Labels = Record<string, string>

/** What a turn is of, as its span and its metrics have it. */
export const subjectOf = (
  { address }: ServerAddress,
  { agentName, requestModel }: Pick<TurnKind, "agentName" | "requestModel">
) => ({
  [attribute.operationName]: operation.invokeAgent,
  [attribute.providerName]: provider,
  [attribute.serverAddress]: address,
  ...(agentName === undefined ? {} : { [attribute.agentName]: agentName }),
  ...(requestModel === undefined ? {} : { [attribute.requestModel]: requestModel })
})

const labelsOf = (server: ServerAddress, kind: TurnKind): Labels => ({
  ...subjectOf(server, kind),
  [attribute.serverPort]: String(server.port),
  ...(kind.responseModel === undefined ? {} : { [attribute.responseModel]: kind.responseModel }),
  ...(kind.errorType === undefined ? {} : { [attribute.errorType]: kind.errorType })
})

const makeSeries = (kind: keyof typeof histogram, labels: Labels): Metric.Histogram<number> => {
  const { boundaries, description, name, unit } = histogram[kind]
  // The exporter takes the unit from this attribute, and exports it as one as well.
  return Metric.histogram(name, { description, boundaries, attributes: { ...labels, unit } })
}

const makeAll = (labels: Labels) => ({
  duration: makeSeries("duration", labels),
  timeToFirstChunk: makeSeries("timeToFirstChunk", labels),
  timePerOutputChunk: makeSeries("timePerOutputChunk", labels),
  inputTokens: makeSeries("tokenUsage", { ...labels, [attribute.tokenType]: "input" }),
  outputTokens: makeSeries("tokenUsage", { ...labels, [attribute.tokenType]: "output" })
})

/** The series of turns. Each is made once: to add attributes to a metric costs more than to record. */
export class TurnMetrics {
  readonly server: ServerAddress
  readonly #known = new Map<string, ReturnType<typeof makeAll>>()

  constructor(server: ServerAddress) {
    this.server = server
  }

  of(kind: TurnKind): ReturnType<typeof makeAll> {
    const key = [kind.agentName, kind.requestModel, kind.responseModel, kind.errorType].join("\n")
    const known = this.#known.get(key) ?? makeAll(labelsOf(this.server, kind))
    this.#known.set(key, known)
    return known
  }
}
