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
  setData,
  uploadFile,
} from "./index.js";

class UserWorker extends WorkerEntrypoint {
  fetch(request) {
    return fetch(request);
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
