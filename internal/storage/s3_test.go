package storage_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/storage"
	"github.com/tidemill/tidemill/internal/tests3"
)

func openS3(t *testing.T) (*storage.Bucket, *tests3.Server) {
	t.Helper()
	server := tests3.Start(t)
	b, err := storage.Open(t.Context(), server.URL("pre"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b, server
}

// always answers all requests with an error.
func always(status int, code string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		tests3.Refuse(w, status, code)
		return true
	}
}

// Each error says what it is, and what to do about it, wherever it comes up.
func TestS3Errors(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		status int
		code   string
		is     error
		says   string
	}{
		{404, "NoSuchBucket", storage.ErrNoBucket, "no such bucket; create it"},
		{403, "AccessDenied", fs.ErrPermission, "permission denied; check the credentials"},
		{403, "InvalidAccessKeyId", fs.ErrPermission, "permission denied; check the credentials"},
		{403, "SignatureDoesNotMatch", fs.ErrPermission, "permission denied; check the credentials"},
		{400, "ExpiredToken", fs.ErrPermission, "permission denied; check the credentials"},
		{301, "PermanentRedirect", nil, "the bucket is in another region; set the parameter region"},
		{503, "SlowDown", storage.ErrUnavailable, "the storage is not available (503"},
		{500, "InternalError", storage.ErrUnavailable, "the storage is not available (500"},
		{400, "InvalidRequest", nil, "400"},
	} {
		t.Run(tt.code, func(t *testing.T) {
			t.Parallel()
			b, server := openS3(t)
			server.Before(always(tt.status, tt.code))
			source := openSource(t, "s3://"+tests3.Bucket+"/drop", server.Params())
			for name, do := range map[string]func() error{
				"put": func() error {
					_, err := b.Put(t.Context(), "d", "a.csv", strings.NewReader("x"), nil)
					return err
				},
				"put in parts": func() error {
					_, err := b.Put(t.Context(), "d", "a.csv", strings.NewReader(strings.Repeat("x", 6<<20)), nil)
					return err
				},
				"read": func() error {
					_, err := b.Reader(t.Context(), "d/a.csv", 0)
					return err
				},
				"delete all": func() error {
					_, err := b.DeleteAll(t.Context(), "d", nil)
					return err
				},
				"list a source": func() error {
					_, _, err := source.List(t.Context(), "*.csv", func(string) bool { return false })
					return err
				},
				"open in a source": func() error {
					_, err := source.Open(t.Context(), source.URL()+"a.csv", "1-x", 0)
					return err
				},
			} {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					err := do()
					switch {
					case err == nil:
						t.Error("no error")
					case tt.is != nil && !errors.Is(err, tt.is):
						t.Errorf("%v is not %v", err, tt.is)
					case !strings.Contains(err.Error(), tt.says), strings.Contains(err.Error(), "operation error"), !strings.Contains(err.Error(), "s3://files/"):
						t.Error(err)
					case errors.Is(err, storage.ErrNotFound):
						t.Errorf("%v is taken for a missing object", err)
					}
				})
			}
			t.Run("size", func(t *testing.T) { // by HEAD, which has no code in its answer
				t.Parallel()
				if _, err := b.Stat(t.Context(), "d/a.csv"); err == nil || tt.is != nil && !errors.Is(err, tt.is) && tt.code != "ExpiredToken" {
					t.Error(err)
				}
			})
		})
	}
}

func TestS3Away(t *testing.T) {
	t.Parallel()

	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	b, err := storage.Open(t.Context(), "s3://files?anonymous=true&endpoint="+server.URL)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Stat(t.Context(), "a.csv")
	if !errors.Is(err, storage.ErrUnavailable) || !strings.Contains(err.Error(), "connection refused") || strings.Contains(err.Error(), "HEAD") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Stat(ctx, "a.csv"); !errors.Is(err, context.Canceled) || errors.Is(err, storage.ErrUnavailable) {
		t.Error(err)
	}
}

