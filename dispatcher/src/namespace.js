/** Calls a Worker of a dispatch namespace. */
export function forward(env, script, options, request) {
  return env.DISPATCHER.get(script, {}, options ?? {}).fetch(request);
}
