/** For programs on Node: layers over `node:http`, and agents and workspaces from and to folders. */
export * as AshNode from "./layers/AshNode.ts"
export * from "./services/deployDirectory.ts"
export * from "./services/downloadWorkspace.ts"
export * from "./services/uploadWorkspace.ts"