// A connection that breaks is never taken for the end of an object.
func TestS3BodyThatIsCut(t *testing.T) {
	t.Parallel()

	const content = "0123456789"
	b, server := openS3(t)
	server.Put(t, "pre/a.csv", content)
	source := openSource(t, "s3://"+tests3.Bucket+"/pre", server.Params())
	files, _, err := source.List(t.Context(), "*", func(string) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]func(offset int64) (io.ReadCloser, error){
		"storage": func(offset int64) (io.ReadCloser, error) { return b.Reader(t.Context(), "a.csv", offset) },
		"source": func(offset int64) (io.ReadCloser, error) {
			return source.Open(t.Context(), files[0].URL, files[0].Version, offset)
		},
	} {
		for _, offset := range []int64{0, 3} {
			for after := range int64(len(content)) - offset {
				server.Cut(after)
				r, err := open(offset)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(r)
				if !errors.Is(err, storage.ErrUnavailable) || string(got) != content[offset:offset+after] {
					t.Errorf("%s from %d on, cut after %d: %q, %v", name, offset, after, got, err)
				}
				if want := fmt.Sprintf("the connection broke after %d of %d bytes", after, len(content)-int(offset)); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%v, want %s", err, want)
				}
				_ = r.Close()
			}
		}
	}
	server.Cut(-1)
	r, err := b.Reader(t.Context(), "a.csv", 3)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || string(got) != content[3:] {
		t.Errorf("%q, %v", got, err)
	}
}

