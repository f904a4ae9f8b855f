// A service binding to a Worker in another process. Runs in workerd, as the wrapper around the inner bindings.
export default function makeService({ port, settings: { socket, service, entrypoint } }) {
  // Each call makes a new connection, because a connection belongs to the request that made it.
  const method = (name) => (...parameters) =>
    port.connect(`unix:${socket}`).getEntrypoint(service, entrypoint)[name](...parameters);
  // The runtime reads these properties of every binding. They are not methods of the Worker.
  const isOwn = (name) => typeof name === "symbol" || name === "then" || name === "toJSON";
  return new Proxy({}, { get: (_target, name) => (isOwn(name) ? undefined : method(name)) });
}
