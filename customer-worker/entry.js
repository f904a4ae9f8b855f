import { WorkerEntrypoint } from "cloudflare:workers";
import * as worker from "./index.js";

/** The customer Worker's entrypoint. Other Workers inside the platform can call only these methods over RPC. */
export class UserWorker extends WorkerEntrypoint {
  fetch(request) {
    return worker.fetch(request, this.env, this.ctx);
  }
  uploadFile(key, content) {
    return worker.uploadFile(this.env, this.ctx, key, content);
  }
  getFile(key) {
    return worker.getFile(this.env, this.ctx, key);
  }
  deleteFile(key) {
    return worker.deleteFile(this.env, this.ctx, key);
  }
  listFiles() {
    return worker.listFiles(this.env, this.ctx);
  }
  setData(key, value) {
    return worker.setData(this.env, this.ctx, key, value);
  }
  getData(key) {
    return worker.getData(this.env, this.ctx, key);
  }
  deleteData(key) {
    return worker.deleteData(this.env, this.ctx, key);
  }
  listData() {
    return worker.listData(this.env, this.ctx);
  }
  getStats() {
    return worker.getStats(this.env, this.ctx);
  }
  queryDatabase(sql, params) {
    return worker.queryDatabase(this.env, this.ctx, sql, params);
  }
}

export default UserWorker;
