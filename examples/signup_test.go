package examples

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/internal/webhook"
)

// waitBound is how long runs may take; nearly all of it is patience with a busy machine.
const waitBound = 60 * time.Second

// signUps sends sign-ups side by side, of which each second one fails after its job was enqueued, and holds what is in the
// database against what must be: a job for each that committed, performed once, and nothing of the others.
func signUps(t *testing.T, w *world, path string) {
	t.Helper()
	const pairs = 5
	var group sync.WaitGroup
	for i := range pairs {
		email := fmt.Sprintf("user%d@example.com", i)
		group.Go(func() { // the plan is unknown: rolled back
			if status, answer := w.post(t, path, map[string]any{"email": "other-" + email, "plan": "gold"}); status != http.StatusUnprocessableEntity {
				t.Errorf("sign-up that fails: %d %s", status, answer)
			}
		})
		group.Go(func() {
			if status, answer := w.post(t, path, map[string]any{"email": email, "plan": "team"}); status != http.StatusCreated {
				t.Errorf("sign-up: %d %s", status, answer)
			}
		})
	}
	group.Wait()
	w.wait(t, `SELECT count(*) = 0 FROM tidemill.river_job WHERE finalized_at IS NULL`)

	type counts struct{ Users, Subscriptions, Jobs, Runs, First, Welcomes, Welcomed int }
	rows, err := w.pool.Query(t.Context(), `SELECT
		(SELECT count(*) FROM app.users),
		(SELECT count(*) FROM app.subscriptions),
		(SELECT count(*) FROM tidemill.river_job),
		(SELECT count(*) FROM tidemill.run),
		(SELECT count(*) FROM tidemill.run WHERE status = 'succeeded' AND trigger = 'sql' AND result @> '{"attempt": 1, "status": 200}'),
		(SELECT count(*) FROM app.welcomes),
		(SELECT count(DISTINCT user_id) FROM app.welcomes)`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[counts])
	if err != nil {
		t.Fatal(err)
	}
	want := counts{Users: pairs, Subscriptions: pairs, Jobs: pairs, Runs: pairs, First: pairs, Welcomes: pairs, Welcomed: pairs}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
}

// deliveries sends the request of a run that is done again: with the right signature, which must do nothing a second time,
// and with wrong ones, which must be refused.
func deliveries(t *testing.T, w *world, path string) {
	t.Helper()
	var id, run, job string
	var params json.RawMessage
	err := w.pool.QueryRow(t.Context(), `SELECT w.id, r.id::text, r.job, r.params FROM tidemill.run r, app.welcomes w
		WHERE r.params->>'user' = w.user_id::text OR r.params->>'job_id' = w.id ORDER BY r.id LIMIT 1`).Scan(&id, &run, &job, &params)
	if err != nil {
		t.Fatal(err)
	}
	request := func(id string) []byte {
		body, err := json.Marshal(map[string]any{"id": id, "run": run, "job": job, "params": params, "attempt": 2, "scheduled_for": time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	body, forged := request(id), request("forged")
	now := time.Now()
	for _, tt := range []struct {
		name   string
		signed webhook.Headers
		body   []byte
		want   int
	}{
		{"repeated", sign(t, w.secret, id, now, body), body, http.StatusOK},
		{"signed by another", sign(t, newSecret(), id, now, body), body, http.StatusUnauthorized},
		{"other body", sign(t, w.secret, id, now, body), forged, http.StatusUnauthorized},
		{"recorded long ago", sign(t, w.secret, id, now.Add(-time.Hour), body), body, http.StatusUnauthorized},
		{"from the future", sign(t, w.secret, id, now.Add(time.Hour), body), body, http.StatusUnauthorized},
		{"empty signature", webhook.Headers{ID: "1", Timestamp: strconv.FormatInt(now.Unix(), 10)}, forged, http.StatusUnauthorized},
		{"not signed", webhook.Headers{}, forged, http.StatusUnauthorized},
	} {
		header := http.Header{}
		if tt.signed != (webhook.Headers{}) {
			tt.signed.Set(header)
		}
		if status, answer := w.send(t, path, header, tt.body); status != tt.want {
			t.Errorf("%s: %d %s, want %d", tt.name, status, answer, tt.want)
		}
	}
	var welcomes, users int
	if err := w.pool.QueryRow(t.Context(), `SELECT count(*), count(DISTINCT user_id) FROM app.welcomes`).Scan(&welcomes, &users); err != nil {
		t.Fatal(err)
	}
	if welcomes != users {
		t.Errorf("%d welcomes of %d users", welcomes, users)
	}
}

// littlePrivilege holds what the program's role may do in Tidemill's schema against what it must.
func littlePrivilege(t *testing.T, w *world) {
	t.Helper()
	type privileges struct {
		Create    bool
		Tables    []string
		Functions []string // none of which PUBLIC may call
	}
	rows, err := w.pool.Query(t.Context(), `SELECT
		has_schema_privilege($1, 'tidemill', 'CREATE'),
		(SELECT array_agg(relname ORDER BY relname) FROM pg_class WHERE relnamespace = 'tidemill'::regnamespace AND relkind IN ('r', 'v', 'm', 'p', 'f')
			AND has_table_privilege($1, oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')),
		(SELECT array_agg(proname ORDER BY proname) FROM pg_proc WHERE pronamespace = 'tidemill'::regnamespace
			AND has_function_privilege($1, oid, 'EXECUTE') AND NOT has_function_privilege('public', oid, 'EXECUTE'))`, w.role)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[privileges])
	if err != nil {
		t.Fatal(err)
	}
	want := privileges{Functions: []string{"cancel", "enqueue", "run_begin", "run_fail", "run_finish", "start"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var user string
	if err := w.pool.QueryRow(t.Context(), `SELECT string_agg(DISTINCT usename, ' ') FROM pg_stat_activity WHERE usename LIKE 'app\_%' AND datname = current_database()`).Scan(&user); err != nil {
		t.Fatal(err)
	}
	if user != w.role {
		t.Errorf("the program connects as %s, want %s", user, w.role)
	}
}

func sign(t *testing.T, secret, id string, at time.Time, body []byte) webhook.Headers {
	t.Helper()
	secrets, err := webhook.ParseSecrets([]string{secret})
	if err != nil {
		t.Fatal(err)
	}
	return webhook.Sign(secrets, id, at, body)
}

func (w *world) post(t *testing.T, path string, body any) (int, string) {
	t.Helper()
	encoded, err := json.Marshal(body)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	return w.send(t, path, http.Header{}, encoded)
}

// send may be called from several goroutines; after an error, the status is 0.
func (w *world) send(t *testing.T, path string, header http.Header, body []byte) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.base+path, bytes.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	request.Header = header
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Error(err)
	}
	return response.StatusCode, string(answer)
}

// wait waits until a query says true.
func (w *world) wait(t *testing.T, query string, args ...any) {
	t.Helper()
	deadline := time.NewTimer(waitBound)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var done bool
		if err := w.pool.QueryRow(t.Context(), query, args...).Scan(&done); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		if done {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("after %s it is still not so: %s %v\n%s", waitBound, query, args, w.runs(t))
		}
	}
}

// runs describes all runs, for messages.
func (w *world) runs(t *testing.T) string {
	t.Helper()
	var text string
	err := w.pool.QueryRow(t.Context(), `SELECT coalesce(string_agg(concat_ws(' ', id, status, error, result), E'\n'), 'no runs') FROM tidemill.run`).Scan(&text)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
