import { WorkerEntrypoint } from "cloudflare:workers";

/**
 * The twin of customer-worker/: the same work in plain JavaScript, to measure what Rust and Wasm cost a request.
 *
 * For the requests that the benchmark sends, it makes the same checks, gives the same reply and asks for the same
 * storage operations. Everything else is left out: it refuses what it does not support with a short 4xx.
 */

const VERSION = "0.1.0";

/** The `Vary` header of the platform's replies. */
const VARY = "X-User-ID, Authorization";

const MIB = 1024 * 1024;

const encoder = new TextEncoder();
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A class, as the Worker is one: the runtime makes an instance for each request. */
export default class UserWorker extends WorkerEntrypoint {
  fetch(request) {
    const reply = answer(request, this.env, this.ctx);
    // When a client disconnects during an upload, only `waitUntil` work continues.
    if (request.body !== null) this.ctx.waitUntil(reply);
    return reply;
  }
}

async function answer(request, env, ctx) {
  try {
    return await route(request, env, ctx);
  } catch (thrown) {
    if (!(thrown instanceof Problem)) throw thrown;
    return thrown.reply(requestId(request.headers));
  }
}

/** Finds the route, and counts the operation if it succeeds. */
async function route(request, env, ctx) {
  const { path, query } = parseUrl(request.url);
  const parameters = parseQuery(query);
  const { method } = request;
  const counted = (operation, reply) => {
    count(operation, env, ctx);
    return reply;
  };
  switch (path) {
    case "/":
      if (method === "GET") return health(request);
      break;
    case "/files":
      if (method === "GET") {
        const key = keyIn(parameters, MAX_FILE_KEY);
        if (key === undefined) return counted("listFiles", await listFiles(env, parameters));
        return counted("getFile", await getFile(request, env, key));
      }
      if (method === "PUT") return counted("uploadFile", await putFile(request, env, parameters));
      if (method === "POST") return counted("uploadFile", await postForm(request, env));
      break;
    case "/data":
      if (method === "GET") {
        const key = keyIn(parameters, MAX_DATA_KEY);
        if (key === undefined) return counted("listData", await listData(env, parameters));
        return counted("getData", await getData(env, key));
      }
      if (method === "POST") return counted("setData", await setData(request, env));
      break;
    case "/stats":
      if (method === "GET") return stats(env);
  }
  throw unsupported("route");
}

function health(request) {
  return jsonReply(JSON.stringify({ status: "ok", worker: request.headers.get("X-User-ID"), version: VERSION }));
}

// Requests.

const REQUEST_ID = /^[\w.:=+/@-]{1,128}$/;

function requestId(headers) {
  const id = headers.get("CF-Ray") ?? "";
  return REQUEST_ID.test(id) ? id : "";
}

/** The path and the query of a URL that the runtime has already parsed. `new URL` would cost more than a small route. */
function parseUrl(url) {
  const path = url.indexOf("/", url.indexOf("://") + 3);
  const query = url.indexOf("?", path);
  if (query < 0) return { path: url.slice(path), query: "" };
  return { path: url.slice(path, query), query: url.slice(query + 1) };
}

const NO_PARAMETERS = new Map();

/** The decoded parameters of a query. A parameter that is there twice is refused. */
function parseQuery(query) {
  if (query === "") return NO_PARAMETERS;
  const parameters = new Map();
  for (const pair of query.split("&")) {
    if (pair === "") continue;
    const equals = pair.indexOf("=");
    const name = decode(equals < 0 ? pair : pair.slice(0, equals));
    if (parameters.has(name)) throw invalid("parameter");
    parameters.set(name, equals < 0 ? "" : decode(pair.slice(equals + 1)));
  }
  return parameters;
}

function decode(text) {
  const spaced = text.includes("+") ? text.replaceAll("+", " ") : text;
  if (!spaced.includes("%")) return spaced;
  try {
    return decodeURIComponent(spaced);
  } catch {
    throw invalid("parameter");
  }
}

/** R2's limit for keys, in bytes of UTF-8. */
const MAX_FILE_KEY = 1024;

