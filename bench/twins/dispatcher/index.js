/**
 * The twin of dispatcher/: the same work in plain JavaScript, to measure what Rust and Wasm cost a request.
 *
 * For the requests that the benchmark sends, it makes the same checks in the same order, sends the same reply and
 * writes the same log line. It rejects every other request with a short 4xx.
 */

const VERSION = "0.1.0";

/** The `Vary` header of the platform's replies. */
const VARY = "X-User-ID, Authorization";

const ROUTES = new Set(["/", "/data", "/files", "/stats"]);

const REQUEST_ID = /^[\w.:=+/@-]{1,128}$/;
const USER_ID = /^[a-z0-9](?:[a-z0-9-]{0,46}[a-z0-9])?$/;

const encoder = new TextEncoder();
const utf8 = new TextDecoder("utf-8", { fatal: true });

export default {
  async fetch(request, env) {
    const context = {
      start: Date.now(),
      path: pathOf(request.url),
      requestId: undefined,
      userId: undefined,
      plan: undefined,
      code: undefined,
    };
    let reply;
    try {
      reply = await forward(request, env, context);
    } catch (thrown) {
      if (!(thrown instanceof Problem)) throw thrown;
      context.code = thrown.code;
      reply = thrown.reply();
    }
    log(request, reply, context);
    return reply;
  },
};

/** Identifies the customer, checks the request, and sends it to the customer's Worker. */
async function forward(request, env, context) {
  const { headers } = request;
  context.requestId = requestId(headers);
  if (usesUnsupportedSettings(env)) throw new Problem(400, "unsupported_setting");

  const userId = headers.get("X-User-ID");
  if (userId === null || !USER_ID.test(userId)) throw new Problem(400, "invalid_user_id");
  context.userId = userId;
  const hasToken = await authenticate(request, env, userId);
  context.plan = "default";

  const reply = await env.DISPATCHER.get(userId, {}, {}).fetch(forwarded(request, hasToken));
  if (reply.headers.get("Vary") !== VARY) throw new Problem(400, "unsupported_reply");
  return reply;
}

/** Returns the path of a URL that the runtime has already parsed. `new URL` would cost more than the rest of the request. */
function pathOf(url) {
  const path = url.indexOf("/", url.indexOf("://") + 3);
  const query = url.indexOf("?", path);
  return url.slice(path, query < 0 ? url.length : query);
}

function requestId(headers) {
  const id = headers.get("CF-Ray");
  if (id === null || !REQUEST_ID.test(id)) throw new Problem(400, "unsupported_request_id");
  return id;
}

/** The dispatcher reads these settings for every request. The benchmark does not set them. */
function usesUnsupportedSettings(env) {
  const setting =
    env.ALLOWED_ORIGINS ??
    env.ANALYTICS ??
    env.CUSTOMERS ??
    env.DEFAULT_CUSTOMER ??
    env.OUTBOUND ??
    env.RATE_LIMIT_DEFAULT ??
    env.SCRIPT_PREFIX;
  return setting !== undefined;
}

/** Returns the request without the token, and without the header by which Cloudflare marks requests from Workers. */
function forwarded(request, hasToken) {
  const isMarked = request.headers.has("CF-Worker");
  if (!hasToken && !isMarked) return request;
  const copy = new Request(request);
  copy.headers.delete("Authorization");
  copy.headers.delete("CF-Worker");
  return copy;
}

// Tokens.

/** Checks the request's token, unless `AUTH` is `trusted-header`. Returns whether there is a token. */
async function authenticate({ headers, method }, env, userId) {
  if (env.AUTH === "trusted-header") return false;
  const keys = keysOf(env.TOKEN_SECRETS);
  const token = parseToken(headers.get("Authorization"));
  if (!(await isSigned(token, keys))) throw invalidToken();
  const { sub, scope, exp, nbf, aud, iss } = parseObject(token.payload);
  const now = Date.now() / 1000;
  const leeway = 60;
  if (typeof sub !== "string" || typeof scope !== "string" || !Number.isFinite(exp)) throw invalidToken();
  if (exp + leeway <= now || (nbf ?? aud ?? iss) !== undefined) throw invalidToken();
  if (sub !== userId) throw new Problem(403, "user_mismatch");
  const required = method === "GET" || method === "HEAD" ? "read" : "write";
  if (!scope.split(" ").includes(required)) throw new Problem(403, "insufficient_scope");
  return true;
}

