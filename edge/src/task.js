// A Rust future whose client has gone away is never resumed: it is dropped once nothing can resume it any more.
const abandoned = new FinalizationRegistry(({ resume, task }) => resume(task, undefined, 2));

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
export async function drive(resume, task, promise) {
  for (;;) {
    let settled;
    let rejected = 0;
    try {
      settled = await promise;
    } catch (reason) {
      settled = reason;
      rejected = 1;
    }
    const step = resume(task, settled, rejected);
    if (step instanceof Failed) throw step.reason;
    if (!(step instanceof Waiting)) return step;
    ({ promise } = step);
  }
}

/** The same for a future that is not left behind. */
export async function watch(resume, task, promise) {
  const alive = {};
  abandoned.register(alive, { resume, task }, alive);
  try {
    return await drive(resume, task, promise);
  } finally {
    abandoned.unregister(alive);
  }
}