/** The prefix of a customer's keys in its KV namespace. */
const DATA_PREFIX = "data/";

/** KV's limit for keys, in bytes of UTF-8, without the prefix. */
const MAX_DATA_KEY = 512 - DATA_PREFIX.length;

function checkKey(key, maxBytes) {
  // A character is three bytes of UTF-8 at most.
  const fits = key.length * 3 <= maxBytes || encoder.encode(key).length <= maxBytes;
  if (key === "" || !fits || !key.isWellFormed()) throw invalid("key");
  return key;
}

function keyIn(parameters, maxBytes) {
  const key = parameters.get("key");
  return key === undefined ? undefined : checkKey(key, maxBytes);
}

/** The length of a request's body, as `Content-Length` has it. */
function contentLength(headers) {
  const length = headers.get("Content-Length");
  if (length === null || !/^\d+$/.test(length)) throw unsupported("body");
  return Number(length);
}

/** Checks the type of a request's body, and returns the whole `Content-Type`. */
function requireType(headers, isWanted) {
  const contentType = headers.get("Content-Type");
  if (contentType === null || !isWanted(contentType.split(";", 1)[0].trim().toLowerCase())) {
    throw new Problem(415, "Unsupported Media Type", "unsupported_media_type");
  }
  return contentType;
}

/** The etags of `If-None-Match`. The twin supports no other condition. */
function conditionsOf(headers) {
  const ifNoneMatch = headers.get("If-None-Match");
  if (
    headers.get("If-Match") !== null ||
    headers.get("If-Modified-Since") !== null ||
    headers.get("If-Unmodified-Since") !== null
  ) {
    throw unsupported("condition");
  }
  return ifNoneMatch === null ? undefined : ifNoneMatch.split(",").map(parseEtag);
}

function parseEtag(text) {
  const trimmed = text.trim();
  return (trimmed.startsWith("W/") ? trimmed.slice(2) : trimmed).replace(/^"+|"+$/g, "");
}

// Files.

const DEFAULT_TYPE = "application/octet-stream";

/** The values of headers that can be kept with a file. */
const VISIBLE = /^[ -~\t]{0,1024}$/;

/** R2's limit for one `put`. */
const MAX_PUT = 5 * 1024 * MIB - 5 * MIB;

/** `GET /files?key=`. The bytes go from R2 to the client in the runtime's own stream. */
async function getFile(request, env, key) {
  const etags = conditionsOf(request.headers);
  if (request.headers.get("Range") !== null) throw unsupported("range");
  // R2 sends no body if the client has this version.
  const onlyIf = etags?.length === 1 ? { etagDoesNotMatch: etags[0] } : undefined;
  const file = await env.USER_R2.get(key, { onlyIf });
  if (file === null) throw new Problem(404, "Not Found", "file_not_found", "there is no file with this key");
  if (etags?.includes(file.etag)) return fileReply(file, 304, null);
  return fileReply(file, 200, file.body);
}

function fileReply(file, status, body) {
  const stored = file.httpMetadata;
  const headers = {
    ETag: file.httpEtag,
    "Last-Modified": file.uploaded.toUTCString(),
    "Cache-Control": visible(stored.cacheControl) ?? "private, no-cache",
    Vary: VARY,
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
  };
  if (stored.cacheExpiry !== undefined) headers.Expires = stored.cacheExpiry.toUTCString();
  const encoding = visible(stored.contentEncoding);
  if (status !== 304) {
    headers["Accept-Ranges"] = "bytes";
    headers["Content-Type"] = visible(stored.contentType)?.trim() || DEFAULT_TYPE;
    const disposition = visible(stored.contentDisposition);
    const language = visible(stored.contentLanguage);
    if (disposition !== undefined) headers["Content-Disposition"] = disposition;
    if (encoding !== undefined) headers["Content-Encoding"] = encoding;
    if (language !== undefined) headers["Content-Language"] = language;
    headers["Content-Length"] = String(file.size);
  }
  return new Response(body, { status, headers, encodeBody: encoding === undefined ? "automatic" : "manual" });
}

