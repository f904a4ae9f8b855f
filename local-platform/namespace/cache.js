// The Cache API of the scripts' processes: each script has caches of its own. `MF-Script` comes from the configuration of the
// script's process, which overwrites what a script sends.
export default {
  fetch(request, env) {
    const headers = new Headers(request.headers);
    const [script, name] = [headers.get("MF-Script"), headers.get("cf-cache-namespace")];
    headers.delete("MF-Script");
    headers.set("cf-cache-namespace", name === null ? `${script}:default` : `${script}:named:${name}`);
    return env.CACHE.fetch(new Request(request, { headers }));
  },
};
