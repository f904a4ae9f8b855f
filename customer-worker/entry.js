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
    return fetch(request, request.method, request.url, request.body !== null);
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
