package chaos

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/internal/testengine"
	"github.com/tidemill/tidemill/migrations"
)

// The parts are small, so that there is always one to come when a worker is killed.
const exportConfig = `
database: {url: "${DATABASE_URL}"}
storage: {url: "file://${CHAOS_DIR}/storage"}
metrics: {listen: ""}
jobs:
  rows: {kind: export, table: public.rows, chunk: 500, compression: gzip}
  moving: {kind: export, table: public.rows, chunk: 500}
`

func setupExport(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{dir: t.TempDir(), url: testengine.URL(t), random: newRandom(t)}
	b.pool = testdb.Pool(t, b.url)
	b.ledger = batch.NewLedger(b.pool, migrations.Schema{}, nil)
	_, err := b.pool.Exec(context.Background(), `CREATE TABLE public.rows (id bigint PRIMARY KEY, name text, note text, at timestamptz);
		INSERT INTO rows SELECT i, 'name ' || i, CASE i % 5 WHEN 0 THEN NULL WHEN 1 THEN '' WHEN 2 THEN '=' || i ELSE E'a "b",\n' || i END,
			'2026-01-01'::timestamptz + i * interval '1 s' FROM generate_series(1, `+strconv.Itoa(*rows)+`) i; ANALYZE rows`)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.dir, "tidemill.yaml"), []byte(exportConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bundle) run(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := b.command(t, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, &stderr)
	}
	return out
}

func (b *bundle) startExport(t *testing.T, job string) int64 {
	t.Helper()
	var started struct{ ID int64 }
	if err := json.Unmarshal(b.run(t, "export", job, "--detach", "--json"), &started); err != nil {
		t.Fatal(err)
	}
	return started.ID
}

// killExport kills whatever worker runs the export, as often as asked, each time after some more parts.
func (b *bundle) killExport(t *testing.T, id int64) {
	t.Helper()
	workers := map[int]*worker{}
	start := func() {
		w := b.startWorker(t)
		workers[w.cmd.Process.Pid] = w
	}
	start()
	start()
	parts := *rows * 2 / 3 / 500 // at least
	killed, last := 0, ""
	for killed < *kills {
		pid, process, ok := b.waitOwner(t, id, last)
		if !ok {
			break
		}
		for at, info := int64(killed*parts/(*kills+2)), b.info(t, id); info.Seq < at && !info.Status.Final(); info = b.info(t, id) {
			pause(time.Millisecond)
		}
		pause(time.Duration(b.random.IntN(50)) * time.Millisecond)
		if now, _ := b.owner(t, id); now != pid {
			break // it has ended
		}
		w := workers[pid]
		if w == nil {
			t.Fatalf("run is at process %d, which is not a worker of this test", pid)
		}
		if err := w.cmd.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_ = w.cmd.Wait()
		delete(workers, pid)
		killed, last = killed+1, process
		start()
	}
	info := b.waitFinal(t, id)
	if info.Status != batch.Succeeded {
		t.Fatalf("run %d is %s: %v", id, info.Status, info.Error)
	}
	t.Logf("%d kills; the run ended after %d chunks, %s", killed, info.Seq, info.FinishedAt.Sub(*info.StartedAt).Round(time.Second))
	if killed < *kills {
		t.Errorf("the export ended after %d of %d kills; give it more -chaos.rows", killed, *kills)
	}
}

// An export whose worker is killed again and again, and that continues in another process with a storage of its own, is the
// same to the byte as one that nobody disturbs.
func TestExportKilled(t *testing.T) {
	t.Parallel()

	b := setupExport(t)
	id := b.startExport(t, "rows")
	b.killExport(t, id)
	killed := b.run(t, "runs", "download", strconv.FormatInt(id, 10), "-o", "-")
	again := b.startExport(t, "rows")
	if info := b.waitFinal(t, again); info.Status != batch.Succeeded {
		t.Fatalf("%s: %v", info.Status, info.Error)
	}
	undisturbed := b.run(t, "runs", "download", strconv.FormatInt(again, 10), "-o", "-")
	if !bytes.Equal(killed, undisturbed) {
		t.Errorf("the file has %d bytes, and %d undisturbed; or others", len(killed), len(undisturbed))
	}
	// What the killed attempts had begun is gone.
	var objects int
	if err := filepath.WalkDir(filepath.Join(b.dir, "storage", "exports", "rows", strconv.FormatInt(id, 10)), func(_ string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			objects++
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if want := (*rows+499)/500 + 1; objects != want {
		t.Errorf("%d objects in the storage, want %d", objects, want)
	}
}

// Beside others who insert, update and delete, no row is there twice, none that stood throughout is missing, and none is
// there that never was.
func TestExportKilledBesideWriters(t *testing.T) {
	t.Parallel()

	b := setupExport(t)
	ctx, stop := context.WithCancel(context.Background())
	var writing sync.WaitGroup
	defer writing.Wait()
	defer stop()
	conn, err := pgx.Connect(ctx, b.url)
	if err != nil {
		t.Fatal(err)
	}
	writing.Go(func() {
		defer func() { _ = conn.Close(context.Background()) }()
		for i := 0; ctx.Err() == nil; i++ {
			// Rows whose id is a multiple of 3 come and go; those of the others stand, whatever is written to them.
			_, _ = conn.Exec(context.Background(), `DELETE FROM rows WHERE id = $1`, 3*((i*7919)%(*rows/3))+3)
			_, _ = conn.Exec(context.Background(), `INSERT INTO rows VALUES ($1, 'new', 'new') ON CONFLICT DO NOTHING`, 3*((i*104729)%(*rows/3))+3)
			_, _ = conn.Exec(context.Background(), `UPDATE rows SET note = 'updated' WHERE id = $1`, (i*15485863)%*rows+1)
		}
	})
	id := b.startExport(t, "moving")
	b.killExport(t, id)
	stop()
	writing.Wait()

	r := csv.NewReader(bytes.NewReader(b.run(t, "runs", "download", strconv.FormatInt(id, 10), "-o", "-")))
	if _, err := r.Read(); err != nil {
		t.Fatal(err)
	}
	last, standing := 0, 0
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		row, err := strconv.Atoi(record[0])
		if err != nil || row <= last || row > *rows {
			t.Fatalf("row %q follows %d: %v", record[0], last, err)
		}
		if last = row; row%3 != 0 {
			standing++
		}
	}
	if want := *rows - *rows/3; standing != want {
		t.Errorf("%d of the %d rows that stood throughout", standing, want)
	}
}

func newRandom(t *testing.T) *rand.Rand {
	t.Helper()
	s := *seed
	if s == 0 {
		s = uint64(time.Now().UnixNano())
	}
	t.Logf("-chaos.seed %d", s)
	return rand.New(rand.NewPCG(s, 1))
}
