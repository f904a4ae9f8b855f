// The plugin in the real runtime: wrangler dev with a dispatcher and two scripts.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

const fixture = (name) => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));
let folder, wrangler, url;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "local-namespace-"));
  const common = { compatibility_date: "2026-11-17" };
  const script = (name) => ({ ...common, name: `script-${name}`, main: fixture("script.js"), vars: { NAME: name } });
  const configs = {
    dispatcher: {
      ...common,
      name: "dispatcher",
      main: fixture("dispatcher.js"),
      unsafe: {
        bindings: [
          {
            name: "NAMESPACE",
            type: "local-namespace",
            dev: {
              plugin: { package: "local-namespace", name: "local-namespace" },
              options: { scripts: { one: "script-one", two: "script-two" } },
            },
          },
        ],
      },
    },
    one: script("one"),
    two: script("two"),
  };
  const files = [];
  for (const [name, config] of Object.entries(configs)) {
    files.push("-c", join(folder, `${name}.json`));
    await writeFile(files.at(-1), JSON.stringify(config));
  }
  const program = fileURLToPath(new URL("../../../node_modules/wrangler/bin/wrangler.js", import.meta.url));
  const flags = ["--port=0", "--ip=127.0.0.1", "--inspector-port=0", "--show-interactive-dev-session=false"];
  wrangler = spawn(process.execPath, [program, "dev", ...files, ...flags, "--persist-to", join(folder, "storage")], {
    stdio: ["ignore", "pipe", "inherit"],
    env: {
      ...process.env,
      // Or a middleware of wrangler dev reads every body first.
      WRANGLER_DISABLE_REQUEST_BODY_DRAINING: "1",
      CLOUDFLARE_CF_FETCH_ENABLED: "false",
      WRANGLER_REGISTRY_PATH: join(folder, "registry"),
      WRANGLER_SEND_METRICS: "false",
    },
  });
  const printed = [];
  for await (const line of createInterface(wrangler.stdout)) {
    printed.push(line);
    url = /Ready on (http:\S+)/.exec(line)?.[1];
    if (url) break;
  }
  assert.ok(url, `wrangler dev did not start:\n${printed.join("\n")}`);
  wrangler.stdout.resume();
});

after(async () => {
  if (wrangler.exitCode === null) {
    wrangler.kill("SIGTERM");
    await once(wrangler, "exit");
  }
  await rm(folder, { recursive: true });
});

const ask = async (path, options) => {
  const response = await fetch(`${url}${path}`, options);
  return `${response.status} ${await response.text()}`;
};

test("get, then fetch at once", async () => assert.equal(await ask("/at-once"), "200 one /at-once"));

test("get, then fetch later", async () => assert.equal(await ask("/later"), "200 one /later"));

test("one stub, two requests", async () => assert.equal(await ask("/twice"), "200 one /first, one /second"));

test("fetch after the request's body was read", async () =>
  assert.equal(await ask("/after-body", { method: "POST", body: "the body" }), "200 two /after-body the body"));

test("RPC methods, one after another", async () => assert.equal(await ask("/rpc"), "200 7"));

test("RPC with streams both ways", async () =>
  assert.equal(await ask("/rpc-stream", { method: "POST", body: "stream" }), "200 STREAM"));

test("an RPC method that there is not", async () => assert.match(await ask("/rpc-missing"), /^500 TypeError: .*missing/));

test("arguments and options are taken", async () => assert.equal(await ask("/options"), "200 one /options"));

test("each name is a Worker of its own", async () => {
  assert.equal(await ask("/named?name=one"), "200 one /named");
  assert.equal(await ask("/named?name=two"), "200 two /named");
});

test("unknown names, however well JavaScript knows them", async () => {
  const names = ["three", "", "One", "script-one", "dispatcher", "constructor", "__proto__", "toString", "hasOwnProperty", "get", "0"];
  for (const name of names) assert.equal(await ask(`/named?name=${name}`), "500 Error: Worker not found.", name);
});

test("a large body, streamed through", async () => {
  const body = new Uint8Array(30_000_000).map((_, at) => at * 31);
  const response = await fetch(`${url}/at-once`, { method: "PUT", body });
  assert.deepEqual(Buffer.compare(Buffer.from(await response.arrayBuffer()), Buffer.from(body)), 0);
});
