// wasm-bindgen puts its copy of this file three folders below its glue.
import { resume } from "../../../index.js";

// A Rust future whose client has gone away is never resumed: it is dropped once nothing can resume it any more.
const abandoned = new FinalizationRegistry(({ instance, task }) => resume(instance, task, undefined, 2, 0));

let instances = 0;

/** A number for an instance of the Wasm: none other of this isolate has had it. */
export function nextInstance() {
  return instances++;
}

/** What a Rust future waits for: what it comes to may be anything, a promise included. */
export class Waiting {
  constructor(promise) {
    this.promise = promise;
  }
}

/** That a Rust future failed. */
export class Failed {
  constructor(reason) {
    this.reason = reason;
  }
}

/**
 * Runs a Rust future to its end: each promise that it waits for is awaited here, in the engine's own way, which costs less
 * than callbacks that are made for each of them.
 */
export async function drive(instance, task, promise) {
  for (;;) {
    let settled;
    let rejected = 0;
    try {
      settled = await promise;
    } catch (reason) {
      settled = reason;
      rejected = 1;
    }
    const step = resume(instance, task, settled, rejected, Date.now());
    if (step instanceof Failed) throw step.reason;
    if (!(step instanceof Waiting)) return step;
    ({ promise } = step);
  }
}

/** The same for a future that is not left behind. */
export async function watch(instance, task, promise) {
  const alive = {};
  abandoned.register(alive, { instance, task }, alive);
  try {
    return await drive(instance, task, promise);
  } finally {
    abandoned.unregister(alive);
  }
}
