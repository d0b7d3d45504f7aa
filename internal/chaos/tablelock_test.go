package chaos

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/testengine"
)

var tableLock = flag.Duration("chaos.tablelock", 30*time.Second, "how long TestTableLock locks the table of the files")

const tableLockConfig = `
database: {url: "${DATABASE_URL}"}
storage: {url: "file://${CHAOS_DIR}/storage"}
metrics: {listen: ""}
queues: {default: 10, files: 20}
retry: {max_attempts: 3, delay: 1s}
jobs:
  drop: {kind: import, queue: files, source: "file://${CHAOS_DIR}/drop/*.csv", table: public.dropped, match: [id], on_conflict: error}
  note: {kind: sql, statement: "INSERT INTO public.ended (job) VALUES (:round)", params: {round: integer}}
  call: `

// Twenty files of a source wait for a lock of their table, with as many connections as they want. The jobs of another queue
// continue as before, and none of their commands runs twice.
//
//	go test ./internal/chaos -run TableLock -chaos.tablelock 100s -timeout 30m -v
func TestTableLock(t *testing.T) {
	t.Parallel()

	const files, lines = 20, 100
	b := setupJobsAt(t, testengine.URL(t))
	records := recordsIn(t, b.dir)
	b.write(t, "tidemill.yaml", tableLockConfig+commandJob(t, records, lastVariable, "10ms")+"\n")
	b.exec(t, `CREATE TABLE public.dropped (id int PRIMARY KEY)`)
	for i := range files {
		var text strings.Builder
		text.WriteString("id\n")
		for n := range lines {
			fmt.Fprintln(&text, i*lines+n)
		}
		b.write(t, fmt.Sprintf("drop/%02d.csv", i), text.String())
	}
	w := b.startAt(t, b.url)
	b.until(t, 1, 30*time.Second, livingWorker, w.cmd.Process.Pid)
	b.until(t, 1, 30*time.Second, `SELECT count(*) FROM tidemill.job WHERE name = 'note'`)

	p := &pace{b: b}
	p.keep(t, 3*time.Second) // everything has run once
	before := p.keep(t, 10*time.Second)
	release := b.holdBy(t, `LOCK TABLE public.dropped IN ACCESS EXCLUSIVE MODE`)
	b.exec(t, `SELECT tidemill.start('drop')`)
	b.until(t, files, 30*time.Second, `SELECT count(*) FROM tidemill.river_job WHERE kind = 'tidemill.import'`)
	during := p.keep(t, *tableLock)
	waiting := b.count(t, `SELECT count(*) FROM pg_locks WHERE relation = 'public.dropped'::regclass AND NOT granted`)
	release()
	b.until(t, 0, time.Minute, `SELECT count(*) FROM tidemill.river_job WHERE finalized_at IS NULL`)

	t.Logf("%d files, %d of them at the lock, for %s: %.1f jobs a second of the other queue ended before, %.1f meanwhile", files, waiting, *tableLock, before, during)
	if during < before/2 {
		t.Errorf("%.1f jobs a second ended while the table was locked, %.1f before", during, before)
	}
	starts := 0
	for _, moments := range moments(t, records) {
		starts += count(moments, "start")
	}
	inserts := b.count(t, `SELECT count(*) FROM public.ended`)
	if starts != p.started || inserts != p.started {
		t.Errorf("%d commands ran %d times, and as many statements %d times", p.started, starts, inserts)
	}
	if n := b.count(t, `SELECT count(*) FROM tidemill.river_job WHERE state <> 'completed' OR attempt <> 1 OR errors IS NOT NULL`); n > 0 {
		t.Errorf("%d jobs failed or were tried again", n)
	}
	if n := b.count(t, `SELECT count(*) FROM public.dropped`); n != files*lines {
		t.Errorf("%d rows came of %d files of %d", n, files, lines)
	}
}

// pace starts a command and a statement four times a second.
type pace struct {
	b       *jobBundle
	started int
}

// keep does so for a while, and returns how many of them ended a second.
func (p *pace) keep(t *testing.T, d time.Duration) float64 {
	t.Helper()
	const ended = `SELECT count(*) FROM tidemill.river_job WHERE kind IN ('tidemill.command', 'tidemill.sql') AND finalized_at IS NOT NULL`
	began, before := time.Now(), p.b.count(t, ended)
	for n := 0; time.Since(began) < d; n++ {
		p.started++
		if _, err := p.b.pool.Exec(context.Background(), `SELECT tidemill.start(job, jsonb_build_object('round', $1::int)) FROM unnest('{call,note}'::text[]) job`, p.started); err != nil {
			t.Fatal(err)
		}
		pause(time.Until(began.Add(time.Duration(n+1) * 250 * time.Millisecond)))
	}
	return float64(p.b.count(t, ended)-before) / time.Since(began).Seconds()
}

func (b *jobBundle) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(b.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
