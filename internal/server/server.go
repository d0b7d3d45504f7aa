// Package server is the HTTP door: schedules are triggered by whoever has the secret, and probes answer.
//
//	GET|POST /api/cron/{schedule}   starts the job of a schedule; Authorization: Bearer SECRET, as Vercel's Cron sends it
//	GET      /livez                 200 while the process is there
//	GET      /readyz                200 while the database answers and is migrated
package server

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/tidemill/tidemill/batch"
)

// Opts configures New. Schedules and Ledger are required.
type Opts struct {
	Schedules Schedules
	Ledger    Ledger
	// CronSecrets open /api/cron; several, so that one can be replaced. Without any the door is not there.
	CronSecrets []string
	// Ready says what keeps the process from serving; nil: nothing ever does.
	Ready  func(context.Context) error
	Logger *slog.Logger // default slog.Default()
}

// Schedules starts the jobs of schedules.
type Schedules interface {
	Trigger(ctx context.Context, schedule, by string) (run int64, err error)
}

// Ledger shows runs.
type Ledger interface {
	Get(ctx context.Context, id int64) (*batch.Info, error)
	Watch(ctx context.Context, id int64, every time.Duration, fn func(*batch.Info) error) error
}

// New returns the handler.
func New(opts Opts) http.Handler {
	opts.Logger = cmp.Or(opts.Logger, slog.Default())
	s := &server{opts: opts}
	for _, secret := range opts.CronSecrets {
		s.secrets = append(s.secrets, sha256.Sum256([]byte(secret)))
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", s.ready)
	mux.HandleFunc("/api/cron/{schedule}", s.cron)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { s.problem(w, http.StatusNotFound, "") })
	return limited(mux)
}

// HTTP returns a server with the bounds that a handler of New wants. Answers that take long set their own.
func HTTP(handler http.Handler) *http.Server {
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10,
	}
}

type server struct {
	opts    Opts
	secrets [][sha256.Size]byte
}

// limited bounds what a request may send; none has anything to say in its body.
func limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

func (s *server) ready(w http.ResponseWriter, r *http.Request) {
	if s.opts.Ready != nil {
		ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		if err := s.opts.Ready(ctx); err != nil {
			// The reason is for the log: it may name hosts, and anybody may ask.
			s.opts.Logger.WarnContext(r.Context(), "not ready", "error", err)
			writeText(w, http.StatusServiceUnavailable, "not ready\n")
			return
		}
	}
	writeText(w, http.StatusOK, "ok\n")
}

// authorized compares with every secret, in a time that tells nothing about them.
func (s *server) authorized(r *http.Request) bool {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	given := sha256.Sum256([]byte(strings.TrimSpace(token)))
	ok := 0
	for _, secret := range s.secrets {
		ok |= subtle.ConstantTimeCompare(given[:], secret[:])
	}
	return ok == 1 && strings.EqualFold(scheme, "Bearer")
}

func writeText(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(text))
}

func writeJSON(w http.ResponseWriter, code int, contentType string, v any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // whoever asked is gone
}

// problem answers as RFC 9457 has it.
func (s *server) problem(w http.ResponseWriter, code int, detail string) {
	writeJSON(w, code, "application/problem+json", struct {
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail,omitempty"`
	}{http.StatusText(code), code, detail})
}
