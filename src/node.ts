/**
 * For programs on Node: layers over `node:http`, and agents and workspaces from and to folders.
 *
 * @module effect-ash/node
 */
export * as AshNode from "./layers/AshNode.ts"
export * from "./node/deployDirectory.ts"
export * from "./node/downloadWorkspace.ts"
export * from "./node/uploadWorkspace.ts"
