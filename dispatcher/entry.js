import { fetch, ready } from "./index.js";

export default {
  /** Hands over with each request what each is asked for: to be asked by Wasm would cost more than to answer. */
  fetch(request, env) {
    const { method, url, headers } = request;
    const id = headers.get("CF-Ray") ?? headers.get("X-Request-Id");
    const isFromWorker = headers.has("CF-Worker");
    ready();
    return fetch(request, env, settings(env), Date.now(), method, url, id, headers.get("X-User-ID"), isFromWorker);
  },
};

/**
 * The variables of most requests, and of what is optional that it is bound: each as a line of its number, a colon and its value. One
 * that is not a string, as wrangler files may have them, is the JSON that it is. A line feed means what a space does in all of them.
 */
function settings(env) {
  const { ALLOWED_ORIGINS, AUTH, DEFAULT_CUSTOMER, OUTBOUND, SCRIPT_PREFIX } = env;
  const variables = [ALLOWED_ORIGINS, AUTH, DEFAULT_CUSTOMER, OUTBOUND, SCRIPT_PREFIX];
  let text = "";
  for (let i = 0; i < variables.length; i++) {
    if (variables[i] == null) continue;
    const value = typeof variables[i] === "string" ? variables[i] : (JSON.stringify(variables[i]) ?? "");
    text += `${i}:${value.includes("\n") ? value.replaceAll("\n", " ") : value}\n`;
  }
  if (env.ANALYTICS != null) text += "5:\n";
  if (env.CUSTOMERS != null) text += "6:\n";
  if (env.RATE_LIMIT_DEFAULT != null) text += "7:\n";
  return text;
}
