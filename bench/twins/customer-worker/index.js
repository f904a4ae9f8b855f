/**
 * The twin of customer-worker/: the same work in plain JavaScript, to measure what Rust and Wasm cost a request.
 *
 * For the requests that the benchmark sends, it makes the same checks, sends the same reply and performs the same
 * storage operations. It rejects every other request with a short 4xx.
 */

import { WorkerEntrypoint } from "cloudflare:workers";

import { getData, listData, setData } from "./data.js";
import { getFile, listFiles, putFile } from "./files.js";
import { uploadForm } from "./forms.js";
import { Problem, jsonReply, unsupported } from "./replies.js";
import { MAX_DATA_KEY, MAX_FILE_KEY, keyIn, parseQuery, parseUrl, requestId } from "./requests.js";
import { count, stats } from "./stats.js";

const VERSION = "0.1.0";

/** A class, as the measured Worker is one: the runtime creates an instance for each request. */
export default class UserWorker extends WorkerEntrypoint {
  fetch(request) {
    const reply = handle(request, this.env, this.ctx);
    // When a client disconnects during an upload, only `waitUntil` work continues.
    if (request.body !== null) this.ctx.waitUntil(reply);
    return reply;
  }
}

async function handle(request, env, ctx) {
  try {
    return await route(request, env, ctx);
  } catch (thrown) {
    if (!(thrown instanceof Problem)) throw thrown;
    return thrown.reply(requestId(request.headers));
  }
}

/** Calls the route's handler, and counts the operation if it succeeds. */
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
      if (method === "POST") return counted("uploadFile", await uploadForm(request, env));
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
