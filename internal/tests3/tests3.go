// Package tests3 gives tests an S3 server of their own, over HTTP on loopback, which does what tests want to see go wrong.
//
// The server is gofakes3. What it does not do, and S3 does, is in front of it: If-Match of reads.
package tests3

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// Bucket is the one bucket of each server.
const Bucket = "files"

// Server is an S3 server that keeps its objects in memory.
type Server struct {
	// Endpoint is its URL.
	Endpoint string

	backend *s3mem.Backend
	s3      http.Handler

	mu     sync.Mutex
	before func(w http.ResponseWriter, r *http.Request) bool
	cut    int64 // -1: bodies are whole
}

// Start starts a server, which ends with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{backend: s3mem.New(), cut: -1}
	if err := s.backend.CreateBucket(Bucket); err != nil {
		t.Fatal(err)
	}
	s.s3 = gofakes3.New(s.backend, gofakes3.WithoutVersioning()).Server()
	server := httptest.NewUnstartedServer(s)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it would tell of connections that the test cuts
	server.Start()
	t.Cleanup(server.Close)
	s.Endpoint = server.URL
	return s
}

// Params are those of a URL in configurations: where the server is, and that it asks for no credentials.
func (s *Server) Params() string {
	return "anonymous=true&region=us-east-1&endpoint=" + url.QueryEscape(s.Endpoint)
}

// URL is that of a storage in the bucket, below a prefix that may be empty.
func (s *Server) URL(prefix string) string {
	return strings.TrimSuffix("s3://"+Bucket+"/"+prefix, "/") + "?" + s.Params()
}

// Put makes an object, in place of the one that is there.
func (s *Server) Put(t testing.TB, key, content string) {
	t.Helper()
	_, err := s.backend.PutObject(Bucket, key, map[string]string{}, strings.NewReader(content), int64(len(content)), nil)
	if err != nil {
		t.Fatal(err)
	}
}

// Get returns an object's content.
func (s *Server) Get(t testing.TB, key string) string {
	t.Helper()
	object, err := s.backend.GetObject(Bucket, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(object.Contents)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// Remove removes an object.
func (s *Server) Remove(t testing.TB, key string) {
	t.Helper()
	if _, err := s.backend.DeleteObject(Bucket, key); err != nil {
		t.Fatal(err)
	}
}

// Keys are those of all objects, in order.
func (s *Server) Keys(t testing.TB) []string {
	t.Helper()
	list, err := s.backend.ListBucket(Bucket, &gofakes3.Prefix{}, gofakes3.ListBucketPage{})
	if err != nil {
		t.Fatal(err)
	}
	keys := []string{}
	for _, object := range list.Contents {
		keys = append(keys, object.Key)
	}
	slices.Sort(keys)
	return keys
}

// Uploads is how many uploads in parts are neither complete nor aborted.
func (s *Server) Uploads(t testing.TB) int {
	t.Helper()
	answer := httptest.NewRecorder()
	s.s3.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/"+Bucket+"?uploads", nil))
	switch {
	case strings.Contains(answer.Body.String(), "NoSuchUpload"): // there has never been one
		return 0
	case answer.Code != http.StatusOK:
		t.Fatalf("list the uploads: %d %s", answer.Code, answer.Body)
	}
	return strings.Count(answer.Body.String(), "<Upload>")
}

// Before has fn look at each request first; fn returns true when it has answered. Nil: no more.
func (s *Server) Before(fn func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = fn
}

// Cut breaks the connection after so many bytes of an object, whenever one is read; -1: no more.
func (s *Server) Cut(after int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut = after
}

// Refuse answers with an error as S3 words it.
func Refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>the test says so</Message></Error>", code)
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	before, cut := s.before, s.cut
	s.mu.Unlock()
	if before != nil && before(w, r) {
		return
	}
	if want := r.Header.Get("If-Match"); want != "" && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		head := httptest.NewRecorder()
		s.s3.ServeHTTP(head, httptest.NewRequest(http.MethodHead, r.URL.String(), nil))
		if etag := head.Header().Get("ETag"); etag != "" && etag != want {
			Refuse(w, http.StatusPreconditionFailed, "PreconditionFailed")
			return
		}
	}
	if isObject := strings.Count(r.URL.Path, "/") > 1; cut >= 0 && isObject && r.Method == http.MethodGet {
		w = &cutWriter{ResponseWriter: w, left: cut}
	}
	s.s3.ServeHTTP(w, r)
}

// cutWriter ends the connection in the middle of a body.
type cutWriter struct {
	http.ResponseWriter
	left int64
}

func (w *cutWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p[:min(int64(len(p)), w.left)])
	w.left -= int64(n)
	if err == nil && n < len(p) {
		_ = http.NewResponseController(w.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, err
}
