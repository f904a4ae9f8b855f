// A Rust future whose client has gone away is never resumed: it is dropped once nothing can resume it any more.
const abandoned = new FinalizationRegistry(({ resume, task }) => resume(task, undefined, 2));

/**
 * Runs a Rust future to its end: each promise that it waits for is awaited here, in the engine's own way, which costs less
 * than callbacks that are made for each of them.
 */
export async function drive(resume, task, awaited) {
  const held = { resume, task };
  abandoned.register(held, { resume, task }, held);
  while (awaited instanceof Promise) {
    let settled;
    let rejected = 0;
    try {
      settled = await awaited;
    } catch (reason) {
      settled = reason;
      rejected = 1;
    }
    awaited = held.resume(task, settled, rejected);
  }
  abandoned.unregister(held);
  return awaited;
}
