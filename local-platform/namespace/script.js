// Runs in workerd, as the wrapper around the inner bindings: a service binding to a Worker in another process.
export default function makeService({ port, settings: { socket, service, entrypoint } }) {
  // A new connection for each call: one belongs to the request that made it.
  const method = (name) => (...parameters) =>
    port.connect(`unix:${socket}`).getEntrypoint(service, entrypoint)[name](...parameters);
  // The runtime looks for these in each binding, and means no method of the Worker.
  const isOwn = (name) => typeof name === "symbol" || name === "then" || name === "toJSON";
  return new Proxy({}, { get: (_target, name) => (isOwn(name) ? undefined : method(name)) });
}