// Services that lack what is relied upon are found out before a byte of theirs is used.
func TestS3ServiceThatIgnoresHeaders(t *testing.T) {
	t.Parallel()

	b, server := openS3(t)
	server.Put(t, "pre/a.csv", "0123456789")
	source := openSource(t, "s3://"+tests3.Bucket+"/pre", server.Params())
	files, _, err := source.List(t.Context(), "*", func(string) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	server.Before(func(_ http.ResponseWriter, r *http.Request) bool {
		r.Header.Del("If-Match")
		r.Header.Del("Range")
		return false
	})
	if _, err := b.Reader(t.Context(), "a.csv", 3); err == nil || !strings.Contains(err.Error(), "Range") {
		t.Error(err)
	}
	server.Put(t, "pre/a.csv", "9876543210")
	if _, err := source.Open(t.Context(), files[0].URL, files[0].Version, 0); !errors.Is(err, storage.ErrChanged) {
		t.Error(err)
	}
}

// An object that is replaced under its reader is read as it was.
func TestS3SourceFileThatIsReplaced(t *testing.T) {
	t.Parallel()

	b, server := setupS3Source(t, "drop/")
	old := strings.Repeat("old ", 1<<20)
	b.write(t, "a.csv", old)
	files, _ := b.list(t, "*.csv")
	r, err := b.source.Open(t.Context(), files[0].URL, files[0].Version, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	server.Put(t, "drop/a.csv", strings.Repeat("new ", 1<<20))
	if got, err := io.ReadAll(r); err != nil || string(got) != old {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// No more of a bucket is listed than the pattern needs.
func TestS3SourceListsLittle(t *testing.T) {
	t.Parallel()

	b, server := setupS3Source(t, "")
	for i := range 30 {
		b.write(t, fmt.Sprintf("archive/%d/x.csv", i), "x")
	}
	b.write(t, "drop/de/in/a.csv", "x")
	b.write(t, "drop/di/in/a.csv", "x")
	b.write(t, "drop/uk/in/a.csv", "x")
	source := openSource(t, "s3://"+tests3.Bucket+"/drop", server.Params())
	var mu sync.Mutex
	var asked []string
	server.Before(func(_ http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		q := r.URL.Query()
		asked = append(asked, q.Get("prefix"))
		if q.Get("delimiter") != "/" {
			t.Errorf("%s lists whatever is below", r.URL)
		}
		return false
	})
	files, _, err := source.List(t.Context(), "d*/in/*.csv", func(string) bool { return false })
	if err != nil || len(files) != 2 {
		t.Errorf("%v, %v", files, err)
	}
	slices.Sort(asked)
	if diff := cmp.Diff([]string{"drop/d", "drop/de/in/", "drop/di/in/"}, asked); diff != "" {
		t.Error(diff)
	}
}

// Keys that are no names of files are left alone, and so is what a service marks a directory with.
func TestS3SourceOddKeys(t *testing.T) {
	t.Parallel()

	b, _ := setupS3Source(t, "")
	for _, key := range []string{"a.csv", "dir/", "/b.csv", "dir//c.csv", "dir/../d.csv", "..", "dir/e.csv/", ".f/g.csv"} {
		b.write(t, key, "x")
	}
	for pattern, want := range map[string][]string{"*": {"a.csv"}, "*/*": {}, "*/*/*": {}} {
		if diff := cmp.Diff(want, b.names(t, pattern)); diff != "" {
			t.Errorf("%s: %s", pattern, diff)
		}
	}
}

// S3 encodes keys when it is asked to, which the server of the other tests does not.
func TestS3SourceEncodedKeys(t *testing.T) {
	t.Parallel()

	const page = `<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult><Name>files</Name><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>
<Contents><Key>drop/a+b%25%2B%01.csv</Key><Size>3</Size><ETag>"e"</ETag></Contents>
<Contents><Key>drop/%FF.csv</Key><Size>3</Size><ETag>"e"</ETag></Contents>
<Contents><Key>drop/%00.csv</Key><Size>3</Size><ETag>"e"</ETag></Contents>
</ListBucketResult>`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("encoding-type") != "url" {
			t.Errorf("%s does not ask for encoded keys", r.URL)
		}
		_, _ = io.WriteString(w, page)
	}))
	t.Cleanup(server.Close)
	source := openSource(t, "s3://files/drop", "anonymous=true&endpoint="+url.QueryEscape(server.URL))
	files, unreadable, err := source.List(t.Context(), "*.csv", func(string) bool { return false })
	want := []storage.SourceFile{{URL: "s3://files/drop/a b%+\x01.csv", Name: "a b%+\x01.csv", Size: 3, Version: "3-e"}}
	if diff := cmp.Diff(want, files); diff != "" || len(unreadable) != 2 || err != nil {
		t.Errorf("%s, %v, %v", diff, unreadable, err)
	}
}

func TestS3SourceManyFiles(t *testing.T) {
	t.Parallel()

	const files = 2500 // three pages
	b, _ := setupS3Source(t, "drop/")
	for i := range files {
		b.write(t, fmt.Sprintf("%04d.csv", i), "x")
	}
	if got := b.names(t, "*.csv"); len(got) != files || got[0] != "0000.csv" || got[files-1] != "2499.csv" {
		t.Errorf("%d files", len(got))
	}
}

// A level that may not be listed hides no other; a source of which nothing can be listed is an error.
func TestS3SourceForbiddenLevel(t *testing.T) {
	t.Parallel()

	b, server := setupS3Source(t, "")
	b.write(t, "a/x.csv", "x")
	b.write(t, "b/x.csv", "x")
	server.Before(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Get("prefix") != "a/" {
			return false
		}
		tests3.Refuse(w, http.StatusForbidden, "AccessDenied")
		return true
	})
	files, unreadable := b.list(t, "*/*.csv")
	if len(files) != 1 || len(unreadable) != 1 || !errors.Is(unreadable[0], fs.ErrPermission) {
		t.Errorf("%v, %v", files, unreadable)
	}
	if _, _, err := b.source.List(t.Context(), "a/*.csv", func(string) bool { return false }); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("%v", err)
	}
}

