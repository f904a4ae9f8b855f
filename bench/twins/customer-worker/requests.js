/** Reads URLs, keys and headers of requests. */

import { Problem, invalid, unsupported } from "./replies.js";

export const MIB = 1024 * 1024;

/** R2's limit for keys, in bytes of UTF-8. */
export const MAX_FILE_KEY = 1024;

/** The prefix of a customer's keys in its KV namespace. */
export const DATA_PREFIX = "data/";

/** KV's limit for keys, in bytes of UTF-8, without the prefix. */
export const MAX_DATA_KEY = 512 - DATA_PREFIX.length;

/** The maximum number of entries in a page of a list. */
export const MAX_LIMIT = 1000;

export const encoder = new TextEncoder();
export const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const REQUEST_ID = /^[\w.:=+/@-]{1,128}$/;

export function requestId(headers) {
  const id = headers.get("CF-Ray") ?? "";
  return REQUEST_ID.test(id) ? id : "";
}

/** Splits a URL that the runtime has already parsed. `new URL` would cost more than a small route. */
export function parseUrl(url) {
  const path = url.indexOf("/", url.indexOf("://") + 3);
  const query = url.indexOf("?", path);
  if (query < 0) return { path: url.slice(path), query: "" };
  return { path: url.slice(path, query), query: url.slice(query + 1) };
}

const NO_PARAMETERS = new Map();

/** Returns the decoded parameters of a query. Rejects a parameter that occurs twice. */
export function parseQuery(query) {
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

export function checkKey(key, maxBytes) {
  // A UTF-16 code unit is at most three bytes of UTF-8.
  const fits = key.length * 3 <= maxBytes || encoder.encode(key).length <= maxBytes;
  if (key === "" || !fits || !key.isWellFormed()) throw invalid("key");
  return key;
}

export function keyIn(parameters, maxBytes) {
  const key = parameters.get("key");
  return key === undefined ? undefined : checkKey(key, maxBytes);
}

/** Returns the options of a list's first page. The twin supports no parameters of lists. */
export function pageOf(parameters) {
  const parameter =
    parameters.get("include") ??
    parameters.get("prefix") ??
    parameters.get("delimiter") ??
    parameters.get("cursor") ??
    parameters.get("limit");
  if (parameter !== undefined) throw unsupported("parameter");
  return { limit: MAX_LIMIT };
}

/** Returns `Content-Length` as a number. The twin does not support bodies without one. */
export function contentLength(headers) {
  const length = headers.get("Content-Length");
  if (length === null || !/^\d+$/.test(length)) throw unsupported("body");
  return Number(length);
}

/** Checks the media type of a request's body, and returns the complete `Content-Type`. */
export function requireType(headers, isSupported) {
  const contentType = headers.get("Content-Type");
  if (contentType === null || !isSupported(contentType.split(";", 1)[0].trim().toLowerCase())) {
    throw new Problem(415, "Unsupported Media Type", "unsupported_media_type");
  }
  return contentType;
}

/** Returns the etags of `If-None-Match`. The twin supports no other precondition. */
export function conditionsOf(headers) {
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