function visible(value) {
  return value != null && VISIBLE.test(value) ? value : undefined;
}

/** `PUT /files?key=`. The body goes to R2 in the runtime's own stream. */
async function putFile(request, env, parameters) {
  const { headers } = request;
  const key = keyIn(parameters, MAX_FILE_KEY);
  if (key === undefined) throw invalid("key");
  const httpMetadata = {
    contentType: keptHeader(headers, "Content-Type")?.trim() || DEFAULT_TYPE,
    cacheControl: keptHeader(headers, "Cache-Control"),
    contentDisposition: keptHeader(headers, "Content-Disposition"),
    contentEncoding: keptHeader(headers, "Content-Encoding"),
    contentLanguage: keptHeader(headers, "Content-Language"),
  };
  if (keptHeader(headers, "Expires") !== undefined) throw unsupported("header");
  if (conditionsOf(headers) !== undefined) throw unsupported("condition");
  if (contentLength(headers) > MAX_PUT) throw invalid("length");
  const stored = await env.USER_R2.put(key, request.body ?? "", { httpMetadata });
  return storedReply(stored, httpMetadata);
}

/** A header of an upload that is kept with the file. */
function keptHeader(headers, name) {
  const value = headers.get(name);
  if (value === null || value === "") return undefined;
  if (!VISIBLE.test(value)) throw invalid("header");
  return value;
}

function storedReply({ key, size, etag }, { contentType }) {
  return jsonReply(JSON.stringify({ success: true, key, size, etag, contentType }));
}

/** `GET /files`: the first page of files. */
async function listFiles(env, parameters) {
  const list = await env.USER_R2.list(pageOf(parameters));
  const files = list.objects.map(({ key, size, uploaded, etag }) => {
    return { key, size, uploaded: uploaded.toISOString(), etag };
  });
  return jsonReply(JSON.stringify({ files, prefixes: list.delimitedPrefixes, truncated: list.truncated }));
}

const MAX_LIMIT = 1000;

/** Which entries are listed: all of them, as the twin supports no parameters here. */
function pageOf(parameters) {
  const parameter =
    parameters.get("include") ??
    parameters.get("prefix") ??
    parameters.get("delimiter") ??
    parameters.get("cursor") ??
    parameters.get("limit");
  if (parameter !== undefined) throw unsupported("parameter");
  return { limit: MAX_LIMIT };
}

// Forms.

/** A form up to this length is read at once, which is cheaper. */
const SMALL_FORM = MIB;

/** How many bytes of a longer form are read at once. */
const PIECE = 256 * 1024;

/** The maximum length of a part's headers. */
const MAX_HEAD = 16 * 1024;

/**
 * `POST /files`: stores the form's `file` under its `key`. The form is parsed as it arrives, and a large file goes to R2
 * in parts, so that memory use is constant. `request.formData()` would hold the whole form, and is slower.
 */
async function postForm(request, env) {
  const { headers } = request;
  const contentType = requireType(headers, (type) => type === "multipart/form-data");
  const boundary = parametersOf(contentType).get("boundary") ?? "";
  if (!/^[ -~]{0,69}[!-~]$/.test(boundary)) throw invalid("form");
  if (conditionsOf(headers) !== undefined) throw unsupported("condition");
  const length = contentLength(headers);
  const form = length <= SMALL_FORM ? new FormReader(await request.bytes()) : new FormReader(NOTHING, request.body);
  const delimiter = new Delimiter(encoder.encode(`\r\n--${boundary}`));
  const file = new FileWriter(env.USER_R2, length);
  const seen = new Set();

  await form.skipBoundary(`--${boundary}`);
  while (await form.hasPart()) {
    const { name, isFile, contentType } = parsePartHead(await form.readHead());
    if (isFile !== (name === "file") || (name !== "key" && name !== "file") || seen.has(name)) throw invalid("form");
    seen.add(name);
    if (name === "file") {
      if (!VISIBLE.test(contentType)) throw invalid("form");
      file.httpMetadata = { contentType: contentType || DEFAULT_TYPE };
      for await (const bytes of form.readContent(delimiter)) await file.write(bytes);
    } else {
      let key = "";
      const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
      for await (const bytes of form.readContent(delimiter)) key += decoder.decode(bytes, { stream: true });
      file.key = checkKey(key + decoder.decode(), MAX_FILE_KEY);
    }
  }
  if (!seen.has("file")) throw invalid("form");
  return file.finish();
}

