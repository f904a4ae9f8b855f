import { WorkerEntrypoint } from "cloudflare:workers";

/**
 * The customer Worker in plain JavaScript: the twin of customer-worker/src, for measuring what Rust and Wasm cost per
 * request.
 *
 * It makes the same checks, the same replies and the same storage operations. What it leaves out is /files/uploads, /db
 * and most of the RPC methods. Where a body is not JSON, the parser's own words within `detail` are the runtime's.
 */

const VERSION = "0.1.0";

/** All customers share the same URLs: no cache may hand one the reply that another got. */
const VARY = "X-User-ID, Authorization";

const MIB = 1024 * 1024;

const encoder = new TextEncoder();
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const lossyUtf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * The methods are for callers inside the platform, and the reason why this is a class: one of its instances is made for each
 * request. Those that are left out would cost a request nothing.
 */
export default class UserWorker extends WorkerEntrypoint {
  fetch(request) {
    const reply = answer(request, this.env, this.ctx);
    // When a client goes away while it sends, only what was announced to the runtime goes on: an upload must, to abort.
    if (request.body !== null) this.ctx.waitUntil(reply);
    return reply;
  }

  async getData(key) {
    checkKey(key, MAX_DATA_KEY);
    const text = await kv(dataOf(this.env).get(DATA_PREFIX + key, "text"));
    count("getData", this.env, this.ctx);
    return text === null ? null : JSON.parse(text);
  }
}

async function answer(request, env, ctx) {
  try {
    return await route(request, env, ctx);
  } catch (thrown) {
    if (!(thrown instanceof Problem)) throw thrown;
    const id = requestId(request.headers);
    thrown.log(id);
    return thrown.reply(id);
  }
}

/** Finds the route, and counts the operation if it succeeds. */
async function route(request, env, ctx) {
  const { path, query: text } = targetOf(request.url);
  const query = parseQuery(text);
  const { method } = request;
  const isRead = method === "GET" || method === "HEAD";
  const counted = (operation, reply) => {
    count(operation, env, ctx);
    return reply;
  };
  switch (path) {
    case "/":
      if (isRead) return health(request);
      throw methodNotAllowed("GET, HEAD");
    case "/files": {
      if (isRead) {
        const key = keyInQuery(query, MAX_FILE_KEY);
        if (key === undefined) return counted("listFiles", await listFiles(env, query));
        return counted("getFile", await (method === "HEAD" ? inspect : download)(request, env, key));
      }
      if (method === "POST") return counted("uploadFile", await uploadForm(request, env));
      if (method === "PUT") return counted("uploadFile", await upload(request, env, query));
      if (method === "DELETE") return counted("deleteFile", await deleteFile(env, query));
      throw methodNotAllowed("GET, HEAD, POST, PUT, DELETE");
    }
    case "/data": {
      if (isRead) {
        const key = keyInQuery(query, MAX_DATA_KEY);
        if (key === undefined) return counted("listData", await listData(env, query));
        return counted("getData", await getData(env, key));
      }
      if (method === "POST") return counted("setData", await setData(request, env));
      if (method === "DELETE") return counted("deleteData", await deleteData(env, query));
      throw methodNotAllowed("GET, HEAD, POST, DELETE");
    }
    case "/stats":
      if (isRead) return stats(env);
      throw methodNotAllowed("GET, HEAD");
    default:
      throw new Problem(
        404,
        "not_found",
        "there is no such route; the routes are /, /files, /files/uploads, /files/uploads/complete, /data, /stats, " +
          "/db/query and /db/batch",
      );
  }
}

function health(request) {
  return jsonReply(JSON.stringify({ status: "ok", worker: request.headers.get("X-User-ID"), version: VERSION }));
}

// Requests.

const REQUEST_ID = /^[\w.:=+/@-]{1,128}$/;

/** A request's id as it stands in its headers: Cloudflare's own where there is one. */
function requestId(headers) {
  for (const name of ["CF-Ray", "X-Request-Id"]) {
    const id = headers.get(name);
    if (id !== null && REQUEST_ID.test(id)) return id;
  }
  return "";
}

/** Path and query of a URL that the runtime has parsed already: parsing it again would cost more than the rest. */
function targetOf(url) {
  const host = url.indexOf("://") + 3;
  const hash = url.indexOf("#", host);
  const end = hash < 0 ? url.length : hash;
  const mark = url.indexOf("?", host);
  const pathEnd = mark < 0 || mark > end ? end : mark;
  const path = url.indexOf("/", host);
  return {
    path: path < 0 || path > pathEnd ? "/" : url.slice(path, pathEnd),
    query: url.slice(pathEnd + 1, end),
  };
}

const NO_QUERY = new Map();

/** The decoded parameters of a query. One that is there twice is refused: readers would not agree on which counts. */
function parseQuery(text) {
  if (text === "") return NO_QUERY;
  const query = new Map();
  for (const pair of text.split("&")) {
    if (pair === "") continue;
    const equals = pair.indexOf("=");
    const name = decode(equals < 0 ? pair : pair.slice(0, equals));
    if (query.has(name)) {
      const shown = lossyUtf8.decode(bytesOf(name));
      throw invalidParameter(`\`${shown}\` is in the query more than once; send it once`);
    }
    query.set(name, equals < 0 ? "" : decode(pair.slice(equals + 1)));
  }
  return query;
}

/** Where bytes that are no UTF-8 stand in a text: each as a surrogate of its own, which no decoded text has. */
const NOT_UTF8 = 0xdc00;

/** A decoded part of a query. What is no UTF-8 becomes a text that is not well-formed, of a character for each byte. */
function decode(text) {
  const spaced = text.includes("+") ? text.replaceAll("+", " ") : text;
  if (!spaced.includes("%")) return spaced;
  try {
    return decodeURIComponent(spaced);
  } catch {
    return decodeLoosely(spaced);
  }
}

