// What every script is given: a bucket of its own, keys, and bytes to send.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";

export const Bucket = process.env.BUCKET;
export const ENDPOINT = new URL(process.env.AWS_ENDPOINT_URL);
export const KEYS = [
  "plain",
  "a/b/c",
  "sp ace+plus&=?#%41",
  "<xml> \"q\" 'q'",
  "größe/日本語/🦀",
  "~-_.!*'();:@$,[]{}|^`\\",
];

export function data(size) {
  const block = createHash("shake256", { outputLength: Math.min(size, 65_521) || 1 }).update(String(size)).digest();
  return Buffer.alloc(size, block);
}

export function* pieces(content, size) {
  for (let start = 0; start < content.length; start += size) yield content.subarray(start, start + size);
}

export function same(got, sent) {
  const [a, b] = [got, sent].map((bytes) => createHash("sha256").update(bytes).digest("hex"));
  assert.equal(a, b, `sent ${sent.length} bytes, got ${got.length} others`);
}

export async function fetched(url) {
  const answer = await fetch(url);
  assert.equal(answer.status, 200);
  return new Uint8Array(await answer.arrayBuffer());
}

// Sends a form as a page does that was given `fields`, the file last.
export async function posted(url, fields, content) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  form.append("file", new Blob([content]));
  return (await fetch(url, { method: "POST", body: form })).status;
}
