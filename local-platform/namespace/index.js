/**
 * The Miniflare plugin of the hub (hub.js). It provides dispatch namespaces whose scripts run in processes of their
 * own, and the sockets that these processes connect to.
 *
 * A binding of the plugin has the type `unsafe:local-namespace` and one of these `dev.plugin.options`:
 *
 * - A dispatch namespace: `sockets` (the folder of the scripts' sockets), `hub` (the hub's own socket), `hosted` (the
 *   scripts that run in the hub, and their Workers) and, optionally, `scripts` (the namespace's only names, and their
 *   Workers).
 * - One script as a service: `script` (the script's socket) and `entrypoint`.
 * - A service of Miniflare: `service`.
 * - Sockets to serve: `served` (socket -> service), `folder` (the sockets' folder) and `supervisor` (the supervisor's
 *   socket). The Worker gets no binding.
 */
import { readFileSync, rmSync } from "node:fs";

import { kVoid } from "miniflare";

const NAME = "local-namespace";
const MODULES = {
  [`${NAME}:processes`]: readFileSync(new URL("./processes.js", import.meta.url), "utf8"),
  [`${NAME}:script`]: readFileSync(new URL("./script.js", import.meta.url), "utf8"),
};
const SUPERVISOR = `${NAME}:supervisor`;

const namespaces = (worker) =>
  Object.entries(worker.config.env ?? {}).filter(([, binding]) => binding.dev?.plugin?.name === NAME);

const wrapped = (name, module, innerBindings) => ({
  name,
  wrapped: { moduleName: module, innerBindings: [{ name: "port", workerdDebugPort: kVoid }, ...innerBindings] },
});

const json = (name, value) => ({ name, json: JSON.stringify(value) });

const namespace = (name, { scripts, hosted, sockets, hub }) =>
  wrapped(name, `${NAME}:processes`, [
    { name: "supervisor", service: { name: SUPERVISOR } },
    json("settings", { scripts, hosted, sockets, hub }),
  ]);

const oneScript = (name, { script, entrypoint }) =>
  wrapped(name, `${NAME}:script`, [json("settings", { socket: script, service: "script", entrypoint })]);

export const plugins = {
  [NAME]: {
    getBindings: (worker) =>
      namespaces(worker).flatMap(([name, { dev: { options = {} } }]) => {
        if (options.served !== undefined) return [];
        if (options.service !== undefined) return [{ name, service: { name: options.service } }];
        if (options.script !== undefined) return [oneScript(name, options)];
        return [namespace(name, options)];
      }),

    /** Miniflare's Node.js API (`getBindings()`) cannot reach the namespace. HTTP requests can. */
    getNodeBindings: () => ({}),

    /** Returns the sockets that the hub serves, and the service that connects to the supervisor. */
    getServices: ({ options }) => {
      const [settings] = namespaces(options).flatMap(([, { dev }]) => (dev.options?.served ? [dev.options] : []));
      if (settings === undefined) return [];
      const { served, supervisor, folder } = settings;
      return {
        services: [{ name: SUPERVISOR, external: { address: `unix:${supervisor}`, http: {} } }],
        extensions: [],
        sockets: Object.entries(served).map(([socket, service]) => {
          // A runtime that crashed leaves its sockets behind. A new runtime could not start with them.
          rmSync(`${folder}/${socket}`, { force: true });
          return { name: `socket:${socket}`, address: `unix:${socket}`, service: { name: service }, http: {} };
        }),
      };
    },

    /** Returns the modules that wrap the inner bindings, if a Worker has a binding of the plugin. */
    getExtensions: ({ options }) =>
      options.some((worker) => namespaces(worker).length > 0)
        ? [{ modules: Object.entries(MODULES).map(([name, esModule]) => ({ name, esModule, internal: true })) }]
        : [],
  },
};
