/** `/data`: values in KV. */

import { Problem, invalid, jsonReply } from "./replies.js";
import {
  DATA_PREFIX,
  MAX_DATA_KEY,
  MIB,
  checkKey,
  contentLength,
  encoder,
  pageOf,
  requireType,
  utf8,
} from "./requests.js";

/** The maximum lengths of a value and of a body, in bytes. */
const MAX_VALUE = 25 * MIB;
const MAX_BODY = 26 * MIB;

/** Bodies longer than this are large. An isolate holds at most two of them, as it has 128 MB of memory. */
const LARGE_BODY = MIB;
let largeBodies = 0;

/** `GET /data?key=`: the value, byte for byte as it was stored. */
export async function getData(env, key) {
  const { value, metadata } = await env.USER_KV.getWithMetadata(DATA_PREFIX + key, "text");
  if (value === null) throw new Problem(404, "Not Found", "data_not_found", "there is no value with this key");
  const end = metadata == null ? "}" : `,"metadata":${JSON.stringify(metadata)}}`;
  return jsonReply(`{"key":${JSON.stringify(key)},"value":` + value + end);
}

/** `GET /data`: the first page of keys. */
export async function listData(env, parameters) {
  const list = await env.USER_KV.list({ prefix: DATA_PREFIX, ...pageOf(parameters) });
  const keys = list.keys.map(({ name, metadata, expiration }) => {
    return { key: name.slice(DATA_PREFIX.length), metadata: metadata ?? undefined, expiration };
  });
  return jsonReply(JSON.stringify({ keys, truncated: !list.list_complete }));
}

/** `POST /data`: stores a value. */
export async function setData(request, env) {
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
 * Parses `{"key": ..., "value": ...}`. The twin supports the members in this order only. The value is checked and
 * stored byte for byte, so its position in the body is needed.
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
