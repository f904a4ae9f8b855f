import { WorkerEntrypoint } from "cloudflare:workers";
import {
  deleteData,
  deleteFile,
  fetch,
  getData,
  getFile,
  getStats,
  listData,
  listFiles,
  queryDatabase,
  ready,
  setData,
  uploadFile,
} from "./index.js";

class UserWorker extends WorkerEntrypoint {
  /** Hands over with each request what is read of each: to be asked for it by Wasm would cost more than to read it. */
  fetch(request) {
    ready();
    const sends = request.body !== null;
    const reply = fetch(request, request.method, request.url, sends);
    // When a client goes away while it sends, only what was announced to the runtime goes on: an upload must, to abort.
    if (sends && reply instanceof Promise) this.ctx.waitUntil(reply);
    return reply;
  }
}

// What callers inside the platform can call is what is named here.
Object.assign(UserWorker.prototype, {
  deleteData,
  deleteFile,
  getData,
  getFile,
  getStats,
  listData,
  listFiles,
  queryDatabase,
  setData,
  uploadFile,
});

export { UserWorker as default, UserWorker };
