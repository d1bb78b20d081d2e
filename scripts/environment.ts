/** What a machine has in its environment, and a program that is to be tested must not meet. */

/** Variables that lead a program elsewhere: to another server, or through a proxy. */
const elsewhere = /^(?:ash_server_url|ash_api_key|(?:https?|all|no)_proxy)$/i

/** Takes out of the environment of this process, and so of all that it starts, what leads elsewhere. */
export const stayHere = () => {
  for (const name of Object.keys(process.env).filter((name) => elsewhere.test(name))) delete process.env[name]
}