/** The same for what has a `%` that escapes nothing, or escapes that are no UTF-8. */
function decodeLoosely(text) {
  const escaped = text.replace(/%(?![\da-f]{2})/gi, "%25");
  try {
    return decodeURIComponent(escaped);
  } catch {
    const bytes = escaped.replace(/%([\da-f]{2})/gi, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
    return String.fromCharCode(...Array.from(bytes, (byte) => NOT_UTF8 + byte.charCodeAt(0)));
  }
}

/** The bytes that a decoded part of a query stands for. */
function bytesOf(text) {
  return text.isWellFormed()
    ? encoder.encode(text)
    : Uint8Array.from(text, (character) => character.charCodeAt(0) - NOT_UTF8);
}

/** Whether a text has at most so many bytes of UTF-8. A character of it has three at most. */
function fits(text, maxBytes) {
  if (text.length * 3 <= maxBytes) return true;
  return text.length <= maxBytes && (text.isWellFormed() ? encoder.encode(text).length : text.length) <= maxBytes;
}

/** R2's limit for keys, in bytes of UTF-8. */
const MAX_FILE_KEY = 1024;

/** What every customer's key begins with in its KV namespace, apart from which the platform keeps its own there. */
const DATA_PREFIX = "data/";

/** KV's limit for keys, less the prefix. */
const MAX_DATA_KEY = 512 - DATA_PREFIX.length;

function checkKey(key, maxBytes) {
  if (key === "" || !fits(key, maxBytes)) throw invalidKeyLength(maxBytes);
  if (!key.isWellFormed()) throw invalidKeyEncoding();
  return key;
}

/** The query's `key`, if it is there. */
function keyInQuery(query, maxBytes) {
  const key = query.get("key");
  return key === undefined ? undefined : checkKey(key, maxBytes);
}

/** The query's `key`, which must be there. */
function keyFromQuery(query, maxBytes) {
  const key = keyInQuery(query, maxBytes);
  if (key === undefined) throw missingKey();
  return key;
}

const MAX_LIMIT = 1000;

/** The query's `limit`, or the most that there may be. */
function limitOf(query) {
  const text = query.get("limit");
  if (text === undefined) return MAX_LIMIT;
  const limit = /^\d+$/.test(text) ? Number(text) : 0;
  if (limit < 1 || limit > MAX_LIMIT) throw invalidParameter("`limit` must be a whole number from 1 to 1000");
  return limit;
}

/** A parameter of a listing that is text of so many bytes. */
function textOf(query, name, minBytes, maxBytes) {
  const text = query.get(name);
  if (text === undefined) return undefined;
  if (!text.isWellFormed() || text.length < minBytes || !fits(text, maxBytes)) {
    throw invalidParameter(`\`${name}\` must be ${minBytes} to ${maxBytes} bytes of UTF-8`);
  }
  return text;
}

/** How long a request says that its body is. */
function contentLength(headers) {
  const length = headers.get("Content-Length");
  return length !== null && /^\+?\d+$/.test(length) ? Number(length) : undefined;
}

/** Refuses a body whose `Content-Type` is not what the route takes; answers it otherwise. */
function requireType(headers, matches, wanted) {
  const contentType = headers.get("Content-Type");
  if (contentType === null || !matches(contentType.split(";", 1)[0].trim().toLowerCase())) {
    throw new Problem(415, "unsupported_media_type", `send the body as Content-Type: ${wanted}`);
  }
  return contentType;
}

// Cursors.

/**
 * For the client, what the store answered: with a check value of the listing that it goes on with and nothing else, and
 * in letters that need no escaping in a URL.
 */
function encodeCursor(cursor, listing) {
  const text = encoder.encode(cursor);
  const bytes = new Uint8Array(4 + text.length);
  new DataView(bytes.buffer).setUint32(0, checkValue([...listing, cursor]));
  bytes.set(text, 4);
  return bytes.toBase64({ alphabet: "base64url", omitPadding: true });
}

/** For the store: the query's `cursor`, if there is one. It must be of the same listing. */
function cursorOf(query, listing) {
  const given = query.get("cursor");
  if (given === undefined) return undefined;
  try {
    if (!/^[\w-]*$/.test(given)) throw new SyntaxError("a cursor is base64url");
    const padded = given.padEnd(Math.ceil(given.length / 4) * 4, "=");
    const bytes = Uint8Array.fromBase64(padded, { alphabet: "base64url", lastChunkHandling: "strict" });
    const check = new DataView(bytes.buffer).getUint32(0);
    const cursor = utf8.decode(bytes.subarray(4));
    if (check === checkValue([...listing, cursor])) return cursor;
  } catch {
    // It is none.
  }
  const detail = "`cursor` must be the `cursor` of the page before, from the same listing";
  throw new Problem(400, "invalid_cursor", detail);
}

function filesListing(prefix, delimiter) {
  return delimiter === undefined ? ["files", prefix, ""] : ["files by", prefix, delimiter];
}

function dataListing(prefix) {
  return ["data", prefix, ""];
}

/** FNV-1a: against mistakes, not against malice. After each part comes a byte that no text has. */
function checkValue(parts) {
  let hash = 0x811c9dc5;
  for (const part of parts) {
    for (const byte of encoder.encode(part)) hash = Math.imul(hash ^ byte, 0x01000193);
    hash = Math.imul(hash ^ 0xff, 0x01000193);
  }
  return hash >>> 0;
}

// Conditional requests (RFC 9110, 13).

/** A request's conditions. A date that is none counts as absent. */
function readConditions(headers) {
  const ifMatch = headers.get("If-Match");
  const ifNoneMatch = headers.get("If-None-Match");
  const ifModifiedSince = headers.get("If-Modified-Since");
  const ifUnmodifiedSince = headers.get("If-Unmodified-Since");
  const conditions = {
    ifMatch: ifMatch === null ? undefined : parseTags(ifMatch),
    ifNoneMatch: ifNoneMatch === null ? undefined : parseTags(ifNoneMatch),
    ifModifiedSince: ifModifiedSince === null ? undefined : parseDate(ifModifiedSince),
    ifUnmodifiedSince: ifUnmodifiedSince === null ? undefined : parseDate(ifUnmodifiedSince),
  };
  const areNone = Object.values(conditions).every((condition) => condition === undefined);
  return areNone ? undefined : conditions;
}

const ANY = "*";

/** The tags in `If-Match` and `If-None-Match`: `ANY`, or a list. Quotation marks may be missing. */
function parseTags(header) {
  const tags = header.split(",").map((tag) => tag.trim());
  if (tags.includes(ANY)) return ANY;
  return tags.map(parseTag).filter(({ tag }) => tag !== "");
}

function parseTag(text) {
  const trimmed = text.trim();
  const weak = trimmed.startsWith("W/");
  return { weak, tag: (weak ? trimmed.slice(2) : trimmed).replace(/^"+|"+$/g, "") };
}

/** Compares conditions with what is there, in the order of RFC 9110, 13.2.2: "proceed", "not modified" or "failed". */
function outcome({ ifMatch, ifNoneMatch, ifModifiedSince, ifUnmodifiedSince }, file) {
  const { etag } = file;
  const modified = secondOf(file.uploaded);
  let unchanged = true;
  if (ifMatch !== undefined) {
    unchanged = ifMatch === ANY || ifMatch.some(({ weak, tag }) => !weak && tag === etag);
  } else if (ifUnmodifiedSince !== undefined) {
    unchanged = modified <= ifUnmodifiedSince;
  }
  if (!unchanged) return "failed";
  let changed = true;
  if (ifNoneMatch !== undefined) {
    changed = ifNoneMatch !== ANY && !ifNoneMatch.some(({ tag }) => tag === etag);
  } else if (ifModifiedSince !== undefined) {
    changed = modified > ifModifiedSince;
  }
  return changed ? "proceed" : "not modified";
}

/** Whether `If-Range` names the version that is there, by its date or by its strong tag. */
function isVersion(header, file) {
  const date = parseDate(header);
  if (date !== undefined) return date === secondOf(file.uploaded);
  const { weak, tag } = parseTag(header);
  return !weak && tag === file.etag;
}

const MONTHS = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec";
const RFC_850 = new RegExp(
  `^(Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (\\d\\d)-(${MONTHS})-(\\d\\d) (\\d\\d:\\d\\d:\\d\\d) GMT$`,
);
const ASCTIME = new RegExp(`^(\\w{3}) (${MONTHS}) ([ \\d]\\d) (\\d\\d:\\d\\d:\\d\\d) (\\d{4})$`);

/** A date in any of HTTP's formats (RFC 9110, 5.6.7), in seconds since 1970. */
function parseDate(text) {
  const trimmed = text.trim();
  const seconds = parseImfFixdate(trimmed);
  if (seconds !== undefined) return seconds;
  const rfc850 = RFC_850.exec(trimmed);
  if (rfc850 !== null) {
    const [, weekday, day, month, year, time] = rfc850;
    const century = Number(year) < 70 ? "20" : "19";
    return parseImfFixdate(`${weekday.slice(0, 3)}, ${day} ${month} ${century}${year} ${time} GMT`);
  }
  const asctime = ASCTIME.exec(trimmed);
  if (asctime !== null) {
    const [, weekday, month, day, time, year] = asctime;
    return parseImfFixdate(`${weekday}, ${day.replace(" ", "0")} ${month} ${year} ${time} GMT`);
  }
  return undefined;
}

/** `Sun, 06 Nov 1994 08:49:37 GMT`, which must be a day that there is, and that weekday. */
function parseImfFixdate(text) {
  if (text.length !== 29) return undefined;
  const milliseconds = Date.parse(text);
  return milliseconds >= 0 && new Date(milliseconds).toUTCString() === text ? milliseconds / 1000 : undefined;
}

/** The second in which a moment falls. */
function secondOf(date) {
  return Math.floor(date.getTime() / 1000);
}

/**
 * The conditions of a write as R2 checks them in one step with it, but for `If-Modified-Since`, which means nothing to
 * one (RFC 9110, 13.1.3).
 */
function onlyIfOf(conditions) {
  if (conditions === undefined) return undefined;
  const headers = new Headers();
  let count = 0;
  for (const [name, tags] of [
    ["If-Match", conditions.ifMatch],
    ["If-None-Match", conditions.ifNoneMatch],
  ]) {
    if (tags === undefined) continue;
    if (tags.length === 0) throw invalidParameter(`${name} must be *, or one etag or more`);
    // A tag of anything else is not one of R2's, and the header must be one that it can parse.
    const known = tags === ANY ? ANY : knownTags(tags, name === "If-Match");
    if (known === "" && name === "If-Match") throw preconditionFailed();
    // Of If-None-Match, none is any version's: the condition holds.
    if (known === "") continue;
    headers.set(name, known);
    count += 1;
  }
  const before = conditions.ifMatch === undefined ? conditions.ifUnmodifiedSince : undefined;
  if (before === undefined) return count === 0 ? undefined : headers;
  if (count > 0) throw invalidParameter("If-None-Match and If-Unmodified-Since cannot be used together");
  // R2 wants it to be older than this; the header, not newer, in whole seconds.
  return { uploadedBefore: new Date((before + 1) * 1000) };
}

function knownTags(tags, onlyStrong) {
  const known = tags.filter(({ weak, tag }) => /^[\da-z-]+$/i.test(tag) && !(weak && onlyStrong));
  return known.map(({ tag }) => `"${tag}"`).join(", ");
}

// The headers that are kept with a file.

const DEFAULT_TYPE = "application/octet-stream";

/** What a header can hold, and is not too long. */
const VISIBLE = /^[ -~\t]{0,1024}$/;

/** The headers of an upload that come back with the file, as R2 takes them. */
function readFileHeaders(headers) {
  const kept = (name) => {
    const value = headers.get(name);
    if (value === null || value === "") return undefined;
    if (!VISIBLE.test(value)) {
      throw invalidParameter(`the header ${name} must be at most 1024 visible ASCII characters`);
    }
    return value;
  };
  const metadata = {
    contentType: kept("Content-Type")?.trim() || DEFAULT_TYPE,
    cacheControl: kept("Cache-Control"),
    contentDisposition: kept("Content-Disposition"),
    contentEncoding: kept("Content-Encoding"),
    contentLanguage: kept("Content-Language"),
    cacheExpiry: undefined,
  };
  const expires = kept("Expires");
  if (expires !== undefined) {
    const seconds = parseDate(expires);
    if (seconds === undefined) throw invalidParameter("the header Expires must be a date as HTTP has it");
    metadata.cacheExpiry = new Date(seconds * 1000);
  }
  return metadata;
}

/** The type that a file came with in a form. */
function typeInForm(text) {
  const trimmed = text.trim();
  if (!VISIBLE.test(trimmed)) {
    throw invalidForm("the file's Content-Type must be at most 1024 visible ASCII characters");
  }
  return trimmed || DEFAULT_TYPE;
}

/** A header as a file has it, by whomever it was stored: what no header can hold is left out. */
function visible(value) {
  return value != null && VISIBLE.test(value) ? value : undefined;
}

// Files.

/** R2's limit for one `put`. */
const MAX_PUT = 5 * 1024 * MIB - 5 * MIB;

function filesOf(env) {
  if (env.USER_R2 == null) throw notAttached("file storage");
  return env.USER_R2;
}

/** `PUT /files?key=`: stores the body, which goes to R2 as the runtime's own stream. */
async function upload(request, env, query) {
  const { headers } = request;
  const key = keyFromQuery(query, MAX_FILE_KEY);
  const httpMetadata = readFileHeaders(headers);
  const onlyIf = onlyIfOf(readConditions(headers));
  const bucket = filesOf(env);
  const length = contentLength(headers);
  if (length === undefined) throw new Problem(411, "length_required", "send the body with a Content-Length");
  if (length > MAX_PUT) throw tooLarge("a file in one piece", MAX_PUT);
  return store(bucket, key, request.body ?? "", httpMetadata, onlyIf);
}

/** Stores a file in one piece, and answers what is said of it. */
async function store(bucket, key, content, httpMetadata, onlyIf) {
  let stored;
  try {
    stored = await bucket.put(key, content, { httpMetadata, onlyIf });
  } catch (thrown) {
    throw r2Problem(thrown);
  }
  if (stored === null) throw preconditionFailed();
  return storedReply(stored, key, httpMetadata);
}

function storedReply({ size, etag }, key, { contentType }) {
  return jsonReply(JSON.stringify({ success: true, key, size, etag, contentType }));
}

/** `DELETE /files?key=`: deletes a file, if it is there. */
async function deleteFile(env, query) {
  const key = keyFromQuery(query, MAX_FILE_KEY);
  const bucket = filesOf(env);
  try {
    await bucket.delete(key);
  } catch (thrown) {
    throw r2Problem(thrown);
  }
  return deleted();
}

/** `GET /files`: lists files, with one R2 list. */
async function listFiles(env, query) {
  const include = query.get("include");
  if (include !== undefined && include !== "contentType") throw invalidParameter("`include` can be contentType");
  const prefix = textOf(query, "prefix", 0, MAX_FILE_KEY) ?? "";
  const delimiter = textOf(query, "delimiter", 1, MAX_FILE_KEY);
  const listing = filesListing(prefix, delimiter);
  const cursor = cursorOf(query, listing);
  const limit = limitOf(query);
  const list = await r2List(filesOf(env), {
    limit,
    prefix: prefix || undefined,
    delimiter,
    cursor,
    include: include && ["httpMetadata"],
  });
  const next = list.truncated ? list.cursor : undefined;
  const page = {
    files: list.objects.map((file) => listedFile(file, include !== undefined)),
    prefixes: list.delimitedPrefixes,
    truncated: next !== undefined,
    cursor: next === undefined ? undefined : encodeCursor(next, listing),
  };
  return jsonReply(JSON.stringify(page));
}

function listedFile(file, withType) {
  const { key, size, uploaded, etag } = file;
  const contentType = withType ? visible(file.httpMetadata.contentType)?.trim() || DEFAULT_TYPE : undefined;
  return { key, size, uploaded: uploaded.toISOString(), etag, contentType };
}

async function r2List(bucket, options) {
  try {
    return await bucket.list(options);
  } catch (thrown) {
    throw r2Problem(thrown);
  }
}

async function r2Head(bucket, key) {
  let file;
  try {
    file = await bucket.head(key);
  } catch (thrown) {
    throw r2Problem(thrown);
  }
  if (file === null) throw fileNotFound();
  return file;
}

/** A file with its bytes, or those of a range. Without its bytes if it is the version `unless`. */
async function r2Get(bucket, key, range, unless) {
  let file;
  try {
    file = await bucket.get(key, {
      range: range && rangeOption(range),
      onlyIf: unless === undefined ? undefined : { etagDoesNotMatch: unless },
    });
  } catch (thrown) {
    throw r2Problem(thrown);
  }
  if (file === null) throw fileNotFound();
  return file;
}

/** `GET /files?key=`: the file, or a range of it. Its bytes go from R2 to the client as the runtime's own stream. */
async function download(request, env, key) {
  const conditions = readConditions(request.headers);
  const bucket = filesOf(env);
  const range = await wantedRange(request.headers, bucket, key);
  let file;
  try {
    file = await r2Get(bucket, key, range, onlyUnless(conditions));
  } catch (problem) {
    if (range === undefined || problem.code === "file_not_found") throw problem;
    // R2 fails at a range that a file does not have, and does not say how long the file is. Conditions count for more than
    // ranges.
    const now = await r2Head(bucket, key);
    const refusal = refused(conditions, now);
    if (refusal !== undefined) return refusal;
    if (bytesOfRange(range, now.size) === undefined) throw rangeNotSatisfiable(now.size);
    // The file has been replaced by one that has the range, or R2 failed for a reason of its own.
    file = await r2Get(bucket, key, range, onlyUnless(conditions));
  }
  const { body } = file;
  let refusal;
  try {
    refusal = refused(conditions, file);
  } catch (problem) {
    giveUp(body);
    throw problem;
  }
  if (refusal !== undefined) {
    giveUp(body);
    return refusal;
  }
  if (body === undefined) {
    // R2 and this Worker do not agree on whether the client has this version. The client gets it.
    const whole = await r2Get(bucket, key);
    return fileReply(whole, 200, whole.body);
  }
  if (range === undefined) return fileReply(file, 200, body);
  const bytes = bytesOfRange(range, file.size);
  if (bytes !== undefined) return fileReply(file, 206, body, bytes);
  giveUp(body);
  throw rangeNotSatisfiable(file.size);
}

/** `HEAD /files?key=`: the same headers, without a range, which `HEAD` does not have. */
async function inspect(request, env, key) {
  const conditions = readConditions(request.headers);
  const file = await r2Head(filesOf(env), key);
  return refused(conditions, file) ?? fileReply(file, 200, null);
}

/** The range that is asked for, unless it is of a version that is there no longer: that takes a look at the file. */
async function wantedRange(headers, bucket, key) {
  const header = headers.get("Range");
  const range = header === null ? undefined : parseRange(header);
  if (range === undefined) return undefined;
  const version = headers.get("If-Range");
  if (version === null) return range;
  return isVersion(version, await r2Head(bucket, key)) ? range : undefined;
}

/** One range of bytes, `{first, last}` or `{suffix}`. Whatever else the header holds means the whole file. */
function parseRange(header) {
  const [, first, last] = /^\s*bytes\s*=\s*(\d*)-(\d*)\s*$/i.exec(header) ?? ["", "", ""];
  if (first === "") return last === "" ? undefined : { suffix: position(last) };
  const range = { first: position(first), last: last === "" ? Infinity : position(last) };
  return range.first <= range.last ? range : undefined;
}

/** A number that is too large for any file stays so. */
function position(digits) {
  return Math.min(Number(digits), Number.MAX_SAFE_INTEGER);
}

function rangeOption({ first, last, suffix }) {
  if (suffix !== undefined) return { suffix };
  if (last === Infinity) return { offset: first };
  return { offset: first, length: Math.min(last - first + 1, Number.MAX_SAFE_INTEGER) };
}

/** The first and the last byte of a range that a file of `size` bytes has; nothing if it has none. */
function bytesOfRange({ first, last, suffix }, size) {
  if (suffix === 0) return undefined;
  const bytes = {
    first: suffix === undefined ? first : Math.max(0, size - suffix),
    last: suffix === undefined ? Math.min(last, size - 1) : size - 1,
  };
  return bytes.first < size ? bytes : undefined;
}

/** The one version that the client has, where it asks for any other: R2 then spares the bytes. */
function onlyUnless(conditions) {
  const tags = conditions?.ifNoneMatch;
  if (tags === undefined || tags === ANY || tags.length !== 1) return undefined;
  const alone = conditions.ifMatch === undefined && conditions.ifUnmodifiedSince === undefined;
  return alone ? tags[0].tag : undefined;
}

/** The reply to a reader whose conditions do not hold. */
function refused(conditions, file) {
  if (conditions === undefined) return undefined;
  switch (outcome(conditions, file)) {
    case "failed":
      throw preconditionFailed();
    case "not modified":
      return fileReply(file, 304, null);
    default:
      return undefined;
  }
}

/** Tells R2 that nobody will read a body. A stream that has failed already says so again here, to nobody. */
function giveUp(body) {
  body?.cancel().catch(() => {});
}

/** A reply about a file, with the bytes of a range if there is one. */
function fileReply(file, status, body, range) {
  const { size, httpMetadata: stored } = file;
  const headers = {
    ETag: file.httpEtag,
    "Last-Modified": file.uploaded.toUTCString(),
    "Cache-Control": visible(stored.cacheControl) ?? "private, no-cache",
    Vary: VARY,
    // What customers upload is never script on the platform's origin: no sniffing, and a sandbox around it.
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
    headers["Content-Length"] = String(range === undefined ? size : range.last - range.first + 1);
    if (range !== undefined) headers["Content-Range"] = `bytes ${range.first}-${range.last}/${size}`;
  }
  // The bytes are encoded already; the runtime would do it again.
  return new Response(body, { status, headers, encodeBody: encoding === undefined ? "automatic" : "manual" });
}

// Files in forms.

/** Up to this length a form is read in one piece, which is cheaper. */
const SMALL_FORM = MIB;

/** How many bytes are read of a stream at once. */
const PIECE = 256 * 1024;

/**
 * `POST /files`: stores a form's `file` under its `key`. The form is parsed as it arrives, and the file goes to R2 in
 * parts, so that it may be of any size; nothing is visible before the form's end.
 *
 * The runtime's own `request.formData()` is slower than this parser, holds the whole form, and cannot say what is wrong
 * with a broken one.
 */
async function uploadForm(request, env) {
  const { headers } = request;
  const contentType = requireType(headers, (type) => type === "multipart/form-data", "multipart/form-data");
  const parser = new FormParser(contentType);
  const conditions = readConditions(headers);
  const bucket = filesOf(env);
  const length = contentLength(headers);
  const isSmall = length !== undefined && length <= SMALL_FORM;
  const file = new PartsWriter(bucket, conditions, length);
  try {
    const pieces = isSmall ? [await wholeBody(request, brokenForm)] : piecesOf(request.body, brokenForm);
    await readForm(parser, pieces, file);
    return await file.finish();
  } catch (thrown) {
    await file.abort();
    throw thrown;
  }
}

async function wholeBody(request, failure) {
  try {
    return await request.bytes();
  } catch (thrown) {
    throw failure(thrown);
  }
}

/** A body's bytes as they arrive. Whoever stops reading gives up the rest. */
async function* piecesOf(stream, failure) {
  if (stream === null) return;
  const reader = stream.getReader({ mode: "byob" });
  let ended = false;
  try {
    while (!ended) {
      // workerd's own: fills the buffer but for the stream's last bytes, where `read` would answer with any few.
      const { value } = await reader.readAtLeast(PIECE, new Uint8Array(PIECE));
      ended = value === undefined || value.length === 0;
      if (!ended) yield value;
    }
  } catch (thrown) {
    throw failure(thrown);
  } finally {
    // A stream that has failed already says so again here, to nobody.
    if (!ended) reader.cancel().catch(() => {});
  }
}

/** Hands a form's `file` on to a writer, with its `key`. */
async function readForm(parser, pieces, file) {
  const seen = new Set();
  let part;
  let key = [];
  for await (const piece of pieces) {
    for (const step of parser.feed(piece)) {
      if (step instanceof PartHead) {
        part = fieldOf(step, seen);
        if (part === "file") file.httpMetadata = { contentType: typeInForm(step.contentType ?? "") };
      } else if (step === PART_END) {
        if (part === "key") file.key = checkKey(textOfKey(key), MAX_FILE_KEY);
      } else if (part === "file") {
        await file.write(step);
      } else if (part === "key") {
        if (key.length + step.length > MAX_FILE_KEY) throw invalidKeyLength(MAX_FILE_KEY);
        key = [...key, ...step];
      }
    }
    if (parser.hasEnded) break;
  }
  if (!parser.hasEnded) throw invalidForm("it ends before its closing boundary");
  if (!seen.has("file")) throw invalidForm("a `file` is required");
}

/** Which of the form's fields a part is, if it is one that counts. */
function fieldOf({ name, isFile }, seen) {
  if (name !== "key" && name !== "file") return undefined;
  if (name === "key" && isFile) throw invalidForm("`key` must be a text field, not a file");
  if (name === "file" && !isFile) throw invalidForm("`file` must be a file, not a text field");
  if (seen.has(name)) throw invalidForm(`\`${name}\` is there more than once`);
  seen.add(name);
  return name;
}

function textOfKey(bytes) {
  if (bytes.length === 0) return "";
  try {
    return utf8.decode(Uint8Array.from(bytes));
  } catch {
    throw invalidKeyEncoding();
  }
}

/** What a part's headers say: the field's name, whether it is a file, and of what type. */
class PartHead {
  constructor(bytes) {
    this.isFile = false;
    this.contentType = undefined;
    let name;
    for (const line of lossyUtf8.decode(bytes).split("\r\n")) {
      if (line === "") continue;
      const colon = line.indexOf(":");
      if (colon < 0) throw invalidForm("a header of a part has no colon");
      const field = line.slice(0, colon).toLowerCase();
      const value = line.slice(colon + 1);
      if (field === "content-type") this.contentType = value.trim();
      if (field !== "content-disposition") continue;
      for (const [parameter, text] of parametersOf(value)) {
        if (parameter === "name") name = text;
        if (parameter === "filename" || parameter === "filename*") this.isFile = true;
      }
    }
    if (name === undefined) throw invalidForm("a part has no name");
    this.name = name;
  }
}

const PARAMETER = /;\s*([^;=]*?)\s*=\s*(?:"((?:\\["\\]|[^"])*)(?:"|$)|([^;]*))/g;

