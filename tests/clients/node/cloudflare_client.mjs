// Cloudflare's SDK for Node against the local API, used as in its README and examples.

import assert from "node:assert/strict";

import Cloudflare, { toFile } from "cloudflare";
import { VERSION } from "cloudflare/version";

import * as c from "./checks.mjs";
import { equal } from "./checks.mjs";

const check = c.client("cloudflare (npm)", VERSION);
// The token comes from CLOUDFLARE_API_TOKEN.
const cf = new Cloudflare({ baseURL: process.env.CLOUDFLARE_API_BASE_URL });
const account_id = process.env.CLOUDFLARE_ACCOUNT_ID;
const SOURCE = "export default { fetch(request, env) { return new Response(`${env.GREETING} ${env.SECRET ?? '-'}`) } }";

/** Expects an exception of the SDK with one of Cloudflare's error codes. */
async function expectError(kind, code, request) {
  const error = await request.then(
    () => assert.fail("the request was not rejected"),
    (error) => error,
  );
  assert(error instanceof kind, error);
  equal(error.errors.map(({ code }) => code), [code]);
}

async function all(pages) {
  const all = [];
  for await (const item of pages) all.push(item);
  return all;
}

let kv, database;

await check("KV: create, get, list and rename a namespace", async () => {
  const { namespaces } = cf.kv;
  const created = [];
  for (let number = 0; number < 3; number++) {
    created.push(await namespaces.create({ account_id, title: `npm-${number}` }));
  }
  kv = created[0].id;
  equal((await namespaces.get(kv, { account_id })).title, "npm-0");
  // With two per page, the SDK fetches several pages.
  const listed = (await all(namespaces.list({ account_id, per_page: 2 }))).map(({ title }) => title);
  equal(listed.filter((title) => title.startsWith("npm-")).sort(), ["npm-0", "npm-1", "npm-2"]);
  const renamed = await namespaces.update(created[2].id, { account_id, title: "npm-renamed" });
  equal(renamed.title, "npm-renamed");
  await expectError(Cloudflare.BadRequestError, 10014, namespaces.create({ account_id, title: "npm-0" }));
});

await check("KV: put, get and delete values, with metadata and an expiration", async () => {
  const { values, metadata } = cf.kv.namespaces;
  const of = { account_id, namespace_id: kv };
  const expiration = Math.floor(Date.now() / 1000) + 3600;
  const key = "greeting é/%";
  await values.update(key, { ...of, value: "hello é", metadata: JSON.stringify({ by: "é" }), expiration });
  const received = await values.get(key, of);
  equal([await received.text(), received.headers.get("expiration")], ["hello é", String(expiration)]);
  equal(await metadata.get(key, of), { by: "é" });
  await values.update("bytes", { ...of, value: await toFile(c.LARGE, "bytes") });
  equal(Buffer.from(await (await values.get("bytes", of)).arrayBuffer()), c.LARGE);
  await values.delete("bytes", of);
  await expectError(Cloudflare.NotFoundError, 10009, values.get("bytes", of));
});

await check("KV: put, get and delete many", async () => {
  const body = Array.from({ length: 40 }, (_, n) => {
    return { key: `bulk/${String(n).padStart(3, "0")}`, value: `{"n": ${n}}`, metadata: { n } };
  });
  equal((await cf.kv.namespaces.bulkUpdate(kv, { account_id, body })).successful_key_count, 40);
  const received = await cf.kv.namespaces.bulkGet(kv, { account_id, keys: ["bulk/001", "absent"] });
  equal(received.values, { "bulk/001": '{"n": 1}', absent: null });
  await cf.kv.namespaces.bulkDelete(kv, { account_id, body: ["bulk/039"] });
  equal((await cf.kv.namespaces.bulkGet(kv, { account_id, keys: ["bulk/039"] })).values, { "bulk/039": null });
});

await check("KV: get many as JSON, with metadata", async () => {
  const received = await cf.kv.namespaces.bulkGet(kv, { account_id, keys: ["bulk/001"], type: "json", withMetadata: true });
  const { value, metadata } = received.values["bulk/001"];
  equal([value, metadata], [{ n: 1 }, { n: 1 }]);
});

await check("KV: list keys, page by page", async () => {
  const keys = await all(cf.kv.namespaces.keys.list(kv, { account_id, prefix: "bulk/", limit: 10 }));
  equal(keys.length, 39);
  equal([keys[7].name, keys[7].metadata], ["bulk/007", { n: 7 }]);
});