const NOTHING = new Uint8Array(0);

const CR = 0x0d;
const LF = 0x0a;
const HYPHEN = 0x2d;

/** Reads `multipart/form-data` (RFC 7578) from bytes, and from a stream after them. */
class FormReader {
  /** The bytes that are held, and where the unread ones begin. */
  #bytes;
  #at = 0;
  #stream;

  constructor(bytes, stream) {
    this.#bytes = bytes;
    this.#stream = stream?.getReader({ mode: "byob" });
  }

  /** Reads more bytes, and keeps the unread ones in front of them. */
  async #readMore() {
    if (this.#stream === undefined) throw invalid("form");
    const unread = this.#bytes.subarray(this.#at);
    const buffer = new Uint8Array(unread.length + PIECE);
    buffer.set(unread);
    // `readAtLeast` is workerd's own. It fills the buffer, unless the stream ends before.
    const { value } = await this.#stream.readAtLeast(PIECE, buffer.subarray(unread.length));
    if (value === undefined || value.length === 0) throw invalid("form");
    this.#bytes = new Uint8Array(value.buffer, 0, unread.length + value.length);
    this.#at = 0;
  }

  /** Makes sure that so many unread bytes are held. */
  async #require(length) {
    while (this.#bytes.length - this.#at < length) await this.#readMore();
  }

