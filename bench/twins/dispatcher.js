/**
 * The dispatcher in plain JavaScript: the twin of dispatcher/src, for measuring what Rust and Wasm cost per request.
 *
 * It makes the same checks in the same order, the same replies and the same log lines. What it leaves out is public
 * keys: TOKEN_JWKS and TOKEN_JWKS_URL, and with them RS256, ES256 and EdDSA.
 */

const VERSION = "0.1.0";

/** All customers share the same URLs: no cache may hand one the reply that another got. */
const VARY = "X-User-ID, Authorization";

const ROUTES = new Set([
  "/",
  "/data",
  "/db/batch",
  "/db/query",
  "/files",
  "/files/uploads",
  "/files/uploads/complete",
  "/healthz",
  "/openapi.json",
  "/stats",
]);

const REQUEST_ID = /^[\w.:=+/@-]{1,128}$/;
const USER_ID = /^[a-z0-9](?:[a-z0-9-]{0,46}[a-z0-9])?$/;
const PLAN = /^[a-z][a-z0-9-]{0,31}$/;
const BASE64_URL = /^[\w-]*$/;
const WHOLE_NUMBER = /^\+?\d+$/;

const encoder = new TextEncoder();
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export default {
  async fetch(request, env) {
    const start = Date.now();
    const asked = new Asked(request);
    let reply;
    let problem;
    try {
      reply = finish(env, asked, await answer(asked, env));
    } catch (thrown) {
      if (!(thrown instanceof Problem)) throw thrown;
      problem = thrown;
      reply = finish(env, asked, problem.reply(asked.id));
    }
    record(env, asked, reply, problem, start);
    return reply;
  },
};

/** A request, what was read of it once, and whom it turned out to be for, as far as it got. */
class Asked {
  constructor(request) {
    this.request = request;
    this.headers = request.headers;
    this.method = request.method;
    this.path = pathOf(request.url);
    const id = requestId(this.headers);
    /** Whether the id is new, and the customer's Worker must be told it. */
    this.isNew = id === undefined;
    this.id = id ?? crypto.randomUUID();
    this.userId = undefined;
    this.plan = undefined;
  }

  /**
   * The request for the customer's Worker, its body left alone. Where nothing has to be changed it is the request
   * itself. A token is nobody's business but the platform's, nor is Cloudflare's mark of what Workers send handed on.
   */
  forwarded(dropAuthorization) {
    const isMarked = this.headers.has("CF-Worker");
    if (!dropAuthorization && !isMarked && !this.isNew) return this.request;
    const copy = new Request(this.request);
    if (dropAuthorization) copy.headers.delete("Authorization");
    if (isMarked) copy.headers.delete("CF-Worker");
    if (this.isNew) copy.headers.set("X-Request-Id", this.id);
    return copy;
  }
}

/** The path of a URL that the runtime has parsed already: parsing it again would cost more than the rest. */
function pathOf(url) {
  const host = url.indexOf("://") + 3;
  const path = url.indexOf("/", host);
  const query = url.indexOf("?", host);
  const hash = url.indexOf("#", host);
  const end = Math.min(query < 0 ? url.length : query, hash < 0 ? url.length : hash);
  return path < 0 || path > end ? "/" : url.slice(path, end);
}

/** A request's id as it stands in its headers: Cloudflare's own where there is one. */
function requestId(headers) {
  for (const name of ["CF-Ray", "X-Request-Id"]) {
    const id = headers.get(name);
    if (id !== null && REQUEST_ID.test(id)) return id;
  }
  return undefined;
}

async function answer(asked, env) {
  if (asked.path === "/healthz") return health(asked.method, env);
  const preflighted = preflight(env, asked);
  if (preflighted !== undefined) return preflighted;

  asked.userId = userId(asked.headers);
  const byToken = await authenticate(env, asked);
  const { script, plan, limits } = await findCustomer(env, asked.userId);
  asked.plan = plan;
  await checkRate(env, asked.userId, plan);

  if (env.DISPATCHER == null) throw internalError("DISPATCHER is not bound");
  const options = {};
  if (limits !== undefined) options.limits = limits;
  if (hasOutbound(env)) options.outbound = { userId: asked.userId, plan };
  try {
    return await env.DISPATCHER.get(script, {}, options).fetch(asked.forwarded(byToken));
  } catch (thrown) {
    throw customerProblem(thrown);
  }
}

