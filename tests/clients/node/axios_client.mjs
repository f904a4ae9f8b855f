// axios with its defaults: JSON in and out, exceptions for errors, `FormData` of Node and of the package form-data.

import assert from "node:assert/strict";
import { createReadStream, openAsBlob } from "node:fs";
import { createGunzip, gzipSync } from "node:zlib";

import axios from "axios";
import FormData from "form-data";

import * as c from "./checks.mjs";
import { equal } from "./checks.mjs";

const check = c.client("axios", axios.VERSION);
const http = axios.create({ baseURL: c.URL_OF_PLATFORM, headers: c.CUSTOMER });

async function problem(request, status, code) {
  const error = await request.then(
    () => assert.fail("the request was not rejected"),
    (error) => error,
  );
  assert(error.response, error);
  const contentType = error.response.headers["content-type"];
  c.expectProblem({ status: error.response.status, contentType, problem: error.response.data }, status, code);
}

async function stored(key, content) {
  const response = await http.get("/files", { params: { key }, responseType: "arraybuffer" });
  equal(response.data, content);
  return response;
}

await check("Node's `FormData`: a small, an empty and a 12 MiB file", async () => {
  for (const [key, path, content] of [
    ["axios/small", c.SMALL_FILE, c.SMALL],
    ["axios/empty", c.EMPTY_FILE, Buffer.alloc(0)],
    ["axios/large", c.LARGE_FILE, c.LARGE],
  ]) {
    const form = new globalThis.FormData();
    form.append("key", key);
    form.append("file", await openAsBlob(path), key);
    equal((await http.post("/files", form)).data.size, content.length);
    await stored(key, content);
  }
});

await check("`postForm` of an object with a stream", async () => {
  await http.postForm("/files", { key: "axios/object-form", file: createReadStream(c.LARGE_FILE) });
  await stored("axios/object-form", c.LARGE);
});

await check("`form-data` with streams, whose length is unknown: small, empty, 12 MiB", async () => {
  for (const [key, path, content] of [
    ["axios/streamed-small", c.SMALL_FILE, c.SMALL],
    ["axios/streamed-empty", c.EMPTY_FILE, Buffer.alloc(0)],
    ["axios/streamed-large", c.LARGE_FILE, c.LARGE],
  ]) {
    const form = new FormData();
    form.append("key", key);
    form.append("file", createReadStream(path));
    equal((await http.post("/files", form)).data.size, content.length);
    await stored(key, content);
  }
});

await check("`form-data`: a name and a key that are not ASCII", async () => {
  const form = new FormData();
  form.append("key", `axios/${c.AWKWARD_NAME}`);
  form.append("file", createReadStream(c.AWKWARD_FILE));
  await http.post("/files", form, { headers: form.getHeaders() });
  await stored(`axios/${c.AWKWARD_NAME}`, c.SMALL);
});

await check("`put` of a Buffer", async () => {
  await http.put("/files", c.LARGE, { params: { key: "axios/put" } });
  await stored("axios/put", c.LARGE);
});

await check("`put` of a stream: rejected without a length", async () => {
  const body = createReadStream(c.LARGE_FILE);
  await problem(http.put("/files", body, { params: { key: "axios/no" } }), 411, "length_required");
});

await check("`put` of a stream with Content-Length", async () => {
  const headers = { "Content-Length": c.LARGE.length };
  await http.put("/files", createReadStream(c.LARGE_FILE), { params: { key: "axios/sized" }, headers });
  await stored("axios/sized", c.LARGE);
});

await check("`put` of a text and of an object: the types that axios sends are stored", async () => {
  await http.put("/files", "naïve 🦀", { params: { key: "axios/text" } });
  await stored("axios/text", Buffer.from("naïve 🦀"));
  await http.put("/files", { a: 1 }, { params: { key: "axios/object" } });
  const response = await http.get("/files", { params: { key: "axios/object" } });
  equal([response.data, response.headers["content-type"]], [{ a: 1 }, "application/json"]);
});