/**
 * The parameters of a header's value (RFC 9110, 5.6.6): `; name=value` or `; name="value"`, where a backslash quotes a
 * quotation mark or itself.
 */
function* parametersOf(value) {
  for (const [, name, quoted, plain] of value.matchAll(PARAMETER)) {
    yield [name.toLowerCase(), quoted === undefined ? plain.trimEnd() : quoted.replace(/\\(["\\])/g, "$1")];
  }
}

const PART_END = Symbol("the end of a part");

const CR = 0x0d;
const LF = 0x0a;
const HYPHEN = 0x2d;

const NOTHING = new Uint8Array(0);

/** The longest headers of a part, in bytes. */
const MAX_HEAD = 16 * 1024;

/**
 * Parses `multipart/form-data` (RFC 7578) as it arrives, in segments of any size: no copy of a part's content, and no
 * more memory than a part's headers take, however large the form is.
 */
class FormParser {
  /** The parser's state: the method that takes the next bytes, and answers where to go on. */
  #next = this.#scan;
  #inContent = false;
  /** A line end, two hyphens and the boundary. */
  #delimiter;
  /** By how much a byte lets the search move on: how far its last place in the delimiter is from that's end. */
  #moves;
  /** How many bytes of the delimiter the segments before ended with. At first, the line end that the first may lack. */
  #matched = 2;
  /** Bytes of a delimiter's line, or of a part's headers, that segments before held. */
  #held = NOTHING;
  #steps = [];
  hasEnded = false;

  constructor(contentType) {
    const boundary = boundaryIn(contentType);
    if (boundary === undefined) {
      throw invalidForm("its Content-Type must name a boundary of 1 to 70 characters");
    }
    this.#delimiter = encoder.encode(`\r\n--${boundary}`);
    const last = this.#delimiter.length - 1;
    this.#moves = new Uint8Array(256).fill(last + 1);
    for (let at = 0; at < last; at++) this.#moves[this.#delimiter[at]] = last - at;
  }

  /** Takes the next bytes, and answers what they hold: a `PartHead`, bytes of its content, `PART_END`, and so on. */
  feed(segment) {
    this.#steps = [];
    let at = 0;
    while (at < segment.length && !this.hasEnded) at = this.#next(segment, at);
    return this.#steps;
  }

  /** Looks for the delimiter. */
  #scan(segment, from) {
    const delimiter = this.#delimiter;
    if (this.#matched > 0) {
      // What was held back is the delimiter's beginning as far as it goes: go on comparing.
      let at = from;
      while (at < segment.length && this.#matched < delimiter.length && segment[at] === delimiter[this.#matched]) {
        at += 1;
        this.#matched += 1;
      }
      if (this.#matched === delimiter.length) return this.#delimiterEnds(at);
      if (at === segment.length) return at;
      // It was not. Nor does one begin within it: a boundary has no line end but the one it begins with.
      this.#matched -= at - from;
      if (this.#inContent) this.#steps.push(delimiter.subarray(0, this.#matched));
      this.#matched = 0;
    }
    const found = this.#find(segment, from);
    const end = found < 0 ? this.#beginningAtEnd(segment, from) : found;
    if (this.#inContent && end > from) this.#steps.push(segment.subarray(from, end));
    if (found >= 0) return this.#delimiterEnds(found + delimiter.length);
    this.#matched = segment.length - end;
    return segment.length;
  }

  /** Where the delimiter stands in a segment, or -1 (Boyer, Moore and Horspool's way). */
  #find(segment, from) {
    const delimiter = this.#delimiter;
    const moves = this.#moves;
    const last = delimiter.length - 1;
    const final = delimiter[last];
    for (let end = from + last; end < segment.length; end += moves[segment[end]]) {
      if (segment[end] !== final) continue;
      let at = 0;
      while (at < last && segment[end - last + at] === delimiter[at]) at += 1;
      if (at === last) return end - last;
    }
    return -1;
  }

  /** Where a segment's last bytes begin that may be the beginning of the delimiter. */
  #beginningAtEnd(segment, from) {
    const start = segment.lastIndexOf(CR);
    if (start < from || segment.length - start >= this.#delimiter.length) return segment.length;
    for (let at = start; at < segment.length; at++) {
      if (segment[at] !== this.#delimiter[at - start]) return segment.length;
    }
    return start;
  }

  #delimiterEnds(at) {
    if (this.#inContent) this.#steps.push(PART_END);
    this.#inContent = false;
    this.#matched = 0;
    this.#held = NOTHING;
    this.#next = this.#afterDelimiter;
    return at;
  }

  /** After a delimiter comes the end of its line, perhaps after blanks, or two hyphens if it was the last. */
  #afterDelimiter(segment, at) {
    this.#held = joined(this.#held, segment.subarray(at, at + 1));
    const padding = this.#held.findIndex((byte) => byte !== 0x20 && byte !== 0x09);
    const [first, second] = padding < 0 ? [] : this.#held.subarray(padding);
    if (first === HYPHEN && second === HYPHEN && padding === 0) {
      this.hasEnded = true;
    } else if (first === CR && second === LF) {
      this.#held = NOTHING;
      this.#next = this.#head;
    } else {
      const maxPadding = 128;
      const mayGoOn = second === undefined && (first === undefined || first === HYPHEN || first === CR);
      if (!mayGoOn || (padding < 0 ? this.#held.length : padding) > maxPadding) {
        throw invalidForm("a boundary is not alone in its line");
      }
    }
    return at + 1;
  }

  #head(segment, at) {
    const before = this.#held.length;
    const seen = segment.subarray(at, at + MAX_HEAD + 1 - before);
    const bytes = before === 0 ? seen : joined(this.#held, seen);
    const end = endOfHead(bytes);
    if (end < 0) {
      if (bytes.length > MAX_HEAD) throw invalidForm("the headers of a part are longer than 16 KiB");
      this.#held = bytes;
      return at + seen.length;
    }
    this.#steps.push(new PartHead(bytes.subarray(0, end)));
    this.#held = NOTHING;
    this.#inContent = true;
    this.#next = this.#scan;
    return at + end - before;
  }
}

function boundaryIn(contentType) {
  for (const [name, boundary] of parametersOf(contentType)) {
    if (name === "boundary") return /^[ -~]{0,69}[!-~]$/.test(boundary) ? boundary : undefined;
  }
  return undefined;
}

/** Where a part's headers end, with the empty line after them, or -1. */
function endOfHead(bytes) {
  if (bytes[0] === CR && bytes[1] === LF) return 2;
  for (let at = bytes.indexOf(CR); at >= 0; at = bytes.indexOf(CR, at + 1)) {
    if (bytes[at + 1] === LF && bytes[at + 2] === CR && bytes[at + 3] === LF) return at + 4;
  }
  return -1;
}

function joined(one, other) {
  const both = new Uint8Array(one.length + other.length);
  both.set(one);
  both.set(other, one.length);
  return both;
}

/** R2's least part, and what is held of a file, twice: the part that is being filled and the one that is on its way. */
const PART = 5 * MIB;

/** R2's limit. */
const MAX_PARTS = 10_000;

/**
 * Takes a file's bytes one after another, and sends them to R2 in one piece while it is small, in parts of equal length
 * from then on. Nothing is visible before `finish`. One that fails must be aborted: R2 would keep its parts.
 */
class PartsWriter {
  /** Where the file goes; needed when a part is full. */
  key;
  /** What is kept with it. */
  httpMetadata = { contentType: DEFAULT_TYPE };
  #bucket;
  #conditions;
  #partLength;
  /** How many bytes may still come, beside those of the buffer. */
  #rest;
  /** Bytes that were not sent yet, as they came. Most files are one piece. */
  #piece;
  /** Several pieces in a part's buffer, and up to where it is filled. */
  #buffer;
  #filled = 0;
  #upload;
  #onItsWay;
  #parts = [];
  #sent = 0;

  /** Begins a file of at most `maxLength` bytes, where that is known. */
  constructor(bucket, conditions, maxLength = 0) {
    this.#bucket = bucket;
    this.#conditions = conditions;
    // R2 takes 10,000 parts: a very large file has larger ones.
    this.#partLength = Math.max(PART, Math.ceil(maxLength / MAX_PARTS));
    this.#rest = maxLength || Infinity;
  }

  /** Takes the next bytes. They must not change afterwards. */
  async write(bytes) {
    let rest = bytes;
    while (rest.length > 0) {
      rest = this.#hold(rest);
      if (this.#filled === this.#partLength) {
        const part = this.#buffer;
        this.#buffer = undefined;
        this.#filled = 0;
        await this.#send(part);
      }
    }
  }

  /** Holds as much as a part has room for, and answers the rest. */
  #hold(bytes) {
    if (this.#buffer === undefined) {
      if (this.#piece === undefined && bytes.length < this.#partLength) {
        this.#piece = bytes;
        return NOTHING;
      }
      const length = Math.min(this.#partLength, this.#rest);
      this.#rest -= length;
      this.#buffer = new Uint8Array(length);
      if (this.#piece !== undefined) {
        this.#buffer.set(this.#piece);
        this.#filled = this.#piece.length;
        this.#piece = undefined;
      }
    }
    const taken = Math.min(bytes.length, this.#partLength - this.#filled);
    this.#buffer.set(bytes.subarray(0, taken), this.#filled);
    this.#filled += taken;
    return bytes.subarray(taken);
  }

  /** Sends a part, when the one before has arrived. */
  async #send(part) {
    if (this.#upload === undefined) {
      if (this.key === undefined) {
        const detail = "in a form this large, `key` must come before `file`: send it first";
        throw new Problem(400, "key_after_file", detail);
      }
      if (this.#conditions !== undefined) {
        throw new Problem(
          400,
          "condition_not_supported",
          "a file this large, or one uploaded in parts, cannot be stored conditionally, nor any be deleted so; use PUT /files?key=",
        );
      }
      try {
        this.#upload = await this.#bucket.createMultipartUpload(this.key, { httpMetadata: this.httpMetadata });
      } catch (thrown) {
        throw r2Problem(thrown);
      }
    }
    this.#sent += 1;
    if (this.#sent > MAX_PARTS) throw tooLarge("a file", this.#partLength * MAX_PARTS);
    await this.#arrival();
    this.#onItsWay = this.#upload.uploadPart(this.#sent, part);
    // Whoever waits for it hears of its failure; until then nobody does, which is no matter for the runtime's log.
    this.#onItsWay.catch(() => {});
  }

  /** Waits until the part that is on its way is stored. */
  async #arrival() {
    const onItsWay = this.#onItsWay;
    if (onItsWay === undefined) return;
    this.#onItsWay = undefined;
    try {
      const { partNumber, etag } = await onItsWay;
      this.#parts.push({ partNumber, etag });
    } catch (thrown) {
      throw r2Problem(thrown);
    }
  }

  /** Makes the file, and answers what is said of it. */
  async finish() {
    if (this.key === undefined) throw missingKey();
    const last = this.#piece ?? this.#buffer?.subarray(0, this.#filled);
    if (this.#upload === undefined) {
      const onlyIf = onlyIfOf(this.#conditions);
      return store(this.#bucket, this.key, last ?? "", this.httpMetadata, onlyIf);
    }
    if (last !== undefined) await this.#send(last);
    await this.#arrival();
    const unused = this.#sent < MAX_PARTS ? MAX_PARTS : undefined;
    const stored = await this.#explained(this.#upload.complete(this.#parts), unused);
    this.#upload = undefined;
    return storedReply(stored, this.key, this.httpMetadata);
  }

  /** Gives up: whatever was there before is there still, and R2 forgets the parts. */
  async abort() {
    if (this.#upload === undefined) return;
    // A part that is still on its way would keep the upload alive.
    await this.#arrival().catch(() => {});
    try {
      await this.#explained(this.#upload.abort(), MAX_PARTS);
    } catch (problem) {
      problem.log("");
    }
  }

  /**
   * R2 answers the completion and the abortion of an unknown upload with the error that it has for failures of its own.
   * A part of an unknown upload it refuses in a way that tells; `unused` is the number of one that nobody will miss.
   */
  async #explained(promise, unused) {
    try {
      return await promise;
    } catch (thrown) {
      if (r2Code(thrown) === R2_INTERNAL_ERROR && unused !== undefined) {
        const told = await this.#upload.uploadPart(unused, "").catch((thrown) => thrown);
        if (r2Code(told) === R2_NO_SUCH_UPLOAD) throw uploadNotFound();
      }
      throw r2Problem(thrown);
    }
  }
}

// Data.

function dataOf(env) {
  if (env.USER_KV == null) throw notAttached("data storage");
  return env.USER_KV;
}

/** `GET /data?key=`: the value, in the very text that it was stored in. */
async function getData(env, key) {
  const { value, metadata } = await kv(dataOf(env).getWithMetadata(DATA_PREFIX + key, "text"));
  if (value === null) throw new Problem(404, "data_not_found", "there is no value with this key");
  const end = metadata == null ? "}" : `,"metadata":${JSON.stringify(metadata)}}`;
  return jsonReply(`{"key":${JSON.stringify(key)},"value":` + value + end);
}

/** `DELETE /data?key=`: deletes a value, if it is there. */
async function deleteData(env, query) {
  const key = keyFromQuery(query, MAX_DATA_KEY);
  await kv(dataOf(env).delete(DATA_PREFIX + key));
  return deleted();
}

/** `GET /data`: lists keys. */
async function listData(env, query) {
  const prefix = textOf(query, "prefix", 0, MAX_DATA_KEY) ?? "";
  const listing = dataListing(prefix);
  const cursor = cursorOf(query, listing);
  const limit = limitOf(query);
  const list = await kvPage(dataOf(env), DATA_PREFIX + prefix, limit, cursor);
  const next = moreOf(list);
  const page = {
    keys: list.keys.map(({ name, metadata, expiration }) => ({
      key: name.slice(DATA_PREFIX.length),
      metadata: metadata ?? undefined,
      expiration,
    })),
    truncated: next !== undefined,
    cursor: next === undefined ? undefined : encodeCursor(next, listing),
  };
  return jsonReply(JSON.stringify(page));
}

/** What KV answers; its failures are not the client's. */
async function kv(promise) {
  try {
    return await promise;
  } catch (thrown) {
    throw unavailable(thrown);
  }
}

function kvPage(namespace, prefix, limit, cursor) {
  return kv(namespace.list(cursor === undefined ? { prefix, limit } : { prefix, limit, cursor }));
}

/** Where a list goes on, if there is more. */
function moreOf(list) {
  return list.list_complete ? undefined : list.cursor;
}

/** The longest body of `POST /data`, in bytes: a value at its limit, its key, and room for the JSON around them. */
const MAX_BODY = 26 * MIB;

/** KV's limits, in bytes. */
const MAX_VALUE = 25 * MIB;
const MAX_METADATA = 1024;

/** `POST /data`: stores a value. */
async function setData(request, env) {
  const isJson = (type) => type === "application/json" || type.endsWith("+json");
  requireType(request.headers, isJson, "application/json");
  const namespace = dataOf(env);
  const place = new LargeBody();
  try {
    const { key, value, options } = parseData(await readBody(request, place));
    await kv(namespace.put(DATA_PREFIX + key, value, options));
    return jsonReply(JSON.stringify({ success: true, key }));
  } finally {
    place.leave();
  }
}

/** A place among the large bodies that are held at once: an isolate has 128 MB for all its requests together. */
class LargeBody {
  static FROM = MIB;
  static #MOST = 2;
  static #held = 0;
  #taken = false;

  enterIf(isLarge) {
    if (!isLarge || this.#taken) return;
    if (LargeBody.#held === LargeBody.#MOST) {
      const detail = "too many large values are being stored at once; try again";
      throw new Problem(503, "busy", detail, { header: ["Retry-After", "1"] });
    }
    LargeBody.#held += 1;
    this.#taken = true;
  }

  leave() {
    if (this.#taken) LargeBody.#held -= 1;
  }
}

/** Reads a body of at most `MAX_BODY` bytes. One that does not say its length is read until it has proved too long. */
async function readBody(request, place) {
  const length = contentLength(request.headers);
  if (length !== undefined) {
    if (length > MAX_BODY) throw tooLarge("the body", MAX_BODY);
    place.enterIf(length > LargeBody.FROM);
    return wholeBody(request, brokenOff);
  }
  const pieces = [];
  let read = 0;
  for await (const piece of piecesOf(request.body, brokenOff)) {
    read += piece.length;
    if (read > MAX_BODY) throw tooLarge("the body", MAX_BODY);
    place.enterIf(read > LargeBody.FROM);
    pieces.push(piece);
  }
  return pieces.length === 1 ? pieces[0] : new Blob(pieces).bytes();
}

/** Parses `{"key": ..., "value": ...}`, with `expirationTtl` or `expiration`, and `metadata`. */
function parseData(bytes) {
  const text = decodeJson(bytes);
  const { key, value: range, expirationTtl, expiration, metadata } = membersOf(text);
  if (key?.parsed == null) throw missingKey();
  checkKey(key.parsed, MAX_DATA_KEY);
  if (range === undefined) throw invalidBody("a `value` is required");
  // In ASCII, characters stand where their bytes do.
  const isAscii = text.length === bytes.length;
  const value = isAscii ? bytes.subarray(range.start, range.end) : encoder.encode(text.slice(range.start, range.end));
  if (value.length > MAX_VALUE) throw tooLarge("a value", MAX_VALUE);
  const options = expiryOf(expirationTtl?.parsed ?? undefined, expiration?.parsed ?? undefined);
  if (metadata?.parsed != null) {
    options.metadata = checkMetadata(text.slice(metadata.start, metadata.end), metadata.parsed);
  }
  return { key: key.parsed, value, options };
}

function decodeJson(bytes) {
  try {
    return utf8.decode(bytes);
  } catch (thrown) {
    throw invalidJson(messageOf(thrown));
  }
}

/** When a value goes away, in `seconds` from now or at a `second` after 1970, as KV takes it. */
function expiryOf(seconds, second) {
  if (seconds === undefined && second === undefined) return {};
  if (seconds !== undefined && second !== undefined) {
    throw invalidBody("give `expirationTtl` or `expiration`, not both");
  }
  const least = 60;
  const most = 0x7fff_ffff;
  if (seconds >= least && seconds <= most) return { expirationTtl: seconds };
  if (second >= Math.floor(Date.now() / 1000) + least && second <= most) return { expiration: second };
  throw invalidBody(
    "`expirationTtl` is in seconds, 60 to 2147483647; `expiration` in seconds since 1970, at least 60 from now and " +
      "at most 2147483647",
  );
}

/** The object that KV keeps; its own JSON, whose length counts, may be longer than what came. */
function checkMetadata(text, metadata) {
  if (!text.startsWith("{")) throw invalidBody("`metadata` must be an object");
  if (!fits(text, MAX_METADATA) || !fits(JSON.stringify(metadata), MAX_METADATA)) {
    throw invalidBody("`metadata` may have 1024 bytes at most");
  }
  return metadata;
}

const MEMBERS = ["key", "value", "expirationTtl", "expiration", "metadata"];

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const OPENING_BRACKET = 0x5b;
const CLOSING_BRACKET = 0x5d;
const OPENING_BRACE = 0x7b;
const CLOSING_BRACE = 0x7d;

/**
 * The members of the body's object, and where their values stand in its text: only so a value is kept byte for byte.
 * The runtime's parser sees to each of them. Members that the route does not take, or that come twice, are refused.
 */
function membersOf(text) {
  const members = {};
  const start = skipBlanks(text, 0);
  if (text.charCodeAt(start) !== OPENING_BRACE) throw wrongType(text, rangeAt(text, start), "an object");
  let at = skipBlanks(text, start + 1);
  while (text.charCodeAt(at) === QUOTE) {
    const nameEnd = endOfString(text, at);
    const name = nameIn(text.slice(at, nameEnd));
    if (!MEMBERS.includes(name)) {
      const expected = MEMBERS.map((member) => `\`${member}\``).join(", ");
      throw invalidBody(`unknown field \`${name}\`, expected one of ${expected}${placeOf(text, nameEnd)}`);
    }
    if (members[name] !== undefined) throw invalidBody(`duplicate field \`${name}\`${placeOf(text, nameEnd)}`);
    const valueStart = skipBlanks(text, skipOne(text, skipBlanks(text, nameEnd), COLON));
    const member = (name === "value" && lastMember(text, valueStart)) || rangeAt(text, valueStart);
    checkType(text, name, member);
    members[name] = member;
    at = skipBlanks(text, member.end);
    if (text.charCodeAt(at) !== COMMA) break;
    at = skipBlanks(text, at + 1);
    if (text.charCodeAt(at) !== QUOTE) throw invalidJson(`expected a name${placeOf(text, at)}`);
  }
  const end = skipBlanks(text, skipOne(text, at, CLOSING_BRACE));
  if (end < text.length) throw invalidJson(`trailing characters${placeOf(text, end)}`);
  return members;
}

/** A member's name, which is seldom escaped. */
function nameIn(raw) {
  const name = raw.slice(1, -1);
  return MEMBERS.includes(name) ? name : parseJson(raw);
}

function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch (thrown) {
    throw invalidJson(messageOf(thrown));
  }
}

/** Another member after the value, as far as it can be told without reading the value. */
const LATER_MEMBER = /"(?:key|expirationTtl|expiration|metadata)"\s*:/;

/**
 * The value that begins at `start` if no other member follows: then it ends with the object, and need not be searched
 * for its end, which for a large one would take as long as parsing it.
 */
function lastMember(text, start) {
  if (LATER_MEMBER.test(text.slice(Math.max(start, text.length - 2 * MAX_METADATA)))) return undefined;
  let end = text.lastIndexOf("}");
  while (isBlank(text.charCodeAt(end - 1))) end -= 1;
  try {
    return { start, end, parsed: JSON.parse(text.slice(start, end)) };
  } catch {
    return undefined;
  }
}

/** The value that begins at `start`. */
function rangeAt(text, start) {
  const end = endOfValue(text, start);
  return { start, end, parsed: parseJson(text.slice(start, end)) };
}

function checkType(text, name, member) {
  const { start, end, parsed } = member;
  if (parsed === null) return;
  if (name === "key") {
    if (typeof parsed !== "string") throw wrongType(text, member, "a string");
    if (!parsed.isWellFormed()) throw invalidJson(`lone surrogate in hex escape${placeOf(text, end)}`);
  }
  const isNumber = name === "expirationTtl" || name === "expiration";
  // `60.0` is no whole number.
  if (isNumber && !/^\d+$/.test(text.slice(start, end))) throw wrongType(text, member, "u64");
}

function skipBlanks(text, from) {
  let at = from;
  while (isBlank(text.charCodeAt(at))) at += 1;
  return at;
}

function isBlank(character) {
  return character === 0x20 || character === 0x0a || character === 0x0d || character === 0x09;
}

/** Goes past a character that must be there. */
function skipOne(text, at, character) {
  if (text.charCodeAt(at) === character) return at + 1;
  throw invalidJson(`expected \`${String.fromCharCode(character)}\`${placeOf(text, at)}`);
}

/** Where a string ends whose opening quotation mark is at `start`: at the next one that no backslash quotes. */
function endOfString(text, start) {
  let end = text.indexOf('"', start + 1);
  while (end >= 0) {
    let before = end - 1;
    while (text.charCodeAt(before) === BACKSLASH) before -= 1;
    if ((end - before) % 2 === 1) return end + 1;
    end = text.indexOf('"', end + 1);
  }
  return text.length;
}

/** Where a value ends that begins at `start`, if it is one. */
function endOfValue(text, start) {
  let depth = 0;
  let at = start;
  do {
    switch (text.charCodeAt(at)) {
      case QUOTE:
        at = endOfString(text, at);
        break;
      case OPENING_BRACE:
      case OPENING_BRACKET:
        depth += 1;
        at += 1;
        break;
      case CLOSING_BRACE:
      case CLOSING_BRACKET:
        depth -= 1;
        at += 1;
        break;
      default:
        at = depth > 0 ? at + 1 : endOfWord(text, at);
    }
  } while (depth > 0 && at < text.length);
  return at;
}

/** Where a number, a boolean or `null` ends. */
function endOfWord(text, start) {
  let at = start;
  while (/[\w+.-]/.test(text.charAt(at))) at += 1;
  return at;
}

/** A member of another type than it must have, in the words that the Rust Worker's parser has for it. */
function wrongType(text, { start, end }, expected) {
  const raw = text.slice(start, end);
  const isCompound = raw.startsWith("[") || raw.startsWith("{");
  const isInteger = /^-?\d+$/.test(raw);
  const wrong = isInteger && expected === "u64" ? "value" : "type";
  const place = placeOf(text, isCompound ? start : end);
  return invalidBody(`invalid ${wrong}: ${typeOf(raw, isInteger)}, expected ${expected}${place}`);
}

function typeOf(raw, isInteger) {
  if (isInteger) return `integer \`${raw}\``;
  if (raw.startsWith("[")) return "sequence";
  if (raw.startsWith("{")) return "map";
  if (raw.startsWith('"')) return `string ${raw}`;
  if (raw === "null") return raw;
  if (raw === "true" || raw === "false") return `boolean \`${raw}\``;
  const number = Number(raw);
  return `floating point \`${Number.isInteger(number) ? number.toFixed(1) : number}\``;
}

/** The line and the column, in bytes, up to which a text was read. */
function placeOf(text, at) {
  const lines = text.slice(0, at).split("\n");
  return ` at line ${lines.length} column ${encoder.encode(lines.at(-1)).length}`;
}

// Stats.

const WINDOW_DAYS = 30;

/** `GET /stats`: what a customer has stored, and done. Counted by listing what is really there, all of it. */
async function stats(env) {
  const bucket = filesOf(env);
  const namespace = dataOf(env);
  const [files, kvKeys, usage] = await Promise.all([countFiles(bucket), countData(namespace), totalUsage(namespace)]);
  const byOperation = {};
  let totalOperations = 0;
  for (const operation of OPERATIONS) {
    const count = usage.counts.get(operation);
    if (count === undefined) continue;
    byOperation[operation] = count;
    totalOperations += count;
  }
  const lastActivity = usage.last > 0 ? new Date(usage.last).toISOString() : null;
  const activity = { totalOperations, lastActivity, byOperation, windowDays: WINDOW_DAYS };
  return jsonReply(JSON.stringify({ files, activity, storage: { kvKeys, r2Objects: files.count } }));
}

async function countFiles(bucket) {
  const files = { count: 0, totalSize: 0 };
  let cursor;
  do {
    const list = await r2List(bucket, cursor === undefined ? {} : { cursor });
    files.count += list.objects.length;
    for (const { size } of list.objects) files.totalSize += size;
    cursor = list.truncated ? list.cursor : undefined;
  } while (cursor !== undefined);
  return files;
}

async function countData(namespace) {
  let count = 0;
  let cursor;
  do {
    const list = await kvPage(namespace, DATA_PREFIX, MAX_LIMIT, cursor);
    count += list.keys.length;
    cursor = moreOf(list);
  } while (cursor !== undefined);
  return count;
}

// Usage: counted in memory, and from there to KV now and then. No operation costs a write of its own, and none is read,
// changed and written back, which would lose one of two at once.

/** What is counted, in the order in which it is listed. */
const OPERATIONS = [
  "abortUpload",
  "batchDatabase",
  "completeUpload",
  "createUpload",
  "deleteData",
  "deleteFile",
  "getData",
  "getFile",
  "listData",
  "listFiles",
  "queryDatabase",
  "setData",
  "uploadFile",
  "uploadPart",
];

/** Where KV keeps what each isolate has counted. */
const USAGE_PREFIX = "usage/";

/** How long an operation may wait to be written, in milliseconds. */
const INTERVAL = 5000;

/** A write that was due this long ago will not happen: its request was cut short. */
const OVERDUE = 30_000;

/** What this isolate has counted, under the id that it makes up at its first operation. */
const counted = { isolate: undefined, counts: new Map(), last: 0, due: undefined };

/** Counts an operation that succeeded. */
function count(operation, env, ctx) {
  const now = Date.now();
  counted.counts.set(operation, (counted.counts.get(operation) ?? 0) + 1);
  counted.last = Math.max(counted.last, now);
  if (counted.due !== undefined && now < counted.due + OVERDUE) return;
  counted.due = now + INTERVAL;
  ctx.waitUntil(flushLater(env));
}

function isolate() {
  counted.isolate ??= crypto.randomUUID();
  return counted.isolate;
}

async function flushLater(env) {
  await scheduler.wait(INTERVAL);
  // What is counted from here on makes the next write due.
  counted.due = undefined;
  // A customer without a KV namespace has its operations counted in memory alone.
  if (env.USER_KV == null) return;
  const metadata = { n: Object.fromEntries([...counted.counts].sort()), t: counted.last };
  const expirationTtl = WINDOW_DAYS * 24 * 60 * 60;
  try {
    await kv(env.USER_KV.put(USAGE_PREFIX + isolate(), "", { expirationTtl, metadata }));
  } catch (problem) {
    problem.log("");
  }
}

/** All isolates' operations: the others' as they have written them, this one's as they are. */
async function totalUsage(namespace) {
  const own = USAGE_PREFIX + isolate();
  const total = { counts: new Map(), last: 0 };
  let cursor;
  do {
    const list = await kvPage(namespace, USAGE_PREFIX, MAX_LIMIT, cursor);
    for (const { name, metadata } of list.keys) {
      // Metadata that is none of ours counts for nothing.
      if (name !== own && isUsage(metadata)) addUsage(total, Object.entries(metadata.n), metadata.t);
    }
    cursor = moreOf(list);
  } while (cursor !== undefined);
  addUsage(total, counted.counts, counted.last);
  return total;
}

function addUsage(total, counts, last) {
  for (const [operation, count] of counts) total.counts.set(operation, (total.counts.get(operation) ?? 0) + count);
  total.last = Math.max(total.last, last);
}

function isUsage(metadata) {
  if (typeof metadata?.n !== "object" || metadata.n === null || Array.isArray(metadata.n)) return false;
  const counts = Object.values(metadata.n);
  return typeof metadata.t === "number" && counts.every((count) => Number.isSafeInteger(count) && count >= 0);
}

// Replies.

/** Copied for each reply, which takes less than making them of names and values. */
const JSON_HEADERS = new Headers({ "Content-Type": "application/json", "Cache-Control": "no-store", Vary: VARY });

function jsonReply(body) {
  return new Response(body, { headers: JSON_HEADERS });
}

/** What was to be deleted is not there (any more). */
function deleted() {
  return jsonReply('{"success":true}');
}

/** What went wrong, as RFC 9457 has it; `cause` is for the log alone. No `Error`: its stack would cost the most. */
class Problem {
  static #TITLES = {
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    411: "Length Required",
    412: "Precondition Failed",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    416: "Range Not Satisfiable",
    501: "Not Implemented",
    503: "Service Unavailable",
  };

  constructor(status, code, detail, { header, cause } = {}) {
    this.status = status;
    this.code = code;
    this.detail = detail;
    this.header = header;
    this.cause = cause;
  }

  reply(requestId) {
    const { status, code, detail } = this;
    const title = Problem.#TITLES[status];
    const body = JSON.stringify({ type: "about:blank", title, status, detail, code, requestId });
    const headers = { "Content-Type": "application/problem+json", "Cache-Control": "no-store", Vary: VARY };
    if (this.header !== undefined) headers[this.header[0]] = this.header[1];
    return new Response(body, { status, headers });
  }

  /** Logs a problem that has a cause, which is to say one that the client is not to blame for. */
  log(requestId) {
    if (this.cause === undefined) return;
    const { cause, code, status } = this;
    console.error(JSON.stringify({ cause, code, level: "error", requestId, status }));
  }
}

function missingKey() {
  return new Problem(400, "missing_key", "a `key` is required");
}

function invalidKeyLength(maxBytes) {
  return new Problem(400, "invalid_key", `\`key\` must be 1 to ${maxBytes} bytes long`);
}

function invalidKeyEncoding() {
  return new Problem(400, "invalid_key", "`key` must be UTF-8, percent-encoded in a URL");
}

function invalidParameter(reason) {
  return new Problem(400, "invalid_parameter", reason);
}

function invalidJson(error) {
  return new Problem(400, "invalid_json", `the body is not valid JSON: ${error}`);
}

function invalidBody(reason) {
  return new Problem(400, "invalid_body", `the body is not what this route takes: ${reason}`);
}

function brokenOff(thrown) {
  return invalidBody(`it could not be read to its end (${messageOf(thrown)})`);
}

function invalidForm(reason) {
  return new Problem(400, "invalid_form", `the form is not what this route takes: ${reason}`);
}

/** A form that breaks off is a bad form. */
function brokenForm(thrown) {
  return invalidForm(brokenOff(thrown).detail);
}

function invalidPart(reason) {
  const rule = "parts are numbered from 1 to 10000, and all but the last have the same size of at least 5 MiB";
  return new Problem(400, "invalid_part", `${reason}; ${rule}`);
}

function fileNotFound() {
  return new Problem(404, "file_not_found", "there is no file with this key");
}

function uploadNotFound() {
  const detail = "there is no such upload of this key, or it was completed or aborted";
  return new Problem(404, "upload_not_found", detail);
}

function methodNotAllowed(allow) {
  return new Problem(405, "method_not_allowed", `this route takes ${allow}`, { header: ["Allow", allow] });
}

function preconditionFailed() {
  const detail = "the file is not as the request's conditions (If-Match and others) want it";
  return new Problem(412, "precondition_failed", detail);
}

function tooLarge(what, limit) {
  return new Problem(413, "too_large", `${what} may have ${limit} bytes at most`);
}

function rangeNotSatisfiable(size) {
  return new Problem(416, "range_not_satisfiable", `the file has ${size} bytes; the range is not among them`, {
    header: ["Content-Range", `bytes */${size}`],
  });
}

function notAttached(what) {
  return new Problem(501, "binding_not_attached", `this customer has no ${what}`);
}

function unavailable(thrown) {
  return new Problem(503, "storage_unavailable", "the storage did not answer as it should; try again", {
    header: ["Retry-After", "1"],
    cause: messageOf(thrown),
  });
}

const R2_INTERNAL_ERROR = 10_001;
const R2_NO_SUCH_UPLOAD = 10_024;

/** R2 says what went wrong by a number at the end of the text. */
function r2Code(thrown) {
  const [, code] = /\((\d+)\)$/.exec(messageOf(thrown)) ?? [];
  return code === undefined ? undefined : Number(code);
}

function r2Problem(thrown) {
  switch (r2Code(thrown)) {
    case 10_011:
      return invalidPart("a part is smaller than 5 MiB");
    case 10_012:
      return invalidParameter("the headers to keep with the file are longer than 8 KiB together");
    case 10_020:
      return invalidKeyEncoding();
    case R2_NO_SUCH_UPLOAD:
      return uploadNotFound();
    case 10_025:
      return invalidPart("a part was not uploaded, or has another etag");
    case 10_048:
      return invalidPart("the parts do not fit together");
    case 100_100:
      return tooLarge("a file in one piece", MAX_PUT);
    default:
      return unavailable(thrown);
  }
}

/** What a thrown value says. */
function messageOf(thrown) {
  return typeof thrown?.message === "string" ? thrown.message : String(thrown);
}
