/**
 * The plugin of the hub's Miniflare (hub.js): dispatch namespaces whose scripts are processes, and sockets for those processes.
 * A binding of the type `unsafe:local-namespace` has one of these `dev.plugin.options`:
 *
 * - `sockets`, the folder of the scripts' sockets, `hub`, the hub's own socket, `hosted`, the scripts that run in the hub
 *   and their Workers, and perhaps `scripts`, the only names that it knows, with their Workers: a dispatch namespace;
 * - `script`, the socket of one script, and `entrypoint`: that script as a service;
 * - `service`: a service of Miniflare's own;
 * - `doors`, sockets to serve: socket -> service. Such a binding gives its Worker nothing.
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
        if (options.doors !== undefined) return [];
        if (options.service !== undefined) return [{ name, service: { name: options.service } }];
        if (options.script !== undefined) return [oneScript(name, options)];
        return [namespace(name, options)];
      }),

    /** Miniflare's own Node.js API (`getBindings()`) does not reach the namespace; HTTP requests do. */
    getNodeBindings: () => ({}),

    /** The sockets that the hub serves, and its way to the supervisor. */
    getServices: ({ options }) => {
      const doors = namespaces(options).flatMap(([, { dev }]) => (dev.options?.doors ? [dev.options] : []));
      if (doors.length === 0) return [];
      const [{ doors: served, supervisor, folder }] = doors;
      return {
        services: [{ name: SUPERVISOR, external: { address: `unix:${supervisor}`, http: {} } }],
        extensions: [],
        sockets: Object.entries(served).map(([socket, service]) => {
          // A runtime that crashed has left it, and could not start again.
          rmSync(`${folder}/${socket}`, { force: true });
          return { name: `door:${socket}`, address: `unix:${socket}`, service: { name: service }, http: {} };
        }),
      };
    },

    /** The modules that wrap the inner bindings, in any runtime where a Worker has a namespace. */
    getExtensions: ({ options }) =>
      options.some((worker) => namespaces(worker).length > 0)
        ? [{ modules: Object.entries(MODULES).map(([name, esModule]) => ({ name, esModule, internal: true })) }]
        : [],
  },
};
