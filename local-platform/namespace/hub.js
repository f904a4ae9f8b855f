// The hub of the local platform: one Miniflare with the simulators of KV, R2, caches and rate limits, and with the
// Workers whose wrangler files the platform's options name. It is started once. The dispatcher, customers' Workers and
// databases run in processes of their own, which the platform's supervisor starts.
//
// The supervisor writes a line of JSON to standard input (see `Hub` in local-platform/src/hub.rs), and closes standard
// input to end the hub. The hub serves on the sockets in `served`. It creates the file `ready` when it is ready.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, extname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { Log, LogLevel, Miniflare } from "miniflare";

const PLUGIN = { package: fileURLToPath(new URL("./index.js", import.meta.url)), name: "local-namespace" };
const MODULE_TYPES = { ".js": "esm", ".mjs": "esm", ".wasm": "wasm", ".txt": "text", ".html": "text", ".bin": "data" };

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const { value: line } = await lines.next();
const options = JSON.parse(line);

/** Returns the modules of a Worker: its main module and the files beside it that an ECMAScript module can import. */
function manifest(main) {
  const folder = dirname(main);
  const beside = readdirSync(folder).filter((name) => [".wasm", ".txt", ".html", ".bin"].includes(extname(name)));
  const module = (name) => {
    const type = MODULE_TYPES[extname(name)];
    const contents = readFileSync(join(folder, name), ["wasm", "data"].includes(type) ? undefined : "utf8");
    return [name, { type, contents: typeof contents === "string" ? contents : new Uint8Array(contents) }];
  };
  const names = [basename(main), ...beside];
  return { mainModule: basename(main), modulesRoot: "/", modules: Object.fromEntries(names.map(module)) };
}

const plugin = (pluginOptions) => ({ type: `unsafe:${PLUGIN.name}`, dev: { plugin: PLUGIN, options: pluginOptions } });

const workers = new Set(options.workers.map(({ name }) => name));

/** Returns a binding for this runtime. Bindings that lead to scripts are replaced, because scripts do not run here. */
function binding(value) {
  const script = value.type === "worker" && !workers.has(value.worker) && value.worker.replace(/^customer-/, "");
  if (script) return plugin({ script: `${options.scripts}/${script}`, entrypoint: value.exportName });
  if (value.dev?.plugin?.name !== PLUGIN.name) return value;
  const { scripts } = value.dev.options ?? {};
  return plugin({ scripts, hosted: options.hosted, sockets: options.scripts, hub: options.hub });
}

function worker({ name, main, compatibilityDate, compatibilityFlags, env }) {
  const bindings = Object.entries(env).map(([key, value]) => [key, binding(value)]);
  const config = { name, compatibilityDate, compatibilityFlags, manifest: manifest(main), env: Object.fromEntries(bindings) };
  return { config, dev: { rootPath: dirname(main) } };
}

/** Returns the configuration of one of the hub's own Workers. */
function own(name, env) {
  const contents = readFileSync(new URL(`./${name}.js`, import.meta.url), "utf8");
  const modules = { "index.js": { type: "esm", contents } };
  return { config: { name, compatibilityDate: "2026-11-17", manifest: { mainModule: "index.js", modulesRoot: "/", modules }, env } };
}

/** The sockets that other processes connect to, and the services behind them. */
const served = {
  kv: "kv:ns:entry",
  r2: "r2:bucket:entry",
  ratelimit: "ratelimit:ns:entry",
  cache: "core:user:cache",
  queue: "core:user:queue",
};

const simulators = own("queue", {
  SOCKETS: plugin({ served, folder: options.folder, supervisor: options.supervisor }),
  // Miniflare only runs a simulator if a Worker is bound to it.
  KV: { type: "kv", id: "none" },
  R2: { type: "r2", name: "none" },
  RATE_LIMIT: { type: "rate-limit", namespace: "none", simple: { limit: 1, period: 60 } },
});

const miniflare = new Miniflare({
  host: "127.0.0.1",
  port: 0,
  cf: false,
  logRequests: false,
  log: new Log(LogLevel.WARN),
  enableDevRegistry: false,
  resourcePersistencePath: options.storage,
  handleStructuredLogs: ({ level, message }) => (level === "error" || level === "warn" ? console.error : console.log)(message),
  workers: [simulators, own("cache", { CACHE: plugin({ service: "cache:0" }) }), ...options.workers.map(worker)],
});
await miniflare.ready;
writeFileSync(options.ready, "");

await lines.next();
// Standard input is closed: the supervisor has ended or wants the hub to end.
await miniflare.dispose();
process.exit(0);
