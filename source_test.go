package tidemill

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/internal/kinds/importjob"
)

// look starts the job and returns what its end says.
func (b *sourceBundle) look(t *testing.T) importjob.ScanResult {
	t.Helper()
	started, err := b.Start(t.Context(), "drop", nil)
	if err != nil {
		t.Fatal(err)
	}
	waitStatus(t, b.App, started.ID, batch.Succeeded)
	return b.result(t, started.ID)
}

func (b *sourceBundle) result(t *testing.T, id int64) (result importjob.ScanResult) {
	t.Helper()
	info, err := b.Ledger.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(info.Result, &result); err != nil {
		t.Fatalf("%s: %v", info.Result, err)
	}
	return result
}

// imported waits for the runs, and returns what they wrote, in order.
func (b *sourceBundle) imported(t *testing.T, runs int) string {
	t.Helper()
	if err := waitFor(t, b.App, runs, `SELECT count(*)::int FROM tidemill.run WHERE kind = 'tidemill.import' AND status = 'succeeded'`); err != nil {
		t.Fatal(err)
	}
	return must(ask[string](t, b.App, `SELECT coalesce(string_agg(name, ' ' ORDER BY name), '') FROM people`))
}

func TestSource(t *testing.T) {
	t.Parallel()

	eachDrop(t, `then: {success: after, failure: failed}`, looksForFiles)
}

func looksForFiles(t *testing.T, b *sourceBundle) {
	work(t, b.App)
	if note := b.look(t).Note; note != "no file matches "+b.source() {
		t.Error(note)
	}
	b.put(t, "a.csv", "name,file\nann,a\n")
	b.put(t, "b.csv", "name,file\nbob,b\n")
	b.put(t, "a2.csv", "name,file\nann,a\n")
	b.put(t, "c.csv.part", "name,file\nhalf")
	b.put(t, "c.txt", "name,file\nnone,c\n")
	first := b.look(t)
	if diff := cmp.Diff(importjob.ScanResult{
		Source: b.source(), Files: 3, New: 3, Same: 1, Runs: first.Runs,
		Note: fmt.Sprintf("3 new of 3 files, runs %d %d, 1 with content that has a run already", first.Runs[0], first.Runs[1]),
	}, first); diff != "" || len(first.Runs) != 2 {
		t.Error(diff)
	}
	if got := b.imported(t, 2); got != "ann bob" {
		t.Error(got)
	}
	info, err := b.Ledger.Get(t.Context(), first.Runs[1])
	if err != nil {
		t.Fatal(err)
	}
	var params map[string]any
	if err := json.Unmarshal(info.Params, &params); err != nil || params["source"] != b.base+"b.csv" || params["file"] != "b.csv" || info.Trigger != "source" {
		t.Errorf("%s, %s, %v", info.Params, info.Trigger, err)
	}

	// What was seen is known; what has changed is new.
	if note := b.look(t).Note; note != "none of 3 files is new" {
		t.Error(note)
	}
	b.put(t, "b.csv", "name,file\nbea,b\n")
	third := b.look(t)
	if third.New != 1 || len(third.Runs) != 1 || third.Note != fmt.Sprintf("1 new of 3 files, run %d", third.Runs[0]) {
		t.Errorf("%+v", third)
	}
	if got := b.imported(t, 3); got != "ann bea bob" {
		t.Error(got)
	}

	// The source is not there as a whole; the ledger may forget all runs, and nothing is imported again.
	back := b.lose(t)
	lost, err := b.Start(t.Context(), "drop", nil)
	if err != nil {
		t.Fatal(err)
	}
	waitStatus(t, b.App, lost.ID, batch.Failed)
	if info, err = b.Ledger.Get(t.Context(), lost.ID); err != nil || *info.Error != b.lost {
		t.Errorf("%s, %v", *info.Error, err)
	}
	back()
	if _, err := b.Pool.Exec(t.Context(), `DELETE FROM tidemill.run WHERE kind = 'tidemill.import' AND finished_at IS NOT NULL`); err != nil {
		t.Fatal(err)
	}
	if note := b.look(t).Note; note != "none of 3 files is new" {
		t.Error(note)
	}
	// What follows comes after each import, and after a scan only if that failed.
	for job, want := range map[string]int{"after": 3, "failed": 1} {
		if err := waitFor(t, b.App, want, `SELECT count(*)::int FROM tidemill.run WHERE trigger = 'then' AND status = 'succeeded' AND job = '`+job+`'`); err != nil {
			t.Error(err)
		}
	}
	if n := must(ask[int](t, b.App, `SELECT count(*)::int FROM tidemill.event`)); n != 0 {
		t.Errorf("%d events are left", n)
	}
}

