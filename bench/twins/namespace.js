// The benchmark's dispatch namespace: a wrapped binding whose inner bindings are the customer Workers.
export default function namespace(customers) {
  return {
    get(name) {
      return customers[name] ?? { fetch: () => Promise.reject(new Error("Worker not found.")) };
    },
  };
}
