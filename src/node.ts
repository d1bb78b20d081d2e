/** For programs on Node: layers over `node:http`, and agents deployed from a folder. */
export * as AshNode from "./layers/AshNode.ts"
export * from "./services/deployDirectory.ts"