// Looks that overlap, in two processes, start each file once.
func TestSourceManyLooksAtOnce(t *testing.T) {
	t.Parallel()

	eachDrop(t, "", manyLooks)
}

func manyLooks(t *testing.T, b *sourceBundle) {
	const files, looks = 30, 6
	for i := range files {
		b.put(t, fmt.Sprintf("%02d.csv", i), fmt.Sprintf("name,file\nn%02d,x\n", i))
	}
	other, err := New(t.Context(), b.Config, &Opts{Logger: b.logger})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Close)
	river.AddWorker(other.Workers, &verdictWorker{})
	var ids []int64
	for range looks {
		started, err := b.Start(t.Context(), "drop", nil)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, started.ID)
	}
	work(t, b.App)
	work(t, other)
	found := int64(0)
	for _, id := range ids {
		waitStatus(t, b.App, id, batch.Succeeded)
		found += b.result(t, id).New
	}
	if found != files {
		t.Errorf("%d files were new to somebody, want %d", found, files)
	}
	if got := strings.Count(b.imported(t, files), "n"); got != files {
		t.Errorf("%d rows, want %d", got, files)
	}
	if n := must(ask[int](t, b.App, `SELECT count(*)::int FROM tidemill.run WHERE kind = 'tidemill.import'`)); n != files {
		t.Errorf("%d imports, want %d", n, files)
	}
}

// A scan that dies between two files continues with those that have no run yet.
func TestSourceLookThatIsInterrupted(t *testing.T) {
	t.Parallel()

	eachDrop(t, "", interruptedLook)
}

func interruptedLook(t *testing.T, b *sourceBundle) {
	for _, name := range []string{"a", "b", "c", "d"} {
		b.put(t, name+".csv", "name,file\n"+name+",x\n")
	}
	if _, err := b.Pool.Exec(t.Context(), `
CREATE TABLE obstacle ();
CREATE FUNCTION obstruct() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.params->>'file' = 'c.csv' AND to_regclass('obstacle') IS NOT NULL THEN
		RAISE 'not yet' USING ERRCODE = '58030';
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER obstruct BEFORE INSERT ON tidemill.run FOR EACH ROW EXECUTE FUNCTION obstruct()`); err != nil {
		t.Fatal(err)
	}
	work(t, b.App)
	started, err := b.Start(t.Context(), "drop", nil)
	if err != nil {
		t.Fatal(err)
	}
	waitStatus(t, b.App, started.ID, batch.Retrying)
	if _, err := b.Pool.Exec(t.Context(), `DROP TABLE obstacle`); err != nil {
		t.Fatal(err)
	}
	waitStatus(t, b.App, started.ID, batch.Succeeded)
	if result := b.result(t, started.ID); result.New != 4 || len(result.Runs) != 4 || result.Files != 4 {
		t.Errorf("%+v", result)
	}
	if got := b.imported(t, 4); got != "a b c d" {
		t.Error(got)
	}
}

// A file that cannot be read fails the scan, but holds up no other.
func TestSourceUnreadableFile(t *testing.T) {
	t.Parallel()

	b := setupSource(t, dropDirectory(t), "")
	b.put(t, "\xff.csv", "name,file\nnobody,x\n")
	b.put(t, "z.csv", "name,file\nzoe,z\n")
	work(t, b.App)
	started, err := b.Start(t.Context(), "drop", nil)
	if err != nil {
		t.Fatal(err)
	}
	waitStatus(t, b.App, started.ID, batch.Failed)
	info, err := b.Ledger.Get(t.Context(), started.ID)
	if err != nil {
		t.Fatal(err)
	}
	run := must(ask[int64](t, b.App, `SELECT run FROM tidemill.source_file`))
	want := fmt.Sprintf(`1 of 2 files cannot be read: "%s\xff.csv": its name is not UTF-8; 1 new of 1 file, run %d`, b.base, run)
	if *info.Error != want {
		t.Errorf("%s, want %s", *info.Error, want)
	}
	if got := b.imported(t, 1); got != "zoe" {
		t.Error(got)
	}
}