/** Two `X-User-ID` headers reach this as one value with a comma in it, which no user id has. */
function userId(headers) {
  const id = headers.get("X-User-ID");
  if (id === null) {
    throw new Problem(400, "missing_user_id", "say which customer the request is for: send the header X-User-ID");
  }
  if (!USER_ID.test(id)) {
    throw new Problem(
      400,
      "invalid_user_id",
      "X-User-ID must be one user id: 1 to 48 of a-z, 0-9 and -, starting and ending with a letter or digit",
    );
  }
  return id;
}

function health(method, env) {
  if (method !== "GET" && method !== "HEAD") {
    throw new Problem(405, "method_not_allowed", "this route takes GET, HEAD", { header: ["Allow", "GET, HEAD"] });
  }
  const version = env.CF_VERSION_METADATA;
  const deployment = version && {
    id: version.id ?? "",
    tag: version.tag ?? "",
    timestamp: version.timestamp ?? "",
  };
  const body = JSON.stringify({ status: "ok", worker: "dispatcher", version: VERSION, deployment });
  return new Response(body, {
    headers: { "Content-Type": "application/json", "Cache-Control": "no-store", Vary: VARY },
  });
}

/**
 * What the dispatch namespace says of a customer's Worker, by its texts alone: that there is none, that it was stopped
 * at a limit, or that it threw.
 */
function customerProblem(thrown) {
  const message = cutOff(messageOf(thrown), 1000);
  if (message.startsWith("Worker not found")) return unknownUser();
  const limits = ["Worker exceeded CPU time limit", "Worker exceeded memory limit", "Too many subrequests"];
  if (limits.some((limit) => message.startsWith(limit))) {
    const detail = "this customer's Worker took more than its limits allow; do less in one request";
    return new Problem(503, "customer_worker_limit", detail, { cause: message });
  }
  return customerWorkerFailed(message);
}

/** A text's beginning of at most so many bytes: log lines that are too long are cut off. */
function cutOff(text, bytes) {
  if (text.length * 3 <= bytes) return text;
  return text.slice(0, encoder.encodeInto(text, new Uint8Array(bytes)).read);
}

// Configuration.

/** A variable or secret as text: one that is not a string, as wrangler files may have them, as the JSON that it is. */
function textOf(value) {
  return typeof value === "string" || value == null ? (value ?? undefined) : JSON.stringify(value);
}

function hasOutbound(env) {
  const outbound = textOf(env.OUTBOUND);
  return outbound !== undefined && outbound !== "" && outbound !== "false";
}

// Who is asking.

/** Checks that a request may be made for a customer, as `AUTH` says. Answers whether a token said so. */
async function authenticate(env, { headers, method, userId }) {
  const auth = textOf(env.AUTH);
  if (auth === "trusted-header") return false;
  if (auth !== undefined && auth !== "" && auth !== "token") {
    throw authNotConfigured(`AUTH is ${JSON.stringify(auth)}, neither token nor trusted-header`);
  }
  const secrets = textOf(env.TOKEN_SECRETS);
  if (secrets === undefined) throw authNotConfigured("none of TOKEN_SECRETS, TOKEN_JWKS and TOKEN_JWKS_URL is set");
  const keys = keyRing(secrets);

  const token = tokenIn(headers.get("Authorization"));
  if (!(await hasSigned(keys, token))) throw invalidToken(NOT_OURS);
  const claims = claimsOf(token.payload);
  checkClaims(claims, textOf(env.TOKEN_AUDIENCE), textOf(env.TOKEN_ISSUER));
  permit(claims, userId, method);
  return true;
}

/** The keys that were parsed last, and the text that they are good for. */
const ring = { source: undefined, keys: [] };

/** The keys of `TOKEN_SECRETS`, parsed and imported once for as long as the text is the same. */
function keyRing(source) {
  if (ring.source !== source) {
    ring.keys = parseSecrets(source);
    ring.source = source;
  }
  return ring.keys;
}

