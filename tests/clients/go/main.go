// Command promises keeps the promises of the Go SDK: one is named on the command line and kept, or the exit status is 1.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand"
	"net/http"
	"os"
	"sort"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/s3/manager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

type promise func(context.Context, *s3.Client, string) error

var promises = map[string]promise{
	"put_and_get_keep_every_byte":                  putAndGet,
	"a_stream_without_a_length_arrives_in_parts":   streamInParts,
	"presigned_urls_work_for_a_plain_http_client":  presigned,
	"listing_pages_through_every_key":              listing,
	"a_conditional_write_never_replaces_an_object": conditionalWrite,
	"every_named_object_is_deleted_at_once":        deleteMany,
	"a_copy_is_the_object_and_its_metadata":        copyObject,
	"a_missing_key_is_an_error_of_its_own_type":    missingKey,
}

func main() {
	log.SetFlags(0)
	if len(os.Args) == 1 {
		for name := range promises {
			fmt.Println(name)
		}
		return
	}
	ctx := context.Background()
	settings, err := config.LoadDefaultConfig(ctx)
	check(err)
	client := s3.NewFromConfig(settings, func(o *s3.Options) { o.UsePathStyle = true })
	check(promises[os.Args[1]](ctx, client, os.Getenv("BUCKET")))
}

func putAndGet(ctx context.Context, client *s3.Client, bucket string) error {
	for _, size := range []int{0, 1, 65537, 3 << 20} {
		key, sent := fmt.Sprintf("größe %d/ü+&?.bin", size), data(size)
		if _, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(sent)}); err != nil {
			return err
		}
		if err := holds(ctx, client, bucket, key, sent); err != nil {
			return err
		}
	}
	return nil
}

func streamInParts(ctx context.Context, client *s3.Client, bucket string) error {
	sent := data(12 << 20)
	reader, writer := io.Pipe()
	go func() {
		_, err := writer.Write(sent)
		writer.CloseWithError(err)
	}()
	input := &s3.PutObjectInput{Bucket: &bucket, Key: aws.String("stream"), Body: reader}
	if _, err := manager.NewUploader(client).Upload(ctx, input); err != nil {
		return err
	}
	buffer := manager.NewWriteAtBuffer(nil)
	if _, err := manager.NewDownloader(client).Download(ctx, buffer, &s3.GetObjectInput{Bucket: &bucket, Key: aws.String("stream")}); err != nil {
		return err
	}
	return same(buffer.Bytes(), sent)
}

func presigned(ctx context.Context, client *s3.Client, bucket string) error {
	signer, sent := s3.NewPresignClient(client), data(4096)
	put, err := signer.PresignPutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: aws.String("signed")})
	if err != nil {
		return err
	}
	if _, err := fetch(put.Method, put.URL, sent); err != nil {
		return err
	}
	get, err := signer.PresignGetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: aws.String("signed")})
	if err != nil {
		return err
	}
	got, err := fetch(get.Method, get.URL, nil)
	if err != nil {
		return err
	}
	return same(got, sent)
}

func listing(ctx context.Context, client *s3.Client, bucket string) error {
	var sent, got []string
	for i := range 25 {
		sent = append(sent, fmt.Sprintf("list/%02d <&ü>", i))
	}
	for _, key := range sent {
		if _, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(key)}); err != nil {
			return err
		}
	}
	pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: aws.String("list/"), MaxKeys: aws.Int32(7)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, object := range page.Contents {
			got = append(got, *object.Key)
		}
	}
	sort.Strings(sent)
	return same([]byte(strings.Join(got, "\n")), []byte(strings.Join(sent, "\n")))
}

func conditionalWrite(ctx context.Context, client *s3.Client, bucket string) error {
	write := func(content string) error {
		input := &s3.PutObjectInput{Bucket: &bucket, Key: aws.String("lock"), Body: strings.NewReader(content), IfNoneMatch: aws.String("*")}
		_, err := client.PutObject(ctx, input)
		return err
	}
	if err := write("first"); err != nil {
		return err
	}
	if err := refused(write("second"), "PreconditionFailed"); err != nil {
		return err
	}
	return holds(ctx, client, bucket, "lock", []byte("first"))
}

func deleteMany(ctx context.Context, client *s3.Client, bucket string) error {
	var objects []types.ObjectIdentifier
	for i := range 20 {
		key := fmt.Sprintf("delete/%02d <&ü>", i)
		if _, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(key)}); err != nil {
			return err
		}
		objects = append(objects, types.ObjectIdentifier{Key: &key})
	}
	done, err := client.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: &bucket, Delete: &types.Delete{Objects: objects}})
	if err != nil {
		return err
	}
	left, err := client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: aws.String("delete/")})
	if err != nil {
		return err
	}
	if len(done.Deleted) != 20 || len(done.Errors) != 0 || len(left.Contents) != 0 {
		return fmt.Errorf("deleted %d, failed %d, left %d", len(done.Deleted), len(done.Errors), len(left.Contents))
	}
	return nil
}

func copyObject(ctx context.Context, client *s3.Client, bucket string) error {
	sent := data(100_000)
	input := &s3.PutObjectInput{Bucket: &bucket, Key: aws.String("from ü"), Body: bytes.NewReader(sent), Metadata: map[string]string{"colour": "blue"}}
	if _, err := client.PutObject(ctx, input); err != nil {
		return err
	}
	source := aws.String(bucket + "/from%20%C3%BC")
	if _, err := client.CopyObject(ctx, &s3.CopyObjectInput{Bucket: &bucket, Key: aws.String("to"), CopySource: source}); err != nil {
		return err
	}
	head, err := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: aws.String("to")})
	if err != nil {
		return err
	}
	if head.Metadata["colour"] != "blue" {
		return fmt.Errorf("metadata of the copy: %v", head.Metadata)
	}
	return holds(ctx, client, bucket, "to", sent)
}

func missingKey(ctx context.Context, client *s3.Client, bucket string) error {
	_, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: aws.String("missing")})
	if missing := new(types.NoSuchKey); !errors.As(err, &missing) {
		return fmt.Errorf("GetObject: %w", err)
	}
	_, err = client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: aws.String("missing")})
	if missing := new(types.NotFound); !errors.As(err, &missing) {
		return fmt.Errorf("HeadObject: %w", err)
	}
	return nil
}

func holds(ctx context.Context, client *s3.Client, bucket, key string, sent []byte) error {
	object, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return err
	}
	defer object.Body.Close()
	got, err := io.ReadAll(object.Body)
	if err != nil {
		return err
	}
	return same(got, sent)
}

func refused(err error, code string) error {
	if failure := smithy.APIError(nil); !errors.As(err, &failure) || failure.ErrorCode() != code {
		return fmt.Errorf("expected %s, got %w", code, err)
	}
	return nil
}

// fetch uses no SDK; the certificate authority reaches it by SSL_CERT_FILE.
func fetch(method, url string, body []byte) ([]byte, error) {
	request, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s: %s", method, answer.Status, got)
	}
	return got, err
}

func same(got, sent []byte) error {
	if sha256.Sum256(got) != sha256.Sum256(sent) {
		return fmt.Errorf("sent %d bytes, got %d others", len(sent), len(got))
	}
	return nil
}

func data(size int) []byte {
	bytes := make([]byte, size)
	rand.New(rand.NewSource(int64(size))).Read(bytes)
	return bytes
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
