// Reads and writes the local storage for the local Cloudflare API, which knows the secret of this run: wrangler's own port
// leads to any Worker, so that this one must ask for it itself. The storage is bound under names such as `kv:<id>`; what is
// asked for is in the query.

export default {
  async fetch(request, env) {
    if (request.headers.get("Platform-Storage") !== env.STORAGE_SECRET) return new Response(null, { status: 403 });
    const query = new URL(request.url).searchParams;
    const storage = env[query.get("storage")];
    const options = JSON.parse(query.get("options") ?? "{}");
    try {
      return await operations[query.get("operation")](storage, { key: query.get("key"), options, request });
    } catch (error) {
      return new Response(error.message, { status: 400 });
    }
  },
};

const operations = {
  /** For who wants to know whether anything runs at all. */
  async alive() {
    return new Response();
  },
  async "kv.get"(kv, { key }) {
    const value = await kv.get(key, "stream");
    return value === null ? missing() : new Response(value);
  },
  async "kv.metadata"(kv, { key }) {
    const { value, metadata } = await kv.getWithMetadata(key, "stream");
    await value?.cancel();
    return Response.json({ exists: value !== null, metadata });
  },
  async "kv.put"(kv, { key, options, request }) {
    await kv.put(key, await request.arrayBuffer(), options);
    return new Response();
  },
  async "kv.delete"(kv, { key }) {
    await kv.delete(key);
    return new Response();
  },
  async "kv.list"(kv, { options }) {
    const { keys, list_complete, cursor } = await kv.list(options);
    return Response.json({ keys, cursor: list_complete ? "" : cursor });
  },

  async "r2.get"(bucket, { key }) {
    const object = await bucket.get(key);
    if (object === null) return missing();
    const headers = new Headers({ ETag: object.httpEtag, "Content-Length": object.size });
    object.writeHttpMetadata(headers);
    return new Response(object.body, { headers, encodeBody: "manual" });
  },
  async "r2.put"(bucket, { key, request }) {
    // What does not say its length cannot be passed on.
    const body = request.headers.has("Content-Length") ? request.body : await request.arrayBuffer();
    const object = await bucket.put(key, body, { httpMetadata: request.headers });
    return Response.json(description(object));
  },
  async "r2.list"(bucket, { options }) {
    const { objects, truncated, cursor, delimitedPrefixes } = await bucket.list(options);
    return Response.json({ objects: objects.map(description), cursor: truncated ? cursor : "", delimitedPrefixes });
  },
  async "r2.delete"(bucket, { request }) {
    await bucket.delete(await request.json());
    return new Response();
  },

  async "d1.query"(database, { request }) {
    const statements = (await request.json()).map(({ sql, params }) => database.prepare(sql).bind(...params));
    return Response.json(await database.batch(statements));
  },
  async "d1.raw"(database, { request }) {
    const results = [];
    for (const { sql, params } of await request.json()) {
      const [columns, ...rows] = await database.prepare(sql).bind(...params).raw({ columnNames: true });
      results.push({ results: { columns: columns ?? [], rows }, success: true, meta: {} });
    }
    return Response.json(results);
  },
};

function missing() {
  return new Response(null, { status: 404 });
}

function description({ key, size, etag, uploaded, httpMetadata, customMetadata, storageClass }) {
  return {
    key,
    size,
    etag,
    last_modified: uploaded,
    http_metadata: httpMetadata,
    custom_metadata: customMetadata,
    storage_class: storageClass,
  };
}
