// Node's own `fetch`, with `FormData`, `Blob` and streams.

import assert from "node:assert/strict";
import { createReadStream, openAsBlob } from "node:fs";
import http from "node:http";
import { Readable } from "node:stream";
import { gzipSync } from "node:zlib";

import * as c from "./checks.mjs";
import { equal } from "./checks.mjs";

const version = `Node ${process.versions.node}`;
const check = c.client("fetch", version);

function url(path, parameters = {}, base = c.URL_OF_PLATFORM) {
  return `${base}${path}?${new URLSearchParams(parameters)}`;
}

async function send(path, parameters, options = {}, base = undefined) {
  return await fetch(url(path, parameters, base), { ...options, headers: { ...c.CUSTOMER, ...options.headers } });
}

async function succeed(...request) {
  const response = await send(...request);
  assert(response.ok, `${response.status}: ${response.ok ? "" : await response.text()}`);
  return response;
}

async function problem(response, status, code) {
  const contentType = response.headers.get("Content-Type");
  c.expectProblem({ status: response.status, contentType, problem: await response.json() }, status, code);
}

async function stored(key, content) {
  const response = await succeed("/files", { key });
  equal(Buffer.from(await response.arrayBuffer()), content);
  return response;
}

async function uploadForm(key, file, content, base) {
  const body = new FormData();
  body.append("key", key);
  body.append("file", file);
  const response = await succeed("/files", {}, { method: "POST", body }, base);
  equal((await response.json()).size, content.length);
  await stored(key, content);
}

await check("`FormData`: a small, an empty and a 12 MiB file", async () => {
  for (const [key, path, content] of [
    ["fetch/small", c.SMALL_FILE, c.SMALL],
    ["fetch/empty", c.EMPTY_FILE, Buffer.alloc(0)],
    ["fetch/large", c.LARGE_FILE, c.LARGE],
  ]) {
    await uploadForm(key, new File([await openAsBlob(path)], key), content);
  }
});

await check("`FormData`: a name and a key that are not ASCII", async () => {
  await uploadForm(`fetch/${c.AWKWARD_NAME}`, new File([c.SMALL], c.AWKWARD_NAME), c.SMALL);
});

await check("`FormData`: a `Blob`, whose file name is `blob`", async () => {
  await uploadForm("fetch/blob", new Blob([c.SMALL], { type: "text/plain" }), c.SMALL);
  const response = await stored("fetch/blob", c.SMALL);
  equal(response.headers.get("Content-Type"), "text/plain");
});

await check("PUT of a `Buffer`, of a `Blob` of a file, of a text, of nothing", async () => {
  for (const [body, content] of [
    [c.LARGE, c.LARGE],
    [await openAsBlob(c.LARGE_FILE), c.LARGE],
    ["naïve 🦀", Buffer.from("naïve 🦀")],
    [undefined, Buffer.alloc(0)],
  ]) {
    await succeed("/files", { key: "fetch/put" }, { method: "PUT", body });
    await stored("fetch/put", content);
  }
});

await check('PUT of a stream with `duplex: "half"`: rejected without a length', async () => {
  const body = Readable.toWeb(createReadStream(c.LARGE_FILE));
  const response = await send("/files", { key: "fetch/no" }, { method: "PUT", body, duplex: "half" });
  await problem(response, 411, "length_required");
});

await check('PUT of a stream with `duplex: "half"` and Content-Length', async () => {
  const body = Readable.toWeb(createReadStream(c.LARGE_FILE));
  const headers = { "Content-Length": String(c.LARGE.length) };
  await succeed("/files", { key: "fetch/sized" }, { method: "PUT", body, headers, duplex: "half" });
  await stored("fetch/sized", c.LARGE);
});

await check('a form as a stream with `duplex: "half"`, without a length', async () => {
  const form = new FormData();
  form.append("key", "fetch/streamed");
  form.append("file", new File([c.LARGE], "large"));
  const { headers, body } = new Response(form);
  const type = { "Content-Type": headers.get("Content-Type") };
  await succeed("/files", {}, { method: "POST", body, headers: type, duplex: "half" });
  await stored("fetch/streamed", c.LARGE);
});

await check("a download as a stream, and one that is cancelled", async () => {
  const response = await succeed("/files", { key: "fetch/large" });
  const chunks = [];
  for await (const chunk of response.body) chunks.push(chunk);
  equal(Buffer.concat(chunks), c.LARGE);
  const cancelled = await succeed("/files", { key: "fetch/large" });
  await cancelled.body.cancel();
  await stored("fetch/small", c.SMALL);
});

await check("ranges, conditions, HEAD, DELETE", async () => {
  const key = "fetch/large";
  const part = await succeed("/files", { key }, { headers: { Range: "bytes=5-9" } });
  equal([part.status, Buffer.from(await part.arrayBuffer())], [206, c.LARGE.subarray(5, 10)]);
  const head = await succeed("/files", { key }, { method: "HEAD" });
  equal(head.headers.get("Content-Length"), String(c.LARGE.length));
  const again = await send("/files", { key }, { headers: { "If-None-Match": head.headers.get("ETag") } });
  equal([again.status, await again.text()], [304, ""]);
  const other = await send("/files", { key }, { method: "PUT", body: "x", headers: { "If-Match": '"other"' } });
  await problem(other, 412, "precondition_failed");
  await succeed("/files", { key }, { method: "DELETE" });
  await problem(await send("/files", { key }), 404, "file_not_found");
});

