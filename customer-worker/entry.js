import { WorkerEntrypoint } from "cloudflare:workers";
import * as worker from "./index.js";

/** What callers inside the platform can call is what is named here. */
class UserWorker extends WorkerEntrypoint {
  fetch(request) {
    return worker.fetch(request);
  }
}

for (const method of [
  "uploadFile",
  "getFile",
  "deleteFile",
  "listFiles",
  "setData",
  "getData",
  "deleteData",
  "listData",
  "getStats",
  "queryDatabase",
]) {
  UserWorker.prototype[method] = worker[method];
}

export { UserWorker, UserWorker as default };