/** Parses `[{"kid","secret"}]`, each secret base64url and at least 32 bytes long. */
function parseSecrets(source) {
  const shape = 'TOKEN_SECRETS is not a list [{"kid","secret"}]';
  const secrets = parseJson(source);
  if (!Array.isArray(secrets)) throw authNotConfigured(shape);
  if (secrets.length === 0) {
    throw authNotConfigured("there is no key to check tokens with among the configured ones");
  }
  if (secrets.length > 64) throw authNotConfigured("more than 64 keys to check tokens with are configured");
  const keys = [];
  for (const entry of secrets) {
    if (!hasOnly(entry, ["kid", "secret"]) || typeof entry.kid !== "string") throw authNotConfigured(shape);
    if (keys.some(({ kid }) => kid === entry.kid)) {
      throw authNotConfigured("two of TOKEN_SECRETS have the same kid");
    }
    if (typeof entry.secret !== "string") throw authNotConfigured(shape);
    const secret = fromBase64Url(entry.secret.replace(/={1,2}$/, ""));
    if (secret === undefined) throw authNotConfigured("a secret of TOKEN_SECRETS is not base64url");
    if (secret.length < 32) throw authNotConfigured("a secret of TOKEN_SECRETS has less than 32 bytes");
    keys.push({ kid: entry.kid, secret, imported: undefined });
  }
  return keys;
}

const NOT_OURS = "the token is malformed, or not signed with a key of this platform";

/** Takes the token out of the value of an `Authorization` header, and parses it (RFC 7515, 7.1). */
function tokenIn(authorization) {
  const value = authorization?.trim() ?? "";
  const blank = value.indexOf(" ");
  const scheme = blank < 0 ? value : value.slice(0, blank);
  if (scheme.toLowerCase() !== "bearer") {
    throw new Problem(401, "missing_token", "send a token: the header Authorization: Bearer <token>", {
      header: ["WWW-Authenticate", 'Bearer realm="platform"'],
    });
  }
  const token = blank < 0 ? "" : value.slice(blank + 1).trimStart();
  const first = token.indexOf(".");
  const last = token.lastIndexOf(".");
  if (token.length > 16 * 1024 || first === last) throw invalidToken(NOT_OURS);
  const [header, payload, signature] = [token.slice(0, first), token.slice(first + 1, last), token.slice(last + 1)].map(
    fromBase64Url,
  );
  const { alg, kid, crit } = parseObject(header) ?? {};
  const isHeader = typeof alg === "string" && (kid == null || typeof kid === "string") && crit == null;
  if (!isHeader || payload === undefined || signature === undefined) throw invalidToken(NOT_OURS);
  return { alg, kid, payload, signature, signed: token.slice(0, last) };
}

/** Whether one of the keys has signed a token. The key decides the algorithm: a token of another is not tried. */
async function hasSigned(keys, { alg, kid, signature, signed }) {
  if (alg !== "HS256") return false;
  const bytes = encoder.encode(signed);
  for (const key of keys) {
    if (kid != null && key.kid !== kid) continue;
    key.imported ??= await importKey(key.secret);
    if (await crypto.subtle.verify("HMAC", key.imported, signature, bytes)) return true;
  }
  return false;
}