/** The last value of `TOKEN_SECRETS`, and its keys. They are parsed again when the value changes. */
const cache = { secrets: undefined, keys: [] };

function keysOf(secrets) {
  if (cache.secrets !== secrets) {
    cache.keys = JSON.parse(secrets).map(({ kid, secret }) => ({ kid, secret: fromBase64Url(secret), key: undefined }));
    cache.secrets = secrets;
  }
  return cache.keys;
}

/** Splits `Bearer <header>.<payload>.<signature>` and decodes the parts. */
function parseToken(authorization) {
  const value = authorization?.trim() ?? "";
  const blank = value.indexOf(" ");
  if (blank < 0 || value.slice(0, blank).toLowerCase() !== "bearer") throw invalidToken();
  const token = value.slice(blank + 1).trimStart();
  const first = token.indexOf(".");
  const last = token.lastIndexOf(".");
  if (token.length > 16 * 1024 || first === last) throw invalidToken();
  const { alg, kid, crit } = parseObject(fromBase64Url(token.slice(0, first)));
  if (alg !== "HS256" || typeof kid !== "string" || crit !== undefined) throw invalidToken();
  const payload = fromBase64Url(token.slice(first + 1, last));
  const signature = fromBase64Url(token.slice(last + 1));
  return { kid, payload, signature, signed: token.slice(0, last) };
}

async function isSigned({ kid, signature, signed }, keys) {
  const entry = keys.find((entry) => entry.kid === kid);
  if (entry === undefined) return false;
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  entry.key ??= await crypto.subtle.importKey("raw", entry.secret, algorithm, false, ["verify"]);
  return crypto.subtle.verify("HMAC", entry.key, signature, encoder.encode(signed));
}

/** Decodes base64url without padding. */
function fromBase64Url(text) {
  if (!/^[\w-]*$/.test(text)) throw invalidToken();
  const padded = text.padEnd(Math.ceil(text.length / 4) * 4, "=");
  try {
    return Uint8Array.fromBase64(padded, { alphabet: "base64url", lastChunkHandling: "strict" });
  } catch {
    throw invalidToken();
  }
}

function parseObject(bytes) {
  let value;
  try {
    value = JSON.parse(utf8.decode(bytes));
  } catch {
    throw invalidToken();
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalidToken();
  return value;
}

// Problems and the log.

/** An error reply. Not an `Error`: capturing a stack would cost more than the rest of the request. */
class Problem {
  constructor(status, code) {
    this.status = status;
    this.code = code;
  }

  reply() {
    return new Response(this.code, { status: this.status, headers: { Vary: VARY } });
  }
}

function invalidToken() {
  return new Problem(401, "invalid_token");
}

/** Writes a line of JSON. `JSON.stringify` omits members that are `undefined`. */
function log({ method, headers }, reply, { start, path, requestId, userId, plan, code }) {
  const { status } = reply;
  const line = {
    level: "info",
    requestId,
    userId,
    plan,
    route: ROUTES.has(path) ? path : "other",
    method,
    status,
    ms: Math.max(0, Date.now() - start),
    bytesIn: method === "GET" || method === "HEAD" ? undefined : lengthIn(headers),
    bytesOut: method === "HEAD" || status === 304 ? undefined : lengthIn(reply.headers),
    code,
    version: VERSION,
  };
  console.log(JSON.stringify(line));
}

function lengthIn(headers) {
  const length = headers.get("Content-Length");
  return length !== null && /^\d+$/.test(length) ? Number(length) : undefined;
}
