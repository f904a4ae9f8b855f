/** Forwards a request to a Worker of the dispatch namespace. */
export function forward(env, script, request, options = {}) {
  return env.DISPATCHER.get(script, {}, options).fetch(request);
}
