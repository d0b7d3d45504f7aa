package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/internal/server"
	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/internal/testengine"
	"github.com/tidemill/tidemill/migrations"
	"github.com/tidemill/tidemill/periodic"
)

const secret = "0123456789abcdef-old"

type bundle struct {
	t    *testing.T
	pool *pgxpool.Pool
	url  string
	log  *bytes.Buffer
}

// setup serves a database with the schedule nightly, and no worker.
func setup(t *testing.T, change func(*server.Opts)) *bundle {
	t.Helper()
	pool := testdb.Pool(t, testengine.URL(t))
	err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		_, err := periodic.ApplyTx(t.Context(), tx, migrations.Schema{}.Defaults(), []periodic.Definition{
			{Name: "nightly", Kind: "report", Spec: periodic.Spec{Cron: "0 3 * * *"}},
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle{t: t, pool: pool, log: &bytes.Buffer{}}
	opts := server.Opts{
		Schedules: periodic.NewAdmin(pool, migrations.Schema{}), Ledger: batch.NewLedger(pool, migrations.Schema{}, nil),
		CronSecrets: []string{"fedcba9876543210-new", secret}, Logger: slog.New(slog.NewTextHandler(b.log, nil)),
	}
	if change != nil {
		change(&opts)
	}
	ts := httptest.NewUnstartedServer(nil)
	ts.Config = server.HTTP(server.New(opts))
	ts.Start()
	t.Cleanup(ts.Close)
	b.url = ts.URL
	return b
}

// ask makes a request and returns status and body.
func (b *bundle) ask(method, path, authorization string) (int, string) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func TestCronDoor(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	for _, tt := range []struct {
		name, method, path, authorization string
		code                              int
	}{
		{"as Vercel does", "GET", "/api/cron/nightly", "Bearer " + secret, 202},
		{"the new secret", "POST", "/api/cron/nightly", "bearer fedcba9876543210-new", 202},
		{"no secret", "GET", "/api/cron/nightly", "", 401},
		{"a wrong secret", "GET", "/api/cron/nightly", "Bearer " + secret + "x", 401},
		{"a part of it", "GET", "/api/cron/nightly", "Bearer " + secret[:10], 401},
		{"another scheme", "GET", "/api/cron/nightly", "Basic " + secret, 401},
		{"nothing about schedules without secret", "GET", "/api/cron/none", "Bearer x", 401},
		{"no such schedule", "GET", "/api/cron/none", "Bearer " + secret, 404},
		{"a hostile name", "GET", "/api/cron/%27%3B--", "Bearer " + secret, 404},
		{"another method", "DELETE", "/api/cron/nightly", "Bearer " + secret, 405},
		{"wait is no duration", "GET", "/api/cron/nightly?wait=soon", "Bearer " + secret, 400},
		{"wait is too long", "GET", "/api/cron/nightly?wait=11m", "Bearer " + secret, 400},
		{"an unknown parameter", "GET", "/api/cron/nightly?day=2026-01-31", "Bearer " + secret, 400},
		{"a slip", "GET", "/api/cron/nightly?wiat=2s", "Bearer " + secret, 400},
		{"two waits", "GET", "/api/cron/nightly?wait=0s&wait=1s", "Bearer " + secret, 400},
		{"a query that is none", "GET", "/api/cron/nightly?wait=%zz", "Bearer " + secret, 400},
		{"elsewhere", "GET", "/", "", 404},
		{"alive", "GET", "/livez", "", 200},
		{"ready", "GET", "/readyz", "", 200},
	} {
		code, body := b.ask(tt.method, tt.path, tt.authorization)
		if code != tt.code {
			t.Errorf("%s: %d %s, want %d", tt.name, code, body, tt.code)
		}
		if strings.Contains(body, secret) || code == 401 && strings.Contains(body, "detail") {
			t.Errorf("%s: says too much: %s", tt.name, body)
		}
	}
	// All of them within a minute were one run.
	var runs int
	if err := b.pool.QueryRow(t.Context(), `SELECT count(*) FROM tidemill.run WHERE trigger = 'cron' AND job = 'report'`).Scan(&runs); err != nil || runs != 1 {
		t.Errorf("%d runs, %v", runs, err)
	}
	if strings.Contains(b.log.String(), secret) {
		t.Errorf("the log holds the secret: %s", b.log)
	}
}

// A body would be ignored, so it is refused, and nothing starts.
func TestATriggerTakesNoBody(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	for _, tt := range []struct {
		body string
		code int
	}{{`{"params": {"day": "2026-01-31"}}`, 400}, {"day=1", 400}, {"{}", 400}, {"", 202}} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", b.url+"/api/cron/nightly", io.NopCloser(strings.NewReader(tt.body)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+secret)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var runs int
		if err := b.pool.QueryRow(t.Context(), `SELECT count(*) FROM tidemill.run`).Scan(&runs); err != nil {
			t.Fatal(err)
		}
		if want := map[int]int{202: 1}[tt.code]; res.StatusCode != tt.code || runs != want {
			t.Errorf("body %q: %d and %d runs, want %d and %d", tt.body, res.StatusCode, runs, tt.code, want)
		}
	}
}

// Who waits for a moment gets an answer after it: 202 with the run as it is.
func TestShortWaits(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	for _, tt := range []struct {
		wait        string
		least, most time.Duration
	}{{"1ms", 0, 2 * time.Second}, {"2s", 2 * time.Second, 4 * time.Second}, {"", 0, 2 * time.Second}} {
		begin := time.Now()
		code, body := b.ask("GET", "/api/cron/nightly?wait="+tt.wait, "Bearer "+secret)
		took := time.Since(begin)
		if code != 202 || !strings.Contains(body, `"status":"enqueued"`) || took < tt.least || took > tt.most {
			t.Errorf("wait=%s: %d %s after %s, want 202 after %s to %s", tt.wait, code, body, took, tt.least, tt.most)
		}
	}
}

// A trigger after a run that has failed or was cancelled starts another; after one that has not, within a minute, it does not.
func TestTriggerAfterTheEnd(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		state string
		again bool
	}{{"discarded", true}, {"cancelled", true}, {"completed", false}, {"running", false}} {
		t.Run(tt.state, func(t *testing.T) {
			t.Parallel()
			b := setup(t, nil)
			run := func() int64 {
				code, body := b.ask("POST", "/api/cron/nightly", "Bearer "+secret)
				var answer struct{ Run int64 }
				if err := json.Unmarshal([]byte(body), &answer); err != nil || code != 202 || answer.Run == 0 {
					t.Fatalf("%d %s: %v", code, body, err)
				}
				return answer.Run
			}
			first := run()
			if err := b.endWhenThere(tt.state); err != nil {
				t.Fatal(err)
			}
			if second := run(); (second != first) != tt.again {
				t.Errorf("run %d, then %d", first, second)
			}
		})
	}
}

