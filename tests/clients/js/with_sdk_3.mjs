// Promises to the AWS SDK for JavaScript v3.
import assert from "node:assert/strict";
import { Readable } from "node:stream";

import * as aws from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";

import { Bucket, KEYS, data, pieces, same } from "./given.mjs";

const s3 = new aws.S3Client({ forcePathStyle: true });

export async function bytesAndKeysRoundTrip() {
  for (const [number, Key] of KEYS.entries()) {
    const sent = data(number * 70_000);
    await s3.send(new aws.PutObjectCommand({ Bucket, Key, Body: sent, ContentType: "text/x-test" }));
    const got = await s3.send(new aws.GetObjectCommand({ Bucket, Key }));
    assert.equal(got.ContentType, "text/x-test");
    same(await got.Body.transformToByteArray(), sent);
  }
  const listed = await s3.send(new aws.ListObjectsV2Command({ Bucket }));
  assert.deepEqual(listed.Contents.map((entry) => entry.Key).sort(), [...KEYS].sort());
}

export async function aStreamOfKnownLengthArrivesWhole() {
  const sent = data(3_000_000);
  const Body = Readable.from(pieces(sent, 65_536));
  await s3.send(new aws.PutObjectCommand({ Bucket, Key: "stream", Body, ContentLength: sent.length }));
  same(await content("stream"), sent);
}