function importKey(secret) {
  return crypto.subtle.importKey("raw", secret, { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
}

/** What a token says. To be asked for once its signature is verified, and not before. */
function claimsOf(payload) {
  const claims = parseObject(payload) ?? {};
  const isText = (claim) => claim == null || typeof claim === "string";
  const audience = claims.aud ?? [];
  const wellFormed =
    typeof claims.sub === "string" &&
    Number.isFinite(claims.exp) &&
    (claims.nbf == null || Number.isFinite(claims.nbf)) &&
    (typeof audience === "string" || (Array.isArray(audience) && audience.every((one) => typeof one === "string"))) &&
    isText(claims.iss) &&
    isText(claims.scope);
  if (!wellFormed) {
    throw invalidToken(
      "the token needs `sub` (the user id) and `exp`, and `nbf`, `aud`, `iss` and `scope` as RFC 7519 has them",
    );
  }
  return claims;
}

/** Whether a token is to be taken now, by this platform. Clocks may be a minute apart. */
function checkClaims({ exp, nbf, aud, iss }, audience, issuer) {
  const leeway = 60;
  const now = Date.now() / 1000;
  if (exp + leeway <= now) throw invalidToken("the token has expired");
  if (nbf != null && nbf - leeway > now) throw invalidToken("the token is not valid yet");
  if (audience !== undefined && aud !== audience && !(Array.isArray(aud) && aud.includes(audience))) {
    throw invalidToken("the token is for another audience");
  }
  if (issuer !== undefined && iss !== issuer) throw invalidToken("the token is of another issuer");
}

/** Whether a token allows a request for a customer: `GET` and `HEAD` need the scope `read`, all else `write`. */
function permit({ sub, scope }, userId, method) {
  if (sub !== userId) {
    const detail = "the token is not this X-User-ID's: they must be the same customer";
    throw new Problem(403, "user_mismatch", detail);
  }
  const needed = method === "GET" || method === "HEAD" ? "read" : "write";
  if (!scope?.split(" ").includes(needed)) {
    const detail = `the token does not allow this: it needs the scope \`${needed}\``;
    throw new Problem(403, "insufficient_scope", detail, {
      header: ["WWW-Authenticate", `Bearer realm="platform", error="insufficient_scope", scope="${needed}"`],
    });
  }
}

/** The bytes of unpadded base64url, and of nothing else. */
function fromBase64Url(text) {
  if (!BASE64_URL.test(text)) return undefined;
  try {
    const padded = text.padEnd(Math.ceil(text.length / 4) * 4, "=");
    return Uint8Array.fromBase64(padded, { alphabet: "base64url", lastChunkHandling: "strict" });
  } catch {
    return undefined;
  }
}

// Customers.

/** Finds a customer, with one KV read at most. Where no records are bound, every user id may be a customer. */
async function findCustomer(env, userId) {
  const defaultCustomer = textOf(env.DEFAULT_CUSTOMER);
  const defaults =
    defaultCustomer === undefined
      ? {}
      : parseRecord(defaultCustomer, ["plan", "suspended", "limits"], "DEFAULT_CUSTOMER");
  const record = env.CUSTOMERS == null ? defaults : await readRecord(env.CUSTOMERS, userId);
  if (record.suspended ?? defaults.suspended ?? false) {
    throw new Problem(403, "customer_suspended", "this customer is suspended; ask the platform's operator");
  }
  return {
    script: record.script ?? (textOf(env.SCRIPT_PREFIX) ?? "") + userId,
    plan: record.plan ?? defaults.plan ?? "default",
    limits: limitsOf(record.limits, defaults.limits),
  };
}

async function readRecord(customers, userId) {
  let json;
  try {
    json = await customers.get(userId, { type: "text", cacheTtl: 60 });
  } catch (thrown) {
    throw new Problem(503, "storage_unavailable", "the storage did not answer as it should; try again", {
      header: ["Retry-After", "1"],
      cause: messageOf(thrown),
    });
  }
  if (json === null) throw unknownUser();
  return parseRecord(json, ["script", "plan", "suspended", "limits"], "the customer's record");
}

/** Parses a record. What it does not know is an error: a misspelt `suspended` must not let anybody in. */
function parseRecord(json, names, what) {
  const record = parseJson(json);
  const isLimit = (limit) => limit == null || (Number.isInteger(limit) && limit >= 1 && limit <= 0xffff_ffff);
  const wellFormed =
    hasOnly(record, names) &&
    (record.script == null || typeof record.script === "string") &&
    (record.plan == null || (typeof record.plan === "string" && PLAN.test(record.plan))) &&
    (record.suspended == null || typeof record.suspended === "boolean") &&
    (record.limits == null ||
      (hasOnly(record.limits, ["cpuMs", "subRequests"]) &&
        isLimit(record.limits.cpuMs) &&
        isLimit(record.limits.subRequests)));
  if (!wellFormed) throw internalError(`${what} is malformed`);
  return record;
}

/** What one request may cost, as the dispatch namespace takes it. */
function limitsOf(own, defaults) {
  const cpuMs = own?.cpuMs ?? defaults?.cpuMs;
  const subRequests = own?.subRequests ?? defaults?.subRequests;
  if (cpuMs == null && subRequests == null) return undefined;
  return { ...(cpuMs != null && { cpuMs }), ...(subRequests != null && { subRequests }) };
}

/** Counts a request against its customer's plan: at the binding `RATE_LIMIT_<PLAN>`, under the user id. */
async function checkRate(env, userId, plan) {
  const name = plan === "default" ? "DEFAULT" : plan.toUpperCase().replaceAll("-", "_");
  const limiter = env[`RATE_LIMIT_${name}`];
  if (typeof limiter !== "object" || limiter === null) return;
  let outcome;
  try {
    outcome = await limiter.limit({ key: userId });
  } catch (thrown) {
    // Better too many requests than none.
    logFailure(`RATE_LIMIT_${name} failed: ${messageOf(thrown)}`);
    return;
  }
  if (outcome?.success) return;
  const said = textOf(env[`RATE_PERIOD_${name}`]) ?? "";
  const period = WHOLE_NUMBER.test(said) && Number(said) <= 0xffff_ffff ? Number(said) : 60;
  const detail = `this customer has sent too many requests; try again in ${period} seconds`;
  throw new Problem(429, "rate_limited", detail, { header: ["Retry-After", String(period)] });
}

// Replies.

/** What went wrong, as RFC 9457 has it; `cause` is for the log alone. No `Error`: its stack would cost the most. */
class Problem {
  static #TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
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
}

function authNotConfigured(cause) {
  const detail = "the platform cannot tell who is asking: its operator has not configured how";
  return new Problem(503, "auth_not_configured", detail, { cause });
}

/** A token that is not taken; `reason` says as much of why as the client may know. */
function invalidToken(reason) {
  return new Problem(401, "invalid_token", `${reason}; get a new one`, {
    header: [
      "WWW-Authenticate",
      `Bearer realm="platform", error="invalid_token", error_description="${reason}"`,
    ],
  });
}

function unknownUser() {
  return new Problem(404, "unknown_user", "there is no customer with this X-User-ID; check its spelling");
}

function customerWorkerFailed(cause) {
  const detail = "this customer's Worker failed; try again, or report the requestId";
  return new Problem(502, "customer_worker_failed", detail, { cause });
}

function internalError(cause) {
  return new Problem(500, "internal_error", "the request failed; report the requestId", { cause });
}

// What every reply gets before it goes out.

const ALLOWED_HEADERS =
  "Authorization, Cache-Control, Content-Disposition, Content-Encoding, Content-Language, Content-Type, Expires, " +
  "If-Match, If-Modified-Since, If-None-Match, If-Range, If-Unmodified-Since, Range, traceparent, tracestate, " +
  "X-Request-Id, X-User-ID";

const EXPOSED_HEADERS =
  "Accept-Ranges, Allow, CF-Ray, Content-Disposition, Content-Encoding, Content-Length, Content-Range, ETag, " +
  "Retry-After, WWW-Authenticate";

/** Answers a browser that asks whether a page may send its request, where pages may at all. */
function preflight(env, { method, headers }) {
  if (method !== "OPTIONS") return undefined;
  const list = textOf(env.ALLOWED_ORIGINS);
  const origin = headers.get("Origin");
  if (list === undefined || origin === null || !headers.has("Access-Control-Request-Method")) return undefined;
  const reply = new Response(null, { status: 204, headers: { "Cache-Control": "no-store", Vary: VARY } });
  if (allowedOrigin(list, origin) !== undefined) {
    reply.headers.set("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    reply.headers.set("Access-Control-Allow-Headers", ALLOWED_HEADERS);
    reply.headers.set("Access-Control-Max-Age", "7200");
  }
  return reply;
}

/** A reply with what it lacks; if that is nothing, the reply itself. Its body is handed on as it is. */
function finish(env, asked, reply) {
  const vary = reply.headers.get("Vary") ?? "";
  const origins = textOf(env.ALLOWED_ORIGINS);
  // Handing a connection on to another protocol cannot be copied, and cannot be cached.
  if ((origins === undefined && varies(vary)) || reply.status === 101) return reply;
  let copy;
  try {
    copy = new Response(reply.body, reply);
  } catch (thrown) {
    // A customer's own Worker may hand on a status that nobody may make a reply with.
    throw customerWorkerFailed(`it replied with status ${reply.status}: ${messageOf(thrown)}`);
  }
  if (!varies(vary)) copy.headers.append("Vary", VARY);
  if (origins !== undefined) allowReading(origins, asked.headers.get("Origin"), copy.headers);
  return copy;
}

/** Whether caches are told to tell customers apart. */
function varies(vary) {
  if (vary === VARY) return true;
  const names = vary.split(",").map((name) => name.trim().toLowerCase());
  return names.includes("*") || (names.includes("x-user-id") && names.includes("authorization"));
}

/** Says whether a page may read the reply, whatever a customer's own Worker says of that. */
function allowReading(list, origin, headers) {
  headers.delete("Access-Control-Allow-Origin");
  headers.delete("Access-Control-Allow-Credentials");
  headers.delete("Access-Control-Expose-Headers");
  const allowed = allowedOrigin(list, origin);
  if (allowed !== "*") headers.append("Vary", "Origin");
  if (allowed !== undefined) {
    headers.set("Access-Control-Allow-Origin", allowed);
    headers.set("Access-Control-Expose-Headers", EXPOSED_HEADERS);
  }
}

/** What `Access-Control-Allow-Origin` says to a page of this origin; nothing if it is not on the list. */
function allowedOrigin(list, origin) {
  const entries = list.split(/[,\s]+/);
  if (entries.includes("*")) return "*";
  // A page without an origin of its own says `null`: that is nobody to trust.
  if (origin === null || origin === "null" || origin === "") return undefined;
  const wanted = origin.toLowerCase();
  return entries.some((entry) => entry.replace(/\/$/, "").toLowerCase() === wanted) ? origin : undefined;
}

// What happened.

/** Records a request and its reply: a line in the log, and a data point where a dataset is bound. */
function record(env, { headers, method, path, id, userId, plan }, reply, problem, start) {
  const { status } = reply;
  const comesWithBody = method !== "GET" && method !== "HEAD";
  const goesWithBody = method !== "HEAD" && status !== 101 && status !== 204 && status !== 304;
  const cause = problem?.cause;
  const line = {
    level: cause === undefined ? "info" : "error",
    requestId: id,
    userId,
    plan,
    route: ROUTES.has(path) ? path : "other",
    method,
    status,
    ms: Math.max(0, Date.now() - start),
    bytesIn: comesWithBody ? lengthIn(headers) : undefined,
    bytesOut: goesWithBody ? lengthIn(reply.headers) : undefined,
    code: problem?.code,
    cause,
    version: VERSION,
  };
  const text = JSON.stringify(line);
  if (cause === undefined) console.log(text);
  else console.error(text);
  if (env.ANALYTICS == null) return;
  try {
    env.ANALYTICS.writeDataPoint({
      indexes: [userId ?? ""],
      blobs: [line.route, method, line.code ?? "", plan ?? "", VERSION],
      doubles: [line.ms, status, line.bytesIn ?? 0, line.bytesOut ?? 0],
    });
  } catch (thrown) {
    logFailure(`ANALYTICS failed: ${messageOf(thrown)}`);
  }
}

/** Logs what failed beside a request, which goes on. */
function logFailure(cause) {
  console.error(JSON.stringify({ level: "error", cause }));
}

function lengthIn(headers) {
  const length = headers.get("Content-Length");
  return length !== null && WHOLE_NUMBER.test(length) ? Number(length) : undefined;
}

// Values that somebody else made.

function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The object that bytes of JSON hold. */
function parseObject(bytes) {
  if (bytes === undefined) return undefined;
  try {
    const value = JSON.parse(utf8.decode(bytes));
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a value is an object that has members of these names alone. */
function hasOnly(value, names) {
  return isObject(value) && Object.keys(value).every((name) => names.includes(name));
}

/** What a thrown value says. */
function messageOf(thrown) {
  return typeof thrown?.message === "string" ? thrown.message : String(thrown);
}
