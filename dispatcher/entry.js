import { fetch } from "./index.js";

export default {
  /** Hands over with each request what is read of each: to be asked for it by Wasm would cost more than to read it. */
  fetch(request, env) {
    const { method, url, headers } = request;
    const id = headers.get("CF-Ray") ?? headers.get("X-Request-Id");
    return fetch(request, env, method, url, id, headers.get("X-User-ID"), headers.has("CF-Worker"));
  },
};
