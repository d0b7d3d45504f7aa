package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"
	"gocloud.dev/blob"
	"gocloud.dev/blob/s3blob"
)

// s3Bucket is a bucket of a service that speaks S3.
type s3Bucket struct {
	name   string
	client *s3.Client
	opts   s3blob.Options
}

// openS3 prepares the use of a bucket and asks nobody anything. It takes the parameters of s3blob's URLs. Credentials and what
// no parameter says come from where every program that uses AWS has them: environment, configuration files, role.
func openS3(ctx context.Context, name string, params url.Values) (*s3Bucket, error) {
	params = maps.Clone(params)
	endpoint, err := endpointOf(params)
	if err != nil {
		return nil, err
	}
	_, styleSet := params["use_path_style"]
	_, oldStyleSet := params["s3ForcePathStyle"]
	_, checksumSet := params["request_checksum_calculation"]
	pathStyle, _ := strconv.ParseBool(params.Get("hostname_immutable")) // what it comes to with a bucket
	params.Del("endpoint")
	params.Del("hostname_immutable")

	opener := &s3blob.URLOpener{}
	opened, err := opener.OpenBucketURL(ctx, &url.URL{Scheme: s3blob.Scheme, Host: name, RawQuery: params.Encode()})
	if err != nil {
		return nil, err
	}
	b := &s3Bucket{name: name, opts: opener.Options}
	opened.As(&b.client)
	b.client = s3.New(b.client.Options(), func(o *s3.Options) {
		o.Logger = logging.Nop{} // it would write to standard error what is not news
		o.DisableLogOutputChecksumValidationSkipped = true
		if o.Credentials != nil { // nil: parameter anonymous
			o.Credentials = credentials{o.Credentials}
		}
		if endpoint != "" {
			o.BaseEndpoint = &endpoint
		}
		if o.BaseEndpoint == nil {
			return
		}
		// Services other than AWS: few have a host name for each bucket, most do not care about the region, and some refuse
		// the checksums that AWS has added lately.
		if !styleSet && !oldStyleSet || pathStyle {
			o.UsePathStyle = true
		}
		if o.Region == "" {
			o.Region = "us-east-1"
		}
		if !checksumSet {
			o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		}
	})
	if b.client.Options().Region == "" {
		return nil, errors.New("the region of the bucket is not known; add ?region=NAME to the URL, or set AWS_REGION")
	}
	b.opts.RequestChecksumCalculation = b.client.Options().RequestChecksumCalculation
	return b, nil
}

// endpointOf returns the URL of the service, "" for that of the environment or AWS.
func endpointOf(params url.Values) (string, error) {
	endpoint := params.Get("endpoint")
	if endpoint == "" {
		return "", nil
	}
	if !strings.Contains(endpoint, "://") {
		scheme := "https://"
		if plain, err := strconv.ParseBool(params.Get("disable_https")); err == nil && plain {
			scheme = "http://"
		}
		endpoint = scheme + endpoint
	}
	u, err := url.Parse(endpoint)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return "", errors.New("the parameter endpoint is not a URL; write it like https://minio.example.com:9000")
	case u.User != nil:
		return "", errCredentialsInURL
	}
	return endpoint, nil
}

var errCredentialsInURL = errors.New("credentials do not belong into the URL; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE")

// blob is the bucket for whoever writes to it.
func (b *s3Bucket) blob(ctx context.Context) (*blob.Bucket, error) {
	return s3blob.OpenBucket(ctx, b.client, b.name, &b.opts)
}

// open reads an object from offset on. With an etag it is that content, or ErrChanged. The reader ends with io.EOF where
// the object ends and nowhere else.
func (b *s3Bucket) open(ctx context.Context, key, etag string, offset int64) (io.ReadCloser, error) {
	in := &s3.GetObjectInput{Bucket: &b.name, Key: &key, IfMatch: ifMatch(etag)}
	if offset > 0 {
		in.Range = new(fmt.Sprintf("bytes=%d-", offset))
	}
	out, err := b.client.GetObject(ctx, in)
	if httpStatus(err) == http.StatusRequestedRangeNotSatisfiable {
		return b.openAtEnd(ctx, key, etag, offset)
	}
	if err != nil {
		return nil, explainS3(err)
	}
	switch {
	case etag != "" && bareETag(out.ETag) != etag: // the service does not know If-Match
		err = ErrChanged
	case offset > 0 && !strings.HasPrefix(aws.ToString(out.ContentRange), fmt.Sprintf("bytes %d-", offset)):
		err = errors.New("the service does not send parts of objects (Range), so nothing can be read from its middle")
	case out.ContentLength == nil:
		err = errors.New("the service does not say how long the object is (Content-Length)")
	}
	if err != nil {
		return nil, errors.Join(err, out.Body.Close())
	}
	return &wholeReader{ReadCloser: out.Body, size: *out.ContentLength}, nil
}

// openAtEnd opens what a range cannot ask for: the nothing after the last byte.
func (b *s3Bucket) openAtEnd(ctx context.Context, key, etag string, offset int64) (io.ReadCloser, error) {
	out, err := b.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &b.name, Key: &key, IfMatch: ifMatch(etag)})
	switch {
	case err != nil:
		return nil, explainS3(err)
	case etag != "" && bareETag(out.ETag) != etag:
		return nil, ErrChanged
	case aws.ToInt64(out.ContentLength) != offset:
		return nil, fmt.Errorf("it has %d bytes and is to be read from byte %d on", aws.ToInt64(out.ContentLength), offset)
	}
	return http.NoBody, nil
}

func ifMatch(etag string) *string {
	if etag == "" {
		return nil
	}
	return new(`"` + etag + `"`)
}

func bareETag(etag *string) string { return strings.Trim(aws.ToString(etag), `"`) }

// missing reports whether there is no such bucket; an object's HEAD cannot say which of the two is missing.
func (b *s3Bucket) missing(ctx context.Context) bool {
	_, err := b.client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &b.name})
	return httpStatus(err) == http.StatusNotFound
}

// wholeReader makes an error of an end that comes too early.
type wholeReader struct {
	io.ReadCloser
	size, done int64
}

func (r *wholeReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.done += int64(n)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return n, err
	case err != nil && (!errors.Is(err, io.EOF) || r.done < r.size):
		return n, &s3Error{fmt.Sprintf("the connection broke after %d of %d bytes (%v)", r.done, r.size, err), ErrUnavailable}
	}
	return n, err
}

// failingReader has the reader's errors say what was read.
type failingReader struct {
	io.ReadCloser
	fail func(error) error
}

func (r *failingReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = r.fail(err)
	}
	return n, err
}