await check("a listing, page by page", async () => {
  const keys = Array.from({ length: 25 }, (_, number) => `fetch/list/${String(number).padStart(2, "0")} é+&`);
  await Promise.all(keys.map((key) => succeed("/files", { key }, { method: "PUT", body: "x" })));
  const listed = [];
  let page = {};
  do {
    const cursor = page.cursor ? { cursor: page.cursor } : {};
    page = await (await succeed("/files", { prefix: "fetch/list/", limit: 10, ...cursor })).json();
    listed.push(...page.files.map(({ key }) => key));
  } while (page.truncated);
  equal(listed, keys);
});

const JSON_TYPE = { "Content-Type": "application/json" };

await check("JSON: Unicode, a lone surrogate, large numbers", async () => {
  const value = { text: "naïve 漢字 🦀 \u2028", lone: "\ud83e", large: 1e300, negative: -0.1, list: [null, true, {}] };
  const body = JSON.stringify({ key: "fetch/json", value });
  await succeed("/data", {}, { method: "POST", headers: JSON_TYPE, body });
  equal(await (await succeed("/data", { key: "fetch/json" })).json(), { key: "fetch/json", value });
});

await check("JSON with the Content-Type of text: rejected", async () => {
  const body = JSON.stringify({ key: "fetch/text", value: 1 });
  await problem(await send("/data", {}, { method: "POST", body }), 415, "unsupported_media_type");
});

await check("SQL: a query and a batch", async () => {
  const query = JSON.stringify({ sql: "SELECT ? AS a, ? AS b", params: ["é", null] });
  const one = await succeed("/db/query", {}, { method: "POST", headers: JSON_TYPE, body: query });
  equal((await one.json()).results, [{ a: "é", b: null }]);
  const statements = JSON.stringify({ statements: [{ sql: "SELECT 1 AS a" }, { sql: "SELECT 2 AS a" }] });
  const batch = await succeed("/db/batch", {}, { method: "POST", headers: JSON_TYPE, body: statements });
  equal((await batch.json()).batch.map(({ results }) => results), [[{ a: 1 }], [{ a: 2 }]]);
});

await check("a stored gzip file is decoded by fetch", async () => {
  const body = gzipSync("hello ".repeat(1000));
  await succeed("/files", { key: "fetch/gzip" }, { method: "PUT", body, headers: { "Content-Encoding": "gzip" } });
  equal(await (await succeed("/files", { key: "fetch/gzip" })).text(), "hello ".repeat(1000));
});

async function uploadInParts(key, base) {
  const { uploadId } = await (await succeed("/files/uploads", { key }, { method: "POST" }, base)).json();
  const sent = c.parts().map(async ([partNumber, body]) => {
    const part = await succeed("/files/uploads", { key, uploadId, partNumber }, { method: "PUT", body }, base);
    return await part.json();
  });
  const body = JSON.stringify({ parts: await Promise.all(sent) });
  const complete = { method: "POST", headers: JSON_TYPE, body };
  await succeed("/files/uploads/complete", { key, uploadId }, complete, base);
  await stored(key, c.LARGE);
}

await check("parts, uploaded in parallel", async () => {
  await uploadInParts("fetch/parts");
});

await check("an upload that is aborted stores nothing", async () => {
  const controller = new AbortController();
  const body = new ReadableStream({
    async pull(stream) {
      stream.enqueue(c.SMALL);
      setTimeout(() => controller.abort(), 200);
      await new Promise((resolve) => setTimeout(resolve, 50));
    },
  });
  const headers = { "Content-Length": String(c.LARGE.length) };
  const { signal } = controller;
  const sent = send("/files", { key: "fetch/aborted" }, { method: "PUT", body, headers, duplex: "half", signal });
  await assert.rejects(sent, { name: "AbortError" });
  await problem(await send("/files", { key: "fetch/aborted" }), 404, "file_not_found");
});

await check("a request is rejected before the upload has ended", async () => {
  const response = await fetch(url("/files", { key: "fetch/nobody" }), { method: "PUT", body: c.LARGE });
  await problem(response, 400, "missing_user_id");
});

await check('`redirect: "error"`: there are none', async () => {
  equal((await succeed("/", {}, { redirect: "error" })).redirected, false);
});

const agents = c.client("http.Agent", version);

await agents("`keepAlive`: 20 requests one after another on one connection", async () => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const sockets = new Set();
  for (let number = 0; number < 20; number++) {
    const path = ["/", "/files?key=fetch/absent", "/files?key=fetch/small"][number % 3];
    await new Promise((resolve, reject) => {
      const request = http.get(c.URL_OF_PLATFORM + path, { agent, headers: c.CUSTOMER }, (response) => {
        sockets.add(request.socket);
        response.resume().on("end", () => setImmediate(resolve));
      });
      request.on("error", reject);
    });
  }
  agent.destroy();
  equal(sockets.size, 1);
});

const proxied = c.client("fetch, through nginx", `${version}, ${c.PROXY_VERSION}`);

await proxied("a form of 12 MiB, parts in parallel", async () => {
  await uploadForm("fetch/proxied", new File([c.LARGE], "large"), c.LARGE, c.PROXY_URL);
  await uploadInParts("fetch/proxied-parts", c.PROXY_URL);
});

await proxied("JSON that nginx has compressed, a problem", async () => {
  const listed = await succeed("/files", { prefix: "fetch/" }, {}, c.PROXY_URL);
  equal(listed.headers.get("Content-Encoding"), "gzip");
  assert((await listed.json()).files.length > 1);
  await problem(await send("/files", { key: "fetch/absent" }, {}, c.PROXY_URL), 404, "file_not_found");
});

// End even if something is still open, such as a file whose upload was rejected.
process.exit();
