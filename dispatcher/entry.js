import { configure, configured, fetch } from "./index.js";

export default {
  /** Hands over with each request what each is asked for: to be asked by Wasm would cost more than to answer. */
  fetch(request, env) {
    const { method, url, headers } = request;
    const id = headers.get("CF-Ray") ?? headers.get("X-Request-Id");
    const isFromWorker = headers.has("CF-Worker");
    look(env);
    if (configured() !== version) configure(version, text);
    return fetch(request, env, Date.now(), method, url, id, headers.get("X-User-ID"), isFromWorker);
  },
};

/** What was last found in `env`, what was made of it, and how often that has changed. */
let settings = [];
let text = "";
let version = 0;

/**
 * Looks at the variables of most requests, and whether what is optional is bound: at every request, because an isolate that runs may
 * be given others (https://developers.cloudflare.com/workers/runtime-apis/bindings/#making-changes-to-bindings).
 */
function look(env) {
  const { ALLOWED_ORIGINS, AUTH, DEFAULT_CUSTOMER, OUTBOUND, SCRIPT_PREFIX, ANALYTICS, CUSTOMERS, RATE_LIMIT_DEFAULT } = env;
  const [origins, auth, customer, outbound, prefix, analytics, customers, limiter] = settings;
  if (
    origins !== ALLOWED_ORIGINS || auth !== AUTH || customer !== DEFAULT_CUSTOMER || outbound !== OUTBOUND ||
    prefix !== SCRIPT_PREFIX || analytics !== ANALYTICS || customers !== CUSTOMERS || limiter !== RATE_LIMIT_DEFAULT
  ) {
    settings = [ALLOWED_ORIGINS, AUTH, DEFAULT_CUSTOMER, OUTBOUND, SCRIPT_PREFIX, ANALYTICS, CUSTOMERS, RATE_LIMIT_DEFAULT];
    const now = lines(settings.slice(0, 5), settings.slice(5));
    if (now === text) return;
    text = now;
    version += 1;
  }
}

/**
 * Each of the variables that is there as a line of its number, a colon and its value, and each of the bindings as a line of its own
 * number. A variable that is not a string, as wrangler files may have it, is the JSON that it is. A line feed means what a space does
 * in all of them.
 */
function lines(variables, bindings) {
  let text = "";
  for (const [number, variable] of variables.entries()) {
    if (variable == null) continue;
    const value = typeof variable === "string" ? variable : (JSON.stringify(variable) ?? "");
    text += `${number}:${value.replaceAll("\n", " ")}\n`;
  }
  for (const [number, binding] of bindings.entries()) {
    if (binding != null) text += `${variables.length + number}:\n`;
  }
  return text;
}