// What became of a file since its import was started is no reason to import something else.
func TestSourceFileChangesBeforeItsImport(t *testing.T) {
	t.Parallel()

	for name, tt := range map[string]struct {
		change func(t *testing.T, b *sourceBundle)
		want   string
	}{
		"changed": {func(t *testing.T, b *sourceBundle) { b.put(t, "a.csv", "name,file\nmore,a\n") }, "has changed since this run was started"},
		"removed": {func(t *testing.T, b *sourceBundle) { b.remove(t, "a.csv") }, "is gone; put it there again"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachDrop(t, "", func(t *testing.T, b *sourceBundle) {
				b.put(t, "a.csv", "name,file\nann,a\n")
				run := b.startFile(t, b.base+"a.csv", b.version(t, "a.csv"))
				tt.change(t, b)
				b.fails(t, run, tt.want)
			})
		})
	}
	t.Run("a link", func(t *testing.T) {
		t.Parallel()
		b := setupSource(t, dropDirectory(t), "")
		b.put(t, "a.csv", "name,file\nann,a\n")
		run := b.startFile(t, b.base+"a.csv", b.version(t, "a.csv"))
		path := strings.TrimPrefix(b.base, "file://") + "a.csv"
		if err := os.Rename(path, path+".real"); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path+".real", path); err != nil {
			t.Fatal(err)
		}
		b.fails(t, run, "has changed since this run was started")
	})
	t.Run("elsewhere", func(t *testing.T) {
		t.Parallel()
		eachDrop(t, "", func(t *testing.T, b *sourceBundle) {
			b.put(t, "a.csv", "name,file\nann,a\n")
			b.fails(t, b.startFile(t, "file:///elsewhere/a.csv", b.version(t, "a.csv")), "which is not below "+b.base)
		})
	})
}

// startFile starts an import of that version of a file.
func (b *sourceBundle) startFile(t *testing.T, url, version string) int64 {
	t.Helper()
	var size int64
	if _, err := fmt.Sscanf(version, "%d-", &size); err != nil {
		t.Fatal(err)
	}
	var started *batch.Started
	err := pgx.BeginFunc(t.Context(), b.Pool, func(tx pgx.Tx) (err error) {
		started, err = importjob.StartFound(b.Ledger)(t.Context(), tx, b.Config.Jobs["drop"], importjob.Args{
			Job: "drop", Name: path.Base(url), Size: size, SHA256: "x", Definition: b.Config.Jobs["drop"].Hash(),
			Source: url, Version: version,
		}, 1)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return started.ID
}

// fails works the run, which must fail at once, with these words, and write nothing.
func (b *sourceBundle) fails(t *testing.T, run int64, want string) {
	t.Helper()
	work(t, b.App)
	waitStatus(t, b.App, run, batch.Failed)
	info, err := b.Ledger.Get(t.Context(), run)
	if err != nil || !strings.Contains(*info.Error, want) {
		t.Errorf("%s, %v; want %s", *info.Error, err, want)
	}
	if got := must(ask[int](t, b.App, `SELECT count(*)::int FROM people`)); got != 0 {
		t.Errorf("%d rows were written", got)
	}
}

func TestSourceStartedBySQLAndSchedule(t *testing.T) {
	t.Parallel()

	b := setupSource(t, dropDirectory(t), `schedule: {every: 24h, catch_up_window: 365d}`)
	ctx := context.Background()
	if _, err := b.Pool.Exec(ctx, `SELECT tidemill.start('drop', '{"file": "a.csv"}')`); err == nil || !strings.Contains(err.Error(), "has no param file") {
		t.Errorf("params by SQL: %v", err)
	}
	if _, err := b.Start(ctx, "drop", Params{"file": "a.csv"}); err == nil || !strings.Contains(err.Error(), `param "file"`) {
		t.Errorf("params: %v", err)
	}
	b.put(t, "a.csv", "name,file\nann,a\n")
	id := must(ask[int64](t, b.App, `SELECT tidemill.start('drop')`))
	work(t, b.App)
	waitStatus(t, b.App, id, batch.Succeeded)
	if result := b.result(t, id); result.New != 1 {
		t.Errorf("%+v", result)
	}
	if got := b.imported(t, 1); got != "ann" {
		t.Error(got)
	}

	b.put(t, "b.csv", "name,file\nbob,b\n")
	if _, err := b.Pool.Exec(ctx, `UPDATE tidemill.schedule SET next_tick_at = next_tick_at - interval '1 day'`); err != nil {
		t.Fatal(err)
	}
	if err := waitFor(t, b.App, 1, `SELECT count(*)::int FROM tidemill.run WHERE trigger = 'schedule' AND kind = 'tidemill.scan' AND status = 'succeeded'`); err != nil {
		t.Fatal(err)
	}
	if got := b.imported(t, 2); got != "ann bob" {
		t.Error(got)
	}
}
