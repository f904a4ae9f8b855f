/**
 * A dispatch namespace for `wrangler dev`, as a Miniflare plugin: the Workers that run beside a dispatcher become the
 * scripts of its namespace. In the dispatcher's configuration:
 *
 *     [[unsafe.bindings]]
 *     name = "DISPATCHER"
 *     type = "local-namespace"
 *     [unsafe.bindings.dev]
 *     plugin = { package = "local-namespace", name = "local-namespace" }
 *     options = { scripts = { user1 = "customer-user1" } }  # script in the namespace -> Worker in this wrangler dev
 */
import { readFileSync } from "node:fs";

const NAME = "local-namespace";
const MODULE = `${NAME}:namespace`;
const SOURCE = readFileSync(new URL("./namespace.js", import.meta.url), "utf8");

const namespaces = (worker) =>
  Object.entries(worker.config.env ?? {}).filter(([, binding]) => binding.dev?.plugin?.name === NAME);

export const plugins = {
  [NAME]: {
    /** The binding: each script is an inner binding, a service that is another Worker of the same runtime. */
    getBindings: (worker) =>
      namespaces(worker).map(([name, { dev }]) => ({
        name,
        wrapped: {
          moduleName: MODULE,
          innerBindings: Object.entries(dev.options?.scripts ?? {}).map(([script, target]) => ({
            name: script,
            service: { name: `core:user:${target}` },
          })),
        },
      })),

    /** Miniflare's own Node.js API (`getBindings()`) does not reach the namespace; HTTP requests do. */
    getNodeBindings: () => ({}),

    getServices: () => [],

    /** The module that wraps the inner bindings, in any runtime where a Worker has a namespace. */
    getExtensions: ({ options }) =>
      options.some((worker) => namespaces(worker).length > 0)
        ? [{ modules: [{ name: MODULE, esModule: SOURCE, internal: true }] }]
        : [],
  },
};