await check("R2: create, get, list and delete a bucket", async () => {
  const { buckets } = cf.r2;
  equal((await buckets.create({ account_id, name: "npm-bucket" })).name, "npm-bucket");
  assert((await buckets.get("npm-bucket", { account_id })).creation_date);
  const listed = await buckets.list({ account_id, name_contains: "npm" });
  equal(listed.buckets.map(({ name }) => name), ["npm-bucket"]);
  await buckets.create({ account_id, name: "npm-other" });
  await buckets.delete("npm-other", { account_id });
  await expectError(Cloudflare.NotFoundError, 10006, buckets.get("npm-other", { account_id }));
});

await check("R2: put, list, get and delete objects", async () => {
  const { objects } = cf.r2.buckets;
  const of = { account_id, bucket_name: "npm-bucket" };
  await objects.upload("folder/é +.bin", c.LARGE, of);
  const received = await objects.get("folder/é +.bin", of);
  equal(Buffer.from(await received.arrayBuffer()), c.LARGE);
  const listed = await all(objects.list("npm-bucket", { account_id, prefix: "folder/" }));
  equal(listed.map(({ key }) => key), ["folder/é +.bin"]);
  await objects.delete("folder/é +.bin", of);
  await expectError(Cloudflare.NotFoundError, 10007, objects.get("folder/é +.bin", of));
  await cf.r2.buckets.delete("npm-bucket", { account_id });
});

await check("D1: create, list, get; a query, parameters, an error", async () => {
  const created = await cf.d1.database.create({ account_id, name: "npm-database" });
  database = created.uuid;
  const listed = await all(cf.d1.database.list({ account_id, name: "npm-database" }));
  equal(listed.map(({ uuid }) => uuid), [database]);
  equal((await cf.d1.database.get(database, { account_id })).name, "npm-database");
  const query = async (sql, params) => (await cf.d1.database.query(database, { account_id, sql, params })).result[0];
  await query("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)");
  const { success, meta } = await query("INSERT INTO notes (text) VALUES (?)", ["é"]);
  equal([success, meta.changes], [true, 1]);
  equal((await query("SELECT * FROM notes")).results, [{ id: 1, text: "é" }]);
  await expectError(Cloudflare.BadRequestError, 7500, query("SELEC"));
});

await check("D1: several statements in one, a batch, `raw`", async () => {
  const several = await cf.d1.database.query(database, { account_id, sql: "SELECT 1 AS a; SELECT 2 AS a" });
  equal(several.result.map(({ results }) => results), [[{ a: 1 }], [{ a: 2 }]]);
  const batch = ["x", "y"].map((text) => ({ sql: "INSERT INTO notes (text) VALUES (?)", params: [text] }));
  const inserted = await cf.d1.database.query(database, { account_id, batch });
  equal(inserted.result.map(({ meta }) => meta.changes), [1, 1]);
  const raw = await cf.d1.database.raw(database, { account_id, sql: "SELECT id, text FROM notes WHERE id > 1" });
  const { columns, rows } = raw.result[0].results;
  equal([columns, rows], [["id", "text"], [[2, "x"], [3, "y"]]]);
});

await check("D1: delete", async () => {
  await cf.d1.database.delete(database, { account_id });
  await expectError(Cloudflare.NotFoundError, 7404, cf.d1.database.get(database, { account_id }));
});

await check("queues: create, list, get, delete", async () => {
  const { queue_id } = await cf.queues.create({ account_id, queue_name: "npm-queue" });
  const ids = async () => (await all(cf.queues.list({ account_id }))).map(({ queue_id }) => queue_id);
  assert((await ids()).includes(queue_id));
  equal((await cf.queues.get(queue_id, { account_id })).queue_name, "npm-queue");
  await cf.queues.delete(queue_id, { account_id });
  assert(!(await ids()).includes(queue_id));
});

const dispatch = cf.workersForPlatforms.dispatch.namespaces;
const here = { account_id, dispatch_namespace: "customers" };
const path = `/accounts/${account_id}/workers/dispatch/namespaces/customers/scripts/npm-script`;

async function callWorker() {
  const reply = await fetch(c.URL_OF_PLATFORM, { headers: { "X-User-ID": "npm-script" } });
  return [reply.status, await reply.text()];
}

/** Returns the form of an upload: a part with the metadata, and a part with the module. */
function form(metadata, source) {
  const form = new FormData();
  form.append("metadata", JSON.stringify(metadata));
  form.append("index.js", new File([source], "index.js", { type: "application/javascript+module" }));
  return form;
}

await check("dispatch namespaces: create, list, get, delete", async () => {
  await dispatch.create({ account_id, name: "npm-namespace" });
  const listed = (await all(dispatch.list({ account_id }))).map(({ namespace_name }) => namespace_name);
  assert(listed.includes("customers") && listed.includes("npm-namespace"), listed);
  equal((await dispatch.get("npm-namespace", { account_id })).namespace_name, "npm-namespace");
  await dispatch.delete("npm-namespace", { account_id });
  await expectError(Cloudflare.NotFoundError, 100119, dispatch.get("npm-namespace", { account_id }));
});

