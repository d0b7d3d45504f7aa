package observability

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/testengine"
	"github.com/tidemill/tidemill/workers"
)

const configText = `
database: {url: "${DATABASE_URL}"}
storage: {url: "file://%s"}
mail: {url: "%s", from: "Tidemill <jobs@example.com>"}
metrics: {listen: "${METRICS_ADDRESS}"}
queues: {default: 10, busy: 1, paused: 1, lone: 12}
drain_timeout: 1s
jobs:
  hook:   {kind: http, url: "%s"}
  shell:  {kind: command, argv: ["true"]}
  letter: {kind: email, to: someone@example.com, subject: Hello, text: Hello}
  stat:   {kind: sql, statement: SELECT 1}
  load:   {kind: import, table: public.people, match: [id], reject_limit: {rows: 1000000}}
schedules:
  often:  {job: stat, every: 1s, overlap: allow, catch_up: all} # nobody is there for its first ticks
  broken: {job: stat, every: 1d}
  missed: {job: stat, every: 1d, catch_up: none}
  rest:   {job: stat, every: 1d}
`

// bundle is an installation: a database, two worker processes to be started, and what their jobs talk to.
type bundle struct {
	app        *tidemill.App
	url        string
	configPath string
	addresses  [3]string // of the workers' metrics
	prometheus *server
	failing    atomic.Bool // whether the load has failures
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{url: testengine.URL(t), addresses: [3]string{freeAddress(t), freeAddress(t), freeAddress(t)}}
	b.prometheus = startPrometheus(t, b.addresses[:]...)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	t.Cleanup(receiver.Close)
	text := fmt.Sprintf(configText, t.TempDir(), startMailServer(t), receiver.URL)
	b.configPath = filepath.Join(t.TempDir(), "tidemill.yaml")
	if err := os.WriteFile(b.configPath, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	values := map[string]string{"DATABASE_URL": b.url, "METRICS_ADDRESS": ""}
	cfg, err := config.Load(b.configPath, &config.Opts{Kinds: workers.Configs(), Lookup: func(name string) (string, bool) { v, ok := values[name]; return v, ok }})
	if err != nil {
		t.Fatal(err)
	}
	if b.app, err = tidemill.New(t.Context(), cfg, &tidemill.Opts{Logger: testengine.Logger(t)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.app.Close)
	if _, err := b.app.Apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.exec(t, `CREATE TABLE public.released (); CREATE TABLE public.people (id integer PRIMARY KEY, age integer)`)
	return b
}

func (b *bundle) exec(t *testing.T, query string) {
	t.Helper()
	if _, err := b.app.Pool.Exec(t.Context(), query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func (b *bundle) insert(t *testing.T, args river.JobArgs, opts *river.InsertOpts) int64 {
	t.Helper()
	inserted, err := b.app.Client.Insert(t.Context(), args, opts)
	if err != nil {
		t.Fatal(err)
	}
	return inserted.Job.ID
}

// load starts jobs of all kinds, again and again, until ctx ends.
func (b *bundle) load(ctx context.Context) error {
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for round := 1; ; round++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := b.round(ctx, round); err != nil && ctx.Err() == nil {
			return fmt.Errorf("load: %w", err)
		}
	}
}

func (b *bundle) round(ctx context.Context, round int) error {
	for _, job := range []string{"hook", "shell", "letter", "stat"} {
		if _, err := b.app.Start(ctx, job, nil); err != nil {
			return err
		}
	}
	if _, err := b.app.Client.Insert(ctx, fineArgs{Then: 3}, nil); err != nil {
		return err
	}
	failing := b.failing.Load()
	for range 8 {
		if !failing {
			break
		}
		if _, err := b.app.Client.Insert(ctx, failArgs{}, &river.InsertOpts{MaxAttempts: 1}); err != nil {
			return err
		}
	}
	if round%3 != 0 {
		return nil
	}
	var file strings.Builder
	file.WriteString("id,age\n")
	for i := range 200 {
		age := "17"
		if failing && i%5 == 0 {
			age = "seventeen"
		}
		fmt.Fprintf(&file, "%d,%s\n", round*1000+i, age)
	}
	_, err := b.app.ImportFile(ctx, "load", "people.csv", strings.NewReader(file.String()), tidemill.ImportOpts{})
	return err
}

// startMailServer starts a server that takes all mail and returns its URL.
func startMailServer(t *testing.T) string {
	t.Helper()
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return mailSession{}, nil }))
	s.ErrorLog = log.New(io.Discard, "", 0)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
	})
	return "smtp://" + l.Addr().String()
}

type mailSession struct{}

func (mailSession) Reset()                               {}
func (mailSession) Logout() error                        { return nil }
func (mailSession) Mail(string, *smtp.MailOptions) error { return nil }
func (mailSession) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (mailSession) Data(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}
