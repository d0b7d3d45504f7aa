package examples

import (
	"encoding/json"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/childproc"
)

const debianRuby = "puma ruby ruby-activejob ruby-activerecord ruby-pg ruby-rack"

// setupRails starts puma, as Rails does, and a worker.
func setupRails(t *testing.T, file string) *world {
	t.Helper()
	return setupRailsThrough(t, file, func(database, _ string) string { return database })
}

func setupRailsThrough(t *testing.T, file string, through func(database, role string) string) *world {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "ruby", "-ractive_job", "-ractive_record", "-rpg", "-rpuma", "-rrack", "-e", "")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v; type: apt-get install %s\n%s", err, debianRuby, out)
	}
	w := setupThrough(t, "rails/tidemill.yaml", childproc.Command{
		Argv: []string{"puma", "--environment", "production", "--bind", "tcp://127.0.0.1:0", "--threads", "5:5", file},
	}, through)
	w.work(t)
	return w
}

func TestRails(t *testing.T) {
	t.Parallel()
	w := setupRails(t, "rails/config.ru")
	signUps(t, w, "/signup")
	deliveries(t, w, "/tidemill")
	littlePrivilege(t, w)
}

func TestRailsThroughPgBouncer(t *testing.T) {
	t.Parallel()
	w := setupRailsThrough(t, "rails/config.ru", func(database, role string) string {
		return pooled(t)(database, role) + "&prepared_statements=false"
	})
	signUps(t, w, "/signup")
}

func TestActiveJob(t *testing.T) {
	t.Parallel()
	w := setupRails(t, "testdata/jobs.ru")

	// ended waits for all runs of a class and returns what came of them, one line each.
	ended := func(class string, runs int) []string {
		t.Helper()
		w.wait(t, `SELECT count(*) FILTER (WHERE finished_at IS NOT NULL) = $2 FROM tidemill.run WHERE params->>'job_class' = $1`, class, runs)
		return strings.Split(w.ask(t, `SELECT string_agg(concat_ws(' ', status, result->>'status', params->>'executions'), E'\n' ORDER BY params->>'executions')
			FROM tidemill.run WHERE params->>'job_class' = $1`, class), "\n")
	}

	t.Run("delay, queue and priority", func(t *testing.T) {
		t.Parallel()
		const query = `SELECT concat_ws(' ', state, queue, priority, due BETWEEN '59 min' AND '1 hour', params->>'provider_job_id')
			FROM tidemill.river_job j JOIN tidemill.run USING (id), LATERAL (SELECT j.scheduled_at - now() AS due) d WHERE id = $1`
		id := w.enqueue(t, map[string]any{"class": "LaterJob", "set": map[string]any{"wait": 3600}})[0]
		if got, want := w.ask(t, query, id), "scheduled low 3 t"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		id = w.enqueue(t, map[string]any{"class": "LaterJob", "set": map[string]any{"wait_until": time.Now().Add(time.Hour).Unix(), "queue": "mailers", "priority": 1}})[0]
		if got, want := w.ask(t, query, id), "scheduled mailers 1 t"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})

	t.Run("unknown queue", func(t *testing.T) {
		t.Parallel()
		status, answer := w.post(t, "/enqueue", map[string]any{"class": "LaterJob", "set": map[string]any{"queue": "lo"}})
		if status != http.StatusBadRequest || !strings.Contains(answer, "queue lo is unknown") || !strings.Contains(answer, "known queues: default, low, mailers") {
			t.Errorf("%d %s", status, answer)
		}
	})

	t.Run("retry_on enqueues again", func(t *testing.T) {
		t.Parallel()
		w.enqueue(t, map[string]any{"class": "FlakyJob"})
		want := []string{"succeeded 200 0", "succeeded 200 0", "succeeded 200 1", "succeeded 200 1", "succeeded 200 2", "succeeded 200 2"}
		if diff := cmp.Diff(want, ended("FlakyJob", 6)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})

	t.Run("discard_on ends", func(t *testing.T) {
		t.Parallel()
		w.enqueue(t, map[string]any{"class": "DiscardedJob"})
		if diff := cmp.Diff([]string{"succeeded 200 0", "succeeded 200 0"}, ended("DiscardedJob", 2)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})

	t.Run("what raises is tried again", func(t *testing.T) {
		t.Parallel()
		id := w.enqueue(t, map[string]any{"class": "BrokenJob"})[0]
		w.wait(t, `SELECT result->>'attempt' = '2' AND status = 'retrying' FROM tidemill.run WHERE id = $1`, id)
		if got, want := w.ask(t, `SELECT error FROM tidemill.run WHERE id = $1`, id), ": 500 Internal Server Error: RuntimeError: no such luck"; !strings.HasSuffix(got, want) {
			t.Errorf("error %q, want %q", got, want)
		}
	})
}

// enqueue returns the ids of the runs.
func (w *world) enqueue(t *testing.T, form map[string]any) []int64 {
	t.Helper()
	status, answer := w.post(t, "/enqueue", form)
	var ids []int64
	if err := json.Unmarshal([]byte(answer), &ids); err != nil || status != http.StatusOK || len(ids) != 2 || ids[0] == ids[1] {
		t.Fatalf("enqueue: %d %s", status, answer)
	}
	return ids
}

// ask runs a query that returns one text.
func (w *world) ask(t *testing.T, query string, args ...any) string {
	t.Helper()
	var text string
	if err := w.pool.QueryRow(t.Context(), query, args...).Scan(&text); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return text
}
