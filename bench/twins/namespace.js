// The dispatch namespace of the benchmark: a wrapped binding around the customers' Workers. An unknown name fails as it does
// in production, at the first call.
export default function namespace(customers) {
  return {
    get(name) {
      return customers[name] ?? { fetch: () => Promise.reject(new Error("Worker not found.")) };
    },
  };
}