func TestCronDoorIsShutWithoutSecret(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *server.Opts) { o.CronSecrets = nil })
	for _, authorization := range []string{"", "Bearer ", "Bearer " + secret} {
		if code, _ := b.ask("GET", "/api/cron/nightly", authorization); code != 404 {
			t.Errorf("%q: %d", authorization, code)
		}
	}
}

func TestWaitForTheOutcome(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		state, want string
		code        int
	}{
		{"completed", "succeeded", 200}, {"discarded", "failed", 500}, {"cancelled", "cancelled", 500}, {"running", "running", 202},
	} {
		t.Run(tt.state, func(t *testing.T) {
			t.Parallel()
			b := setup(t, nil)
			ended := make(chan error, 1)
			go func() { ended <- b.endWhenThere(tt.state) }()
			wait := "20s"
			if tt.state == "running" {
				wait = "300ms"
			}
			code, body := b.ask("GET", "/api/cron/nightly?wait="+wait, "Bearer "+secret)
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			var answer struct {
				Run      int64
				Schedule string
				Status   string
			}
			if err := json.Unmarshal([]byte(body), &answer); err != nil {
				t.Fatalf("%s: %v", body, err)
			}
			if code != tt.code || answer.Run == 0 || answer.Schedule != "nightly" || tt.state != "running" && answer.Status != tt.want {
				t.Errorf("%d %s, want %d %s", code, body, tt.code, tt.want)
			}
		})
	}
}

// endWhenThere moves the first job to a state, as River does.
func (b *bundle) endWhenThere(state string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		tag, err := b.pool.Exec(ctx, `UPDATE tidemill.river_job SET state = $1::text::tidemill.river_job_state,
			finalized_at = CASE WHEN $1 <> 'running' THEN now() END`, state)
		if err != nil || tag.RowsAffected() > 0 {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func TestNotReady(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *server.Opts) {
		o.Ready = func(context.Context) error { return errors.New("host db.internal is away") }
	})
	code, body := b.ask("GET", "/readyz", "")
	if code != 503 || strings.Contains(body, "db.internal") {
		t.Errorf("%d %s", code, body)
	}
	if code, _ := b.ask("GET", "/livez", ""); code != 200 {
		t.Errorf("livez: %d", code)
	}
}
