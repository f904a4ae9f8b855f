/**
 * `GET /stats`, and the usage counts behind it. Operations are counted in memory. Each isolate writes its counts to KV
 * after an interval, so that no operation needs a write of its own.
 */

import { jsonReply, unsupported } from "./replies.js";
import { DATA_PREFIX, MAX_LIMIT } from "./requests.js";

const WINDOW_DAYS = 30;

const USAGE_PREFIX = "usage/";

/** How long a count may stay in memory before it is written, in milliseconds. */
const INTERVAL = 5000;

/** A write that is overdue by this many milliseconds counts as lost: the runtime stopped it with its request. */
const OVERDUE = 30_000;

const usageOfIsolate = { id: undefined, counts: new Map(), last: 0, due: undefined };

/** Returns how much is stored, and how often each operation was used. */
export async function stats(env) {
  const isolate = isolateId();
  const [files, data, usage] = await Promise.all([
    env.USER_R2.list({}),
    env.USER_KV.list({ prefix: DATA_PREFIX, limit: MAX_LIMIT }),
    env.USER_KV.list({ prefix: USAGE_PREFIX, limit: MAX_LIMIT }),
  ]);
  if (files.truncated || !data.list_complete || !usage.list_complete) throw unsupported("list");
  const totalSize = files.objects.reduce((sum, { size }) => sum + size, 0);
  const total = { counts: new Map(), last: 0 };
  for (const { name, metadata } of usage.keys) {
    if (name !== USAGE_PREFIX + isolate) addUsage(total, Object.entries(metadata.n), metadata.t);
  }
  addUsage(total, usageOfIsolate.counts, usageOfIsolate.last);

  const byOperation = Object.fromEntries([...total.counts].sort());
  const totalOperations = Object.values(byOperation).reduce((sum, count) => sum + count, 0);
  const lastActivity = total.last > 0 ? new Date(total.last).toISOString() : null;
  const count = files.objects.length;
  return jsonReply(
    JSON.stringify({
      files: { count, totalSize },
      activity: { totalOperations, lastActivity, byOperation, windowDays: WINDOW_DAYS },
      storage: { kvKeys: data.keys.length, r2Objects: count },
    }),
  );
}

function addUsage(total, counts, last) {
  for (const [operation, count] of counts) total.counts.set(operation, (total.counts.get(operation) ?? 0) + count);
  total.last = Math.max(total.last, last);
}

/** Counts an operation, and schedules the next write of the counts if none is scheduled. */
export function count(operation, env, ctx) {
  const now = Date.now();
  const { counts, due } = usageOfIsolate;
  counts.set(operation, (counts.get(operation) ?? 0) + 1);
  usageOfIsolate.last = Math.max(usageOfIsolate.last, now);
  if (due !== undefined && now < due + OVERDUE) return;
  usageOfIsolate.due = now + INTERVAL;
  ctx.waitUntil(writeUsage(env));
}

function isolateId() {
  usageOfIsolate.id ??= crypto.randomUUID();
  return usageOfIsolate.id;
}

async function writeUsage(env) {
  await scheduler.wait(INTERVAL);
  usageOfIsolate.due = undefined;
  const metadata = { n: Object.fromEntries([...usageOfIsolate.counts].sort()), t: usageOfIsolate.last };
  await env.USER_KV.put(USAGE_PREFIX + isolateId(), "", { expirationTtl: WINDOW_DAYS * 24 * 60 * 60, metadata });
}