  /** Goes past the boundary that a form begins with. */
  async skipBoundary(boundary) {
    await this.#require(boundary.length);
    const start = utf8.decode(this.#bytes.subarray(0, boundary.length));
    if (start !== boundary) throw unsupported("form");
    this.#at = boundary.length;
  }

  /** Reads the rest of a boundary's line. Two hyphens end the form; what follows them is not read. */
  async hasPart() {
    await this.#require(2);
    const [first, second] = [this.#bytes[this.#at], this.#bytes[this.#at + 1]];
    this.#at += 2;
    if (first === CR && second === LF) return true;
    if (first !== HYPHEN || second !== HYPHEN) throw invalid("form");
    this.#stream?.cancel().catch(() => {});
    return false;
  }

  /** Reads the headers of a part, and the empty line after them. */
  async readHead() {
    for (;;) {
      const end = endOfHead(this.#bytes, this.#at);
      if (end >= 0) {
        const head = utf8.decode(this.#bytes.subarray(this.#at, end));
        this.#at = end + 4;
        return head;
      }
      if (this.#bytes.length - this.#at > MAX_HEAD) throw invalid("form");
      await this.#readMore();
    }
  }

  /** Reads the content of a part, and the delimiter after it. The content is not copied. */
  async *readContent(delimiter) {
    for (;;) {
      const end = delimiter.find(this.#bytes, this.#at);
      if (end >= 0) {
        if (end > this.#at) yield this.#bytes.subarray(this.#at, end);
        this.#at = end + delimiter.length;
        return;
      }
      // The last bytes may be the beginning of the delimiter.
      const rest = Math.max(this.#at, this.#bytes.length - delimiter.length + 1);
      if (rest > this.#at) yield this.#bytes.subarray(this.#at, rest);
      this.#at = rest;
      await this.#readMore();
    }
  }
}

/** Where the empty line after a part's headers begins, with the line end before it, or -1. */
function endOfHead(bytes, from) {
  for (let at = bytes.indexOf(CR, from); at >= 0; at = bytes.indexOf(CR, at + 1)) {
    if (bytes[at + 1] === LF && bytes[at + 2] === CR && bytes[at + 3] === LF) return at;
  }
  return -1;
}

/** Searches for the bytes between two parts, by the algorithm of Boyer, Moore and Horspool. */
class Delimiter {
  #bytes;
  /** How far the search can move on, for each value of the byte under the delimiter's end. */
  #moves;

  constructor(bytes) {
    const last = bytes.length - 1;
    this.#bytes = bytes;
    this.#moves = new Uint8Array(256).fill(last + 1);
    for (let at = 0; at < last; at++) this.#moves[bytes[at]] = last - at;
  }

  get length() {
    return this.#bytes.length;
  }

  /** Where the delimiter is, or -1. */
  find(bytes, from) {
    const delimiter = this.#bytes;
    const moves = this.#moves;
    const last = delimiter.length - 1;
    const final = delimiter[last];
    for (let end = from + last; end < bytes.length; end += moves[bytes[end]]) {
      if (bytes[end] !== final) continue;
      let at = 0;
      while (at < last && bytes[end - last + at] === delimiter[at]) at += 1;
      if (at === last) return end - last;
    }
    return -1;
  }
}

/** What the headers of a part say. */
function parsePartHead(head) {
  const part = { name: undefined, isFile: false, contentType: "" };
  for (const line of head.split("\r\n")) {
    const colon = line.indexOf(":");
    if (colon < 0) throw invalid("form");
    const field = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1);
    if (field === "content-type") part.contentType = value.trim();
    if (field !== "content-disposition") continue;
    const parameters = parametersOf(value);
    part.name = parameters.get("name");
    part.isFile = parameters.has("filename") || parameters.has("filename*");
  }
  return part;
}

const PARAMETER = /;\s*([^;=]*?)\s*=\s*(?:"((?:\\["\\]|[^"])*)(?:"|$)|([^;]*))/g;

/** The parameters of a header's value: `; name=value` or `; name="value"` (RFC 9110, 5.6.6). */
function parametersOf(value) {
  const parameters = new Map();
  for (const [, name, quoted, plain] of value.matchAll(PARAMETER)) {
    const text = quoted === undefined ? plain.trimEnd() : quoted.replace(/\\(["\\])/g, "$1");
    parameters.set(name.toLowerCase(), text);
  }
  return parameters;
}

/** The length of a part of an upload: R2's minimum. */
const PART = 5 * MIB;

/** Sends a file to R2: in one `put` if it is shorter than a part, in parts otherwise. */
class FileWriter {
  key;
  httpMetadata;
  #bucket;
  /** How many bytes may still come, besides those of the buffer. */
  #rest;
  /** The bytes that were not sent yet: a piece of the form if there is only one, otherwise a buffer for a part. */
  #piece;
  #buffer;
  #filled = 0;
  #upload;
  #parts = [];
  #pendingPart;

  constructor(bucket, maxLength) {
    this.#bucket = bucket;
    this.#rest = maxLength;
  }

  async write(bytes) {
    if (this.#piece === undefined && this.#buffer === undefined && bytes.length < PART) {
      this.#piece = bytes;
      return;
    }
    for (let at = 0; at < bytes.length; ) {
      this.#buffer ??= this.#newBuffer();
      const taken = bytes.subarray(at, at + PART - this.#filled);
      this.#buffer.set(taken, this.#filled);
      this.#filled += taken.length;
      at += taken.length;
      if (this.#filled === PART) await this.#send(this.#buffer);
    }
  }

  #newBuffer() {
    const buffer = new Uint8Array(Math.min(PART, this.#rest));
    this.#rest -= buffer.length;
    if (this.#piece !== undefined) {
      buffer.set(this.#piece);
      this.#filled = this.#piece.length;
      this.#piece = undefined;
    }
    return buffer;
  }

  /** Sends a part when R2 has the one before. */
  async #send(part) {
    this.#buffer = undefined;
    this.#filled = 0;
    if (this.key === undefined) throw invalid("form");
    this.#upload ??= await this.#bucket.createMultipartUpload(this.key, { httpMetadata: this.httpMetadata });
    await this.#finishPart();
    this.#pendingPart = this.#upload.uploadPart(this.#parts.length + 1, part);
  }

  async #finishPart() {
    if (this.#pendingPart !== undefined) this.#parts.push(await this.#pendingPart);
    this.#pendingPart = undefined;
  }

  async finish() {
    if (this.key === undefined) throw invalid("key");
    const { httpMetadata } = this;
    const last = this.#piece ?? this.#buffer?.subarray(0, this.#filled);
    if (this.#upload === undefined) {
      return storedReply(await this.#bucket.put(this.key, last ?? "", { httpMetadata }), httpMetadata);
    }
    if (last !== undefined) await this.#send(last);
    await this.#finishPart();
    return storedReply(await this.#upload.complete(this.#parts), httpMetadata);
  }
}

// Data.

/** `GET /data?key=`: the value, byte for byte as it was stored. */
async function getData(env, key) {
  const { value, metadata } = await env.USER_KV.getWithMetadata(DATA_PREFIX + key, "text");
  if (value === null) throw new Problem(404, "Not Found", "data_not_found", "there is no value with this key");
  const end = metadata == null ? "}" : `,"metadata":${JSON.stringify(metadata)}}`;
  return jsonReply(`{"key":${JSON.stringify(key)},"value":` + value + end);
}

/** `GET /data`: the first page of keys. */
async function listData(env, parameters) {
  const list = await env.USER_KV.list({ prefix: DATA_PREFIX, ...pageOf(parameters) });
  const keys = list.keys.map(({ name, metadata, expiration }) => {
    return { key: name.slice(DATA_PREFIX.length), metadata: metadata ?? undefined, expiration };
  });
  return jsonReply(JSON.stringify({ keys, truncated: !list.list_complete }));
}

/** The maximum lengths of a value and of a body, in bytes. */
const MAX_VALUE = 25 * MIB;
const MAX_BODY = 26 * MIB;

/** Bodies longer than this are large. An isolate holds two of them at once, as it has 128 MB of memory. */
const LARGE_BODY = MIB;
let largeBodies = 0;

/** `POST /data`: stores a value. */
async function setData(request, env) {
  requireType(request.headers, (type) => type === "application/json" || type.endsWith("+json"));
  const length = contentLength(request.headers);
  const isLarge = length > LARGE_BODY;
  if (length > MAX_BODY || (isLarge && largeBodies === 2)) throw invalid("length");
  if (isLarge) largeBodies += 1;
  try {
    const { key, value } = parseData(await request.bytes());
    await env.USER_KV.put(DATA_PREFIX + key, value, {});
    return jsonReply(JSON.stringify({ success: true, key }));
  } finally {
    if (isLarge) largeBodies -= 1;
  }
}

const BEFORE_VALUE = /^\s*\{\s*"key"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"value"\s*:\s*/;
const AFTER_VALUE = /\s*\}\s*$/;

/**
 * Parses `{"key": ..., "value": ...}`; the twin supports the members in this order only. The value is checked and kept
 * byte for byte, so that its place in the body is needed.
 */
function parseData(bytes) {
  let text;
  let key;
  let start;
  let end;
  try {
    text = utf8.decode(bytes);
    const [before, keyJson] = BEFORE_VALUE.exec(text);
    key = JSON.parse(keyJson);
    start = before.length;
    end = text.lastIndexOf("}");
    while (isBlank(text.charCodeAt(end - 1))) end -= 1;
    if (!AFTER_VALUE.test(text.slice(end))) throw invalid("json");
    JSON.parse(text.slice(start, end));
  } catch {
    throw invalid("json");
  }
  // In ASCII, each character is one byte.
  const isAscii = text.length === bytes.length;
  const value = isAscii ? bytes.subarray(start, end) : encoder.encode(text.slice(start, end));
  if (value.length > MAX_VALUE) throw invalid("length");
  return { key: checkKey(key, MAX_DATA_KEY), value };
}

function isBlank(character) {
  return character === 0x20 || character === 0x0a || character === 0x0d || character === 0x09;
}

// Stats.

const WINDOW_DAYS = 30;

/** `GET /stats`: what is stored, and how often each operation was used. */
async function stats(env) {
  const isolate = isolateId();
  const [files, data, usage] = await Promise.all([
    env.USER_R2.list({}),
    env.USER_KV.list({ prefix: DATA_PREFIX, limit: MAX_LIMIT }),
    env.USER_KV.list({ prefix: USAGE_PREFIX, limit: MAX_LIMIT }),
  ]);
  if (files.truncated || !data.list_complete || !usage.list_complete) throw unsupported("list");
  const totalSize = files.objects.reduce((sum, { size }) => sum + size, 0);
  const total = { counts: new Map(), last: 0 };
  for (const { name, metadata } of usage.keys) {
    if (name !== USAGE_PREFIX + isolate) addUsage(total, Object.entries(metadata.n), metadata.t);
  }
  addUsage(total, usageOfIsolate.counts, usageOfIsolate.last);

  const byOperation = Object.fromEntries([...total.counts].sort());
  const totalOperations = Object.values(byOperation).reduce((sum, count) => sum + count, 0);
  const lastActivity = total.last > 0 ? new Date(total.last).toISOString() : null;
  const count = files.objects.length;
  return jsonReply(
    JSON.stringify({
      files: { count, totalSize },
      activity: { totalOperations, lastActivity, byOperation, windowDays: WINDOW_DAYS },
      storage: { kvKeys: data.keys.length, r2Objects: count },
    }),
  );
}

function addUsage(total, counts, last) {
  for (const [operation, count] of counts) total.counts.set(operation, (total.counts.get(operation) ?? 0) + count);
  total.last = Math.max(total.last, last);
}

// Usage. Operations are counted in memory. Each isolate writes its counts to KV after an interval, so that no operation
// needs a write of its own.

const USAGE_PREFIX = "usage/";

/** How long an operation may wait to be written, in milliseconds. */
const INTERVAL = 5000;

/** A write that was due this long ago was cut short with its request. */
const OVERDUE = 30_000;

const usageOfIsolate = { id: undefined, counts: new Map(), last: 0, due: undefined };

function count(operation, env, ctx) {
  const now = Date.now();
  const { counts, due } = usageOfIsolate;
  counts.set(operation, (counts.get(operation) ?? 0) + 1);
  usageOfIsolate.last = Math.max(usageOfIsolate.last, now);
  if (due !== undefined && now < due + OVERDUE) return;
  usageOfIsolate.due = now + INTERVAL;
  ctx.waitUntil(writeUsage(env));
}

function isolateId() {
  usageOfIsolate.id ??= crypto.randomUUID();
  return usageOfIsolate.id;
}

async function writeUsage(env) {
  await scheduler.wait(INTERVAL);
  usageOfIsolate.due = undefined;
  const metadata = { n: Object.fromEntries([...usageOfIsolate.counts].sort()), t: usageOfIsolate.last };
  await env.USER_KV.put(USAGE_PREFIX + isolateId(), "", { expirationTtl: WINDOW_DAYS * 24 * 60 * 60, metadata });
}

// Replies.

/** The headers of JSON replies. Copying them is cheaper than making them from names and values. */
const JSON_HEADERS = new Headers({ "Content-Type": "application/json", "Cache-Control": "no-store", Vary: VARY });

function jsonReply(body) {
  return new Response(body, { headers: JSON_HEADERS });
}

/** An error reply (RFC 9457). Not an `Error`: capturing a stack would cost more than the rest of the request. */
class Problem {
  constructor(status, title, code, detail) {
    this.status = status;
    this.title = title;
    this.code = code;
    this.detail = detail;
  }

  reply(requestId) {
    const { status, title, code, detail } = this;
    const body = JSON.stringify({ type: "about:blank", title, status, detail, code, requestId });
    const headers = { "Content-Type": "application/problem+json", "Cache-Control": "no-store", Vary: VARY };
    return new Response(body, { status, headers });
  }
}

function invalid(what) {
  return new Problem(400, "Bad Request", `invalid_${what}`);
}

/** A valid request that the benchmark does not send. */
function unsupported(what) {
  return new Problem(400, "Bad Request", `unsupported_${what}`);
}
