/** `/files`, except forms. */

import { Problem, VARY, invalid, jsonReply, unsupported } from "./replies.js";
import { MAX_FILE_KEY, MIB, conditionsOf, contentLength, keyIn, pageOf } from "./requests.js";

export const DEFAULT_TYPE = "application/octet-stream";

/** The header values that can be stored with a file. */
export const VISIBLE = /^[ -~\t]{0,1024}$/;

/** R2's limit for one `put`, in bytes. */
const MAX_PUT = 5 * 1024 * MIB - 5 * MIB;

/** `GET /files?key=`. The bytes go from R2 to the client in the runtime's own stream. */
export async function getFile(request, env, key) {
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
export async function putFile(request, env, parameters) {
  const { headers } = request;
  const key = keyIn(parameters, MAX_FILE_KEY);
  if (key === undefined) throw invalid("key");
  const httpMetadata = {
    contentType: storedHeader(headers, "Content-Type")?.trim() || DEFAULT_TYPE,
    cacheControl: storedHeader(headers, "Cache-Control"),
    contentDisposition: storedHeader(headers, "Content-Disposition"),
    contentEncoding: storedHeader(headers, "Content-Encoding"),
    contentLanguage: storedHeader(headers, "Content-Language"),
  };
  if (storedHeader(headers, "Expires") !== undefined) throw unsupported("header");
  if (conditionsOf(headers) !== undefined) throw unsupported("condition");
  if (contentLength(headers) > MAX_PUT) throw invalid("length");
  const stored = await env.USER_R2.put(key, request.body ?? "", { httpMetadata });
  return storedReply(stored, httpMetadata);
}

/** Returns a header of an upload that is stored with the file. */
function storedHeader(headers, name) {
  const value = headers.get(name);
  if (value === null || value === "") return undefined;
  if (!VISIBLE.test(value)) throw invalid("header");
  return value;
}

export function storedReply({ key, size, etag }, { contentType }) {
  return jsonReply(JSON.stringify({ success: true, key, size, etag, contentType }));
}

/** `GET /files`: the first page of files. */
export async function listFiles(env, parameters) {
  const list = await env.USER_R2.list(pageOf(parameters));
  const files = list.objects.map(({ key, size, uploaded, etag }) => {
    return { key, size, uploaded: uploaded.toISOString(), etag };
  });
  return jsonReply(JSON.stringify({ files, prefixes: list.delimitedPrefixes, truncated: list.truncated }));
}