export async function uploadSendsAStreamOfUnknownLengthInParts() {
  const sent = data(17 * 2 ** 20 + 1);
  const Body = Readable.from(pieces(sent, 100_001));
  const upload = new Upload({ client: s3, params: { Bucket, Key: "upload", Body, Metadata: { colour: "blue" } } });
  await upload.done();
  const head = await s3.send(new aws.HeadObjectCommand({ Bucket, Key: "upload" }));
  assert.deepEqual([head.ContentLength, head.Metadata], [sent.length, { colour: "blue" }]);
  assert.match(head.ETag, /-4"$/);
  same(await content("upload"), sent);
}

export async function uploadSendsASmallStreamInOnePiece() {
  await new Upload({ client: s3, params: { Bucket, Key: "small", Body: Readable.from([Buffer.from("small")]) } }).done();
  assert.equal(Buffer.from(await content("small")).toString(), "small");
}

export async function anUploadWhoseSourceBreaksLeavesNothingBehind() {
  const broken = Readable.from((function* () {
    yield* pieces(data(12_000_000), 1_000_000);
    throw new Error("the source broke");
  })());
  const upload = new Upload({ client: s3, params: { Bucket, Key: "broken", Body: broken } });
  await assert.rejects(upload.done(), { message: "the source broke" });
  await assert.rejects(content("broken"), { name: "NoSuchKey" });
  const uploads = await s3.send(new aws.ListMultipartUploadsCommand({ Bucket }));
  assert.equal(uploads.Uploads, undefined);
}

export async function rangesAreExact() {
  const sent = data(100_000);
  await s3.send(new aws.PutObjectCommand({ Bucket, Key: "object", Body: sent }));
  same(await content("object", { Range: "bytes=10-69999" }), sent.subarray(10, 70_000));
  same(await content("object", { Range: "bytes=-5" }), sent.subarray(-5));
  await assert.rejects(content("object", { Range: "bytes=100000-" }), { name: "InvalidRange" });
}

export async function presignedUrlsWorkForFetch() {
  for (const [number, Key] of KEYS.entries()) {
    const sent = data(1000 + number);
    const put = await fetch(await getSignedUrl(s3, new aws.PutObjectCommand({ Bucket, Key })), { method: "PUT", body: sent });
    assert.equal(put.status, 200, await put.text());
    const url = await getSignedUrl(s3, new aws.GetObjectCommand({ Bucket, Key }), { expiresIn: 60 });
    const got = await fetch(url);
    same(new Uint8Array(await got.arrayBuffer()), sent);
    assert.equal((await fetch(url.replace("X-Amz-Expires=60", "X-Amz-Expires=61"))).status, 403);
  }
}

export async function everyNamedObjectIsDeletedAtOnce() {
  for (const Key of KEYS) await s3.send(new aws.PutObjectCommand({ Bucket, Key, Body: "x" }));
  const Objects = [...KEYS, "missing"].map((Key) => ({ Key }));
  const done = await s3.send(new aws.DeleteObjectsCommand({ Bucket, Delete: { Objects } }));
  assert.deepEqual([done.Deleted.length, done.Errors], [Objects.length, undefined]);
  assert.equal((await s3.send(new aws.ListObjectsV2Command({ Bucket }))).KeyCount, 0);
}

export async function aConditionalWriteNeverReplacesAnObject() {
  const write = (Body, more) => s3.send(new aws.PutObjectCommand({ Bucket, Key: "lock", Body, ...more }));
  const { ETag } = await write("first", { IfNoneMatch: "*" });
  await assert.rejects(write("second", { IfNoneMatch: "*" }), { name: "PreconditionFailed" });
  await write("third", { IfMatch: ETag });
  await assert.rejects(write("fourth", { IfMatch: ETag }), { name: "PreconditionFailed" });
  assert.equal(Buffer.from(await content("lock")).toString(), "third");
}

export async function paginatorsPassEveryKeyOnce() {
  const keys = Array.from({ length: 25 }, (_, number) => `p/${String(number).padStart(2, "0")} <ü>`);
  for (const Key of keys) await s3.send(new aws.PutObjectCommand({ Bucket, Key, Body: "x" }));
  const found = [];
  for await (const page of aws.paginateListObjectsV2({ client: s3, pageSize: 7 }, { Bucket, Prefix: "p/" })) {
    found.push(...page.Contents.map((entry) => entry.Key));
  }
  assert.deepEqual(found, keys);
}

export async function aCopyIsTheObjectAndItsMetadata() {
  await s3.send(new aws.PutObjectCommand({ Bucket, Key: KEYS[4], Body: data(5000), Metadata: { colour: "blue" } }));
  const CopySource = `${Bucket}/${encodeURIComponent(KEYS[4])}`;
  await s3.send(new aws.CopyObjectCommand({ Bucket, Key: "copied", CopySource }));
  const head = await s3.send(new aws.HeadObjectCommand({ Bucket, Key: "copied" }));
  assert.deepEqual(head.Metadata, { colour: "blue" });
  same(await content("copied"), data(5000));
}

export async function everyChecksumIsKeptAndAWrongOneRefused() {
  for (const ChecksumAlgorithm of ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"]) {
    const put = await s3.send(new aws.PutObjectCommand({ Bucket, Key: "sum", Body: data(5000), ChecksumAlgorithm }));
    const head = await s3.send(new aws.HeadObjectCommand({ Bucket, Key: "sum", ChecksumMode: "ENABLED" }));
    const field = `Checksum${ChecksumAlgorithm}`;
    assert.ok(put[field], field);
    assert.equal(head[field], put[field]);
    same(await content("sum"), data(5000));
  }
  const wrong = new aws.PutObjectCommand({ Bucket, Key: "sum", Body: "other", ChecksumCRC32: "AAAAAA==" });
  await assert.rejects(s3.send(wrong), { name: "BadDigest" });
  same(await content("sum"), data(5000));
}

export async function errorsHaveTheNamesThatProgramsWaitFor() {
  await assert.rejects(content("missing"), (error) => error instanceof aws.NoSuchKey);
  await assert.rejects(s3.send(new aws.HeadObjectCommand({ Bucket, Key: "missing" })), { name: "NotFound" });
  await assert.rejects(s3.send(new aws.HeadBucketCommand({ Bucket: `${Bucket}-missing` })), { name: "NotFound" });
  const missing = new aws.ListObjectsV2Command({ Bucket: `${Bucket}-missing` });
  await assert.rejects(s3.send(missing), { name: "NoSuchBucket" });
}

async function content(Key, more = {}) {
  return (await s3.send(new aws.GetObjectCommand({ Bucket, Key, ...more }))).Body.transformToByteArray();
}
