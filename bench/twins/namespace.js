// The benchmark's dispatch namespace: a wrapped binding that has the customer Workers as inner bindings.
export default function namespace(customers) {
  return {
    get(name) {
      return customers[name] ?? { fetch: () => Promise.reject(new Error("Worker not found.")) };
    },
  };
}
