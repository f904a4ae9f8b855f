// A Rust future whose client has gone away is never resumed: it is dropped once nothing can resume it any more.
const abandoned = new FinalizationRegistry(({ resume, task }) => resume(task, undefined, 2));

/**
 * Runs a Rust future to its end: each promise that it waits for is awaited here, in the engine's own way, which costs less
 * than callbacks that are made for each of them.
 */
export async function drive(resume, task, awaited) {
  while (awaited instanceof Promise) {
    let settled;
    let rejected = 0;
    try {
      settled = await awaited;
    } catch (reason) {
      settled = reason;
      rejected = 1;
    }
    awaited = resume(task, settled, rejected);
  }
  return awaited;
}

/** The same for a future that is not left behind. */
export async function watch(resume, task, awaited) {
  const alive = {};
  abandoned.register(alive, { resume, task }, alive);
  try {
    return await drive(resume, task, awaited);
  } finally {
    abandoned.unregister(alive);
  }
}
