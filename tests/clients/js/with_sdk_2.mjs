// Promises to the AWS SDK for JavaScript v2, which signs requests by V4 and URLs by V2 unless it is told otherwise.
import assert from "node:assert/strict";
import { Readable } from "node:stream";

import aws from "aws-sdk";

import { Bucket, ENDPOINT, KEYS, data, fetched, pieces, posted, same } from "./given.mjs";

const settings = { endpoint: ENDPOINT.origin, s3ForcePathStyle: true };
const s3 = new aws.S3(settings);

export async function bytesAndKeysRoundTrip() {
  for (const [number, Key] of KEYS.entries()) {
    const sent = data(number * 70_000);
    await s3.putObject({ Bucket, Key, Body: sent, Metadata: { colour: "blue" } }).promise();
    const got = await s3.getObject({ Bucket, Key }).promise();
    assert.deepEqual(got.Metadata, { colour: "blue" });
    same(got.Body, sent);
  }
}

export async function uploadSendsAStreamOfUnknownLengthInParts() {
  const sent = data(12 * 2 ** 20 + 1);
  const Body = Readable.from(pieces(sent, 100_001), { objectMode: false });
  const done = await s3.upload({ Bucket, Key: "upload ü", Body }).promise();
  assert.match(done.ETag, /-3"$/);
  same((await s3.getObject({ Bucket, Key: "upload ü" }).promise()).Body, sent);
}

export async function signedUrlsOfBothVersionsWorkForFetch() {
  for (const [parameter, client] of Object.entries({
    Signature: s3,
    "X-Amz-Signature": new aws.S3({ ...settings, signatureVersion: "v4" }),
  })) {
    for (const [number, Key] of KEYS.entries()) {
      const sent = data(1000 + number);
      const target = client.getSignedUrl("putObject", { Bucket, Key, ContentType: "text/x-test" });
      const put = await fetch(target, { method: "PUT", body: sent, headers: { "Content-Type": "text/x-test" } });
      assert.equal(put.status, 200, await put.text());
      const url = client.getSignedUrl("getObject", { Bucket, Key, Expires: 60 });
      assert.ok(new URL(url).searchParams.has(parameter), url);
      same(await fetched(url), sent);
    }
  }
}

export async function aSignedFormUploads() {
  const { url, fields } = s3.createPresignedPost({ Bucket, Fields: { key: "form ü" } });
  assert.equal(await posted(url, fields, data(7000)), 204);
  same((await s3.getObject({ Bucket, Key: "form ü" }).promise()).Body, data(7000));
}

export async function copiesListingsAndBulkDeletesPassEveryKeyOnce() {
  for (const Key of KEYS) {
    await s3.putObject({ Bucket, Key, Body: Key }).promise();
    await s3.copyObject({ Bucket, Key: `copied/${Key}`, CopySource: encodeURIComponent(`${Bucket}/${Key}`) }).promise();
  }
  const all = [...KEYS, ...KEYS.map((Key) => `copied/${Key}`)].sort();
  assert.deepEqual((await listed()).sort(), all);
  await s3.deleteObjects({ Bucket, Delete: { Objects: all.map((Key) => ({ Key })) } }).promise();
  assert.deepEqual(await listed(), []);
}

export async function errorsHaveTheCodesThatProgramsWaitFor() {
  await assert.rejects(s3.getObject({ Bucket, Key: "missing" }).promise(), { code: "NoSuchKey" });
  await assert.rejects(s3.headObject({ Bucket, Key: "missing" }).promise(), { code: "NotFound" });
  await assert.rejects(s3.listObjects({ Bucket: `${Bucket}-missing` }).promise(), { code: "NoSuchBucket" });
  await s3.waitFor("objectNotExists", { Bucket, Key: "missing" }).promise();
}

async function listed() {
  const found = [];
  let page = {};
  do {
    page = await s3.listObjectsV2({ Bucket, MaxKeys: 5, ContinuationToken: page.NextContinuationToken }).promise();
    found.push(...page.Contents.map((entry) => entry.Key));
  } while (page.IsTruncated);
  return found;
}