await check("a download as a stream", async () => {
  const { data } = await http.get("/files", { params: { key: "axios/large" }, responseType: "stream" });
  const chunks = [];
  for await (const chunk of data) chunks.push(chunk);
  equal(Buffer.concat(chunks), c.LARGE);
});

await check("ranges, conditions, HEAD, DELETE", async () => {
  const params = { key: "axios/large" };
  const part = await http.get("/files", { params, headers: { Range: "bytes=-5" }, responseType: "arraybuffer" });
  equal([part.status, part.data], [206, c.LARGE.subarray(-5)]);
  const head = await http.head("/files", { params });
  equal(head.headers["content-length"], String(c.LARGE.length));
  const validateStatus = (status) => status === 304;
  await http.get("/files", { params, headers: { "If-None-Match": head.headers.etag }, validateStatus });
  await http.delete("/files", { params });
  await problem(http.get("/files", { params }), 404, "file_not_found");
});

await check("a listing, page by page", async () => {
  const keys = Array.from({ length: 25 }, (_, number) => `axios/list/${String(number).padStart(2, "0")} é+&[]:$,`);
  await Promise.all(keys.map((key) => http.put("/files", "x", { params: { key } })));
  const listed = [];
  let cursor;
  do {
    const { data } = await http.get("/files", { params: { prefix: "axios/list/", limit: 10, cursor } });
    listed.push(...data.files.map(({ key }) => key));
    cursor = data.cursor;
  } while (cursor);
  equal(listed, keys);
});

await check("JSON: Unicode, large numbers", async () => {
  const value = { text: "naïve 漢字 🦀 \u2028", large: 1e300, list: [null, true, {}] };
  await http.post("/data", { key: "axios/json", value, metadata: { by: "é" } });
  const { data } = await http.get("/data", { params: { key: "axios/json" } });
  equal(data, { key: "axios/json", value, metadata: { by: "é" } });
});

await check("SQL: a query and a batch", async () => {
  const query = await http.post("/db/query", { sql: "SELECT ? AS a", params: ["é"] });
  equal(query.data.results, [{ a: "é" }]);
  const batch = await http.post("/db/batch", { statements: [{ sql: "SELECT 1 AS a" }, { sql: "SELECT 2 AS a" }] });
  equal(batch.data.batch.map(({ results }) => results), [[{ a: 1 }], [{ a: 2 }]]);
});

await check("a stored gzip file is decoded by axios, unless `decompress` is false", async () => {
  const params = { key: "axios/gzip" };
  const packed = gzipSync("hello ".repeat(1000));
  await http.put("/files", packed, { params, headers: { "Content-Encoding": "gzip" } });
  equal((await http.get("/files", { params })).data, "hello ".repeat(1000));
  const raw = await http.get("/files", { params, decompress: false, responseType: "stream" });
  const chunks = [];
  for await (const chunk of raw.data.pipe(createGunzip())) chunks.push(chunk);
  equal(Buffer.concat(chunks).toString(), "hello ".repeat(1000));
});

await check("parts, uploaded in parallel", async () => {
  const params = { key: "axios/parts" };
  params.uploadId = (await http.post("/files/uploads", undefined, { params })).data.uploadId;
  const sent = c.parts().map(async ([partNumber, part]) => {
    return (await http.put("/files/uploads", part, { params: { ...params, partNumber } })).data;
  });
  await http.post("/files/uploads/complete", { parts: await Promise.all(sent) }, { params });
  await stored("axios/parts", c.LARGE);
});

await check("`URLSearchParams` instead of JSON: rejected", async () => {
  await problem(http.post("/data", new URLSearchParams({ key: "a" })), 415, "unsupported_media_type");
});

await check("a request is rejected before the upload has ended", async () => {
  const nobody = axios.put(`${c.URL_OF_PLATFORM}/files?key=axios/nobody`, c.LARGE);
  await problem(nobody, 400, "missing_user_id");
});

await check("`maxRedirects: 0`: there are none", async () => {
  equal((await http.get("/", { maxRedirects: 0 })).status, 200);
});

// End even if something is still open, such as a file whose upload was rejected.
process.exit();
