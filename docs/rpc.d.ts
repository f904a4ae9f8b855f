/**
 * The RPC methods of a customer's Worker, for other Workers inside the platform. Call them through a dispatch namespace
 * (`env.DISPATCHER.get("user1")`) or a service binding, on the default entrypoint or on the entrypoint `UserWorker`.
 *
 * The methods do the same as the HTTP routes, and count as the same operations. On failure they reject with an `Error`
 * whose message says what was wrong and what to do.
 */
export interface CustomerWorker {
  /**
   * Stores a file. Its type is the `Blob`'s, or else `application/octet-stream`. A stream is uploaded to R2 in parts,
   * because over RPC its length is unknown. The file is visible when the stream has ended.
   */
  uploadFile(key: string, content: string | ArrayBuffer | ArrayBufferView | Blob | ReadableStream): Promise<StoredFile>;

  /** Returns a file's bytes, or `null` if there is no such file. */
  getFile(key: string): Promise<ReadableStream | null>;

  /** Deletes a file, whether it exists or not. */
  deleteFile(key: string): Promise<{ success: true }>;

  /** Lists all files, in the order of their keys. Rejects if there are more than 10,000: list those in pages, over HTTP. */
  listFiles(): Promise<ListedFile[]>;

  /** Stores `JSON.stringify(value)`. Rejects a value that has no JSON, such as `undefined`. */
  setData(key: string, value: unknown): Promise<{ success: true; key: string }>;

  /** Returns a value, or `null` if there is none. */
  getData(key: string): Promise<unknown>;

  /** Deletes a value, whether it exists or not. */
  deleteData(key: string): Promise<{ success: true }>;

  /** Lists the keys of all values, in order. Rejects if there are more than 10,000. */
  listData(): Promise<ListedKey[]>;

  /** Returns what the customer stores, and which operations it did. */
  getStats(): Promise<Stats>;

  /**
   * Runs one SQL statement on the customer's database. Numbers and booleans may be bound as `REAL`: write
   * `CAST(? AS INTEGER)` in expressions where that makes a difference.
   */
  queryDatabase(sql: string, params?: (string | number | boolean | null)[]): Promise<QueryResult>;
}

export interface StoredFile {
  success: true;
  key: string;
  /** In bytes. */
  size: number;
  /** R2's etag, without quotation marks. */
  etag: string;
  contentType: string;
}

export interface ListedFile {
  key: string;
  /** In bytes. */
  size: number;
  /** RFC 3339, in UTC. */
  uploaded: string;
  /** R2's etag, without quotation marks. */
  etag: string;
}

export interface ListedKey {
  key: string;
  metadata?: Record<string, unknown>;
  /** Seconds since 1970. */
  expiration?: number;
}

export interface Stats {
  files: { count: number; totalSize: number };
  activity: {
    totalOperations: number;
    /** RFC 3339, in UTC. */
    lastActivity: string | null;
    byOperation: Record<string, number>;
    windowDays: number;
  };
  storage: { kvKeys: number; r2Objects: number };
}

export interface QueryResult {
  results: Record<string, unknown>[];
  meta: { changes: number; last_row_id: number; rows_read: number; rows_written: number; duration: number };
}