// A writer sends while it is written to, and holds no more than some parts.
func TestS3WriterSendsParts(t *testing.T) {
	t.Parallel()

	b, server := openS3(t)
	var largest, parts atomic.Int64
	server.Before(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			parts.Add(1)
			largest.Store(max(largest.Load(), r.ContentLength))
		}
		return false
	})
	w, err := b.Create(t.Context(), "exports/a")
	if err != nil {
		t.Fatal(err)
	}
	block := []byte(strings.Repeat("x", 1<<20))
	for range 42 {
		if _, err := w.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	// Seven full parts have been taken from the writer, and two of these at most are still in memory beside the eighth.
	if n := parts.Load(); n < 5 {
		t.Errorf("only %d parts were sent before the end", n)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if parts.Load() != 9 || largest.Load() > 5<<20+4096 {
		t.Errorf("%d parts, the largest of %d bytes", parts.Load(), largest.Load())
	}
	if stat, err := b.Stat(t.Context(), "exports/a"); err != nil || stat.Size != 42<<20 {
		t.Error(stat, err)
	}
}

// A part that a busy service refuses is sent again; a service that stays so leaves nothing behind.
func TestS3WriterOfABusyService(t *testing.T) {
	t.Parallel()

	for _, refusals := range []int64{1, 1000} {
		b, server := openS3(t)
		var left atomic.Int64
		left.Store(refusals)
		server.Before(func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Get("partNumber") != "2" || left.Add(-1) < 0 {
				return false
			}
			tests3.Refuse(w, http.StatusServiceUnavailable, "SlowDown")
			return true
		})
		content := strings.Repeat("0123456789", 1_200_000)
		object, err := b.Put(t.Context(), "d", "a.csv", strings.NewReader(content), nil)
		if server.Uploads(t) != 0 {
			t.Error("an upload is left")
		}
		if refusals == 1 {
			if err != nil || server.Get(t, "pre/"+object.Key) != content {
				t.Errorf("one refusal: %v", err)
			}
			continue
		}
		if !errors.Is(err, storage.ErrUnavailable) || len(server.Keys(t)) != 0 {
			t.Errorf("many refusals: %v, %s", err, server.Keys(t))
		}
	}
}

// Services other than AWS have the bucket in the path unless the URL says otherwise.
func TestS3Parameters(t *testing.T) {
	t.Parallel()

	var mu sync.Mutex
	var hosts []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		hosts = append(hosts, r.Host+r.URL.Path)
		w.Header().Set("Content-Length", "7")
	}))
	t.Cleanup(server.Close)
	_, port, _ := strings.Cut(strings.TrimPrefix(server.URL, "http://"), ":")
	at := "localhost:" + port
	for params, want := range map[string]string{
		"endpoint=http://" + at:                                             at + "/files/pre/a",
		"endpoint=" + at + "&disable_https=true":                            at + "/files/pre/a",
		"endpoint=http://" + at + "&use_path_style=true":                    at + "/files/pre/a",
		"endpoint=http://" + at + "&s3ForcePathStyle=true&region=eu-west-1": at + "/files/pre/a",
		"endpoint=http://" + at + "&hostname_immutable=true":                at + "/files/pre/a",
		"endpoint=http://" + at + "&use_path_style=false":                   "files." + at + "/pre/a",
	} {
		b, err := storage.Open(t.Context(), "s3://files/pre?anonymous=true&"+params)
		if err != nil {
			t.Fatal(err)
		}
		stat, err := b.Stat(t.Context(), "a")
		if err != nil && strings.Contains(err.Error(), strings.SplitN(want, ":", 2)[0]) {
			continue // not every machine knows that files.localhost is itself
		}
		if err != nil || stat.Size != 7 {
			t.Errorf("%s: %+v, %v", params, stat, err)
			continue
		}
		mu.Lock()
		if got := hosts[len(hosts)-1]; got != want {
			t.Errorf("%s: %s, want %s", params, got, want)
		}
		mu.Unlock()
	}
}
