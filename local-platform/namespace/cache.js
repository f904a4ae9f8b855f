// The Cache API for the scripts' processes. It keeps the caches of scripts apart. `MF-Script` is set by the
// configuration of the script's process and replaces any value that the script sends.
export default {
  fetch(request, env) {
    const headers = new Headers(request.headers);
    const [script, name] = [headers.get("MF-Script"), headers.get("cf-cache-namespace")];
    headers.delete("MF-Script");
    headers.set("cf-cache-namespace", name === null ? `${script}:default` : `${script}:named:${name}`);
    return env.CACHE.fetch(new Request(request, { headers }));
  },
};
