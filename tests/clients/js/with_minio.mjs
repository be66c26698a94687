// Promises to minio-js.
import assert from "node:assert/strict";
import { Readable } from "node:stream";

import * as minio from "minio";

import { Bucket, ENDPOINT, KEYS, data, fetched, pieces, posted, same } from "./given.mjs";

const client = new minio.Client({
  endPoint: ENDPOINT.hostname,
  port: Number(ENDPOINT.port),
  useSSL: ENDPOINT.protocol === "https:",
  accessKey: process.env.AWS_ACCESS_KEY_ID,
  secretKey: process.env.AWS_SECRET_ACCESS_KEY,
  partSize: 5 * 2 ** 20,
});

export async function bytesAndKeysRoundTrip() {
  for (const [number, key] of KEYS.entries()) {
    const sent = data(number * 70_000);
    await client.putObject(Bucket, key, sent, sent.length, { "X-Amz-Meta-Colour": "blue" });
    assert.equal((await client.statObject(Bucket, key)).metaData.colour, "blue");
    same(await content(key), sent);
  }
  for (const listing of [client.listObjects(Bucket, "", true), client.listObjectsV2(Bucket, "", true)]) {
    assert.deepEqual((await names(listing)).sort(), [...KEYS].sort());
  }
}

export async function aStreamOfUnknownLengthGoesUpInParts() {
  const sent = data(12 * 2 ** 20 + 1);
  const stream = Readable.from(pieces(sent, 100_001), { objectMode: false });
  const { etag } = await client.putObject(Bucket, "stream", stream);
  assert.match(etag, /-3$/);
  same(await content("stream"), sent);
  same(await drained(await client.getPartialObject(Bucket, "stream", 10, 70_000)), sent.subarray(10, 70_010));
}

export async function signedUrlsWorkForFetch() {
  for (const [number, key] of KEYS.entries()) {
    const sent = data(1000 + number);
    const put = await fetch(await client.presignedPutObject(Bucket, key, 60), { method: "PUT", body: sent });
    assert.equal(put.status, 200, await put.text());
    same(await fetched(await client.presignedGetObject(Bucket, key, 60)), sent);
  }
}

export async function aSignedFormUploads() {
  const policy = client.newPostPolicy();
  policy.setBucket(Bucket);
  policy.setKey("form ü");
  policy.setExpires(new Date(Date.now() + 60_000));
  policy.setContentLengthRange(1, 10_000);
  const { postURL, formData } = await client.presignedPostPolicy(policy);
  assert.equal(await posted(postURL, formData, data(7000)), 204);
  same(await content("form ü"), data(7000));
}

export async function objectsAreCopiedComposedAndRemovedAtOnce() {
  const sent = data(5 * 2 ** 20);
  await client.putObject(Bucket, "one ü", sent);
  await client.copyObject(Bucket, "two", `/${Bucket}/one ü`);
  const sources = ["one ü", "two"].map((Object) => new minio.CopySourceOptions({ Bucket, Object }));
  await client.composeObject(new minio.CopyDestinationOptions({ Bucket, Object: "both" }), sources);
  same(await content("both"), Buffer.concat([sent, sent]));
  await client.removeObjects(Bucket, ["one ü", "two", "both", "missing"]);
  assert.deepEqual(await names(client.listObjectsV2(Bucket, "", true)), []);
}

export async function errorsHaveTheCodesThatProgramsWaitFor() {
  await assert.rejects(content("missing"), { code: "NoSuchKey" });
  await assert.rejects(client.statObject(Bucket, "missing"), { code: "NotFound" });
  assert.equal(await client.bucketExists(`${Bucket}-missing`), false);
}

async function content(key) {
  return drained(await client.getObject(Bucket, key));
}

async function drained(stream) {
  return Buffer.concat(await stream.toArray());
}

async function names(listing) {
  return (await listing.toArray()).map((entry) => entry.name);
}