await check("scripts: upload by `put` of a `FormData`; the Worker replies", async () => {
  const bindings = [
    { type: "plain_text", name: "GREETING", text: "hello" },
    { type: "kv_namespace", name: "STORE", namespace_id: kv },
  ];
  const metadata = { main_module: "index.js", bindings, compatibility_date: "2026-01-01", tags: ["npm"] };
  const { result } = await cf.put(path, { body: form(metadata, SOURCE) });
  equal([result.id, await callWorker()], ["npm-script", [200, "hello -"]]);
  equal((await dispatch.scripts.get("npm-script", here)).script.tags, ["npm"]);
});

// Versions 7.0 to 7.3 of the SDK flatten the metadata into fields of the form, which Cloudflare rejects as well:
// https://github.com/cloudflare/cloudflare-typescript/issues/2799
await check("scripts: the SDK's own `update` is rejected and changes nothing", async () => {
  const module = await toFile(Buffer.from(SOURCE), "index.js", { type: "application/javascript+module" });
  const update = { ...here, metadata: { main_module: "index.js" }, files: [module] };
  await assert.rejects(dispatch.scripts.update("npm-script", update), Cloudflare.BadRequestError);
  equal(await callWorker(), [200, "hello -"]);
});

await check("scripts: settings, bindings", async () => {
  const bindings = [{ type: "plain_text", name: "GREETING", text: "goodbye" }];
  const body = new FormData();
  body.append("settings", JSON.stringify({ bindings }));
  await cf.patch(`${path}/settings`, { body });
  const settings = await dispatch.scripts.settings.get("npm-script", here);
  equal(settings.bindings.map(({ text }) => text), ["goodbye"]);
  equal((await all(dispatch.scripts.bindings.get("npm-script", here))).map(({ name }) => name), ["GREETING"]);
  equal(await callWorker(), [200, "goodbye -"]);
});

await check("scripts: secrets", async () => {
  const { secrets } = dispatch.scripts;
  await secrets.update("npm-script", { ...here, name: "SECRET", text: "s3cret", type: "secret_text" });
  equal((await all(secrets.list("npm-script", here))).map(({ name }) => name), ["SECRET"]);
  equal(await callWorker(), [200, "goodbye s3cret"]);
  await secrets.delete("SECRET", { ...here, script_name: "npm-script" });
  equal(await callWorker(), [200, "goodbye -"]);
});

await check("scripts: many secrets at once", async () => {
  const { secrets } = dispatch.scripts;
  const change = { SECRET: { name: "SECRET", text: "many", type: "secret_text" } };
  await secrets.bulkUpdate("npm-script", { ...here, secrets: change });
  equal(await callWorker(), [200, "goodbye many"]);
  await secrets.bulkUpdate("npm-script", { ...here, secrets: { SECRET: null } });
  equal(await callWorker(), [200, "goodbye -"]);
});

await check("scripts: tags", async () => {
  const { tags } = dispatch.scripts;
  await tags.update("npm-script", { ...here, body: ["one", "two"] });
  equal((await all(tags.list("npm-script", here))).sort(), ["one", "two"]);
  await tags.delete("one", { ...here, script_name: "npm-script" });
  equal(await all(tags.list("npm-script", here)), ["two"]);
});

await check("scripts: read the code, replace it", async () => {
  const content = await dispatch.scripts.content.get("npm-script", here);
  const module = (await content.formData()).get("index.js");
  equal(await module.text(), SOURCE);
  const body = form({ main_module: "index.js" }, SOURCE.replace("`${env", "`new ${env"));
  await cf.put(`${path}/content`, { body });
  equal(await callWorker(), [200, "new goodbye -"]);
});

await check("scripts: delete", async () => {
  await dispatch.scripts.delete("npm-script", here);
  await expectError(Cloudflare.NotFoundError, 10092, dispatch.scripts.get("npm-script", here));
  equal((await callWorker())[0], 404);
});

await check("KV: delete the namespaces", async () => {
  for (const { id, title } of await all(cf.kv.namespaces.list({ account_id }))) {
    if (title.startsWith("npm-")) await cf.kv.namespaces.delete(id, { account_id });
  }
  await expectError(Cloudflare.NotFoundError, 10013, cf.kv.namespaces.get(kv, { account_id }));
});

await check("a wrong token is an AuthenticationError", async () => {
  const stranger = new Cloudflare({ baseURL: process.env.CLOUDFLARE_API_BASE_URL, apiToken: "wrong-token" });
  await expectError(Cloudflare.AuthenticationError, 10000, stranger.r2.buckets.list({ account_id }));
});

// End even if something is still open, such as a file whose upload was rejected.
process.exit();
