package importjob_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidemill/tidemill/workers/kind"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/kinds/importjob"
	"github.com/tidemill/tidemill/internal/storage"
	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/internal/testengine"
	"github.com/tidemill/tidemill/workers"
)

var (
	anythingFor  = flag.Duration("anything.for", 5*time.Second, "how long TestImportOfAnything imports")
	anythingSeed = flag.Uint64("anything.seed", 0, "of the first file; those after it have the next ones; 0 = by the clock, printed")
)

const (
	anythingLanes = 8 // imports at a time, each into tables of its own
	anythingBound = 5 * time.Minute
	anythingName  = "anything.csv"
)

// Whatever bytes come, an import ends soon, counts each record once, counts what the table then has, and says why it
// failed. Files of all forms are damaged and imported, with definitions that fit and that do not.
//
//	go test ./internal/kinds/importjob -run ImportOfAnything -anything.for 30m -timeout 40m -v
//
// A failure prints how to repeat it, and leaves file and definition in a folder tidemill-anything-* of the temporary
// directory. So does a crash, of what was imported at that moment.
func TestImportOfAnything(t *testing.T) {
	t.Parallel()

	seed := *anythingSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	dir, err := os.MkdirTemp("", "tidemill-anything-")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("-anything.seed %d, files in %s", seed, dir)
	a := startAnything(t, dir)
	end := time.Now().Add(*anythingFor)
	var next atomic.Uint64
	var lanes sync.WaitGroup
	for lane := range anythingLanes {
		lanes.Go(func() {
			for first := lane == 0; first || time.Now().Before(end); first = false {
				seed := seed + next.Add(1) - 1
				if err := a.importOne(lane, seed); err != nil {
					t.Errorf("%v\nrepeat it: go test ./internal/kinds/importjob -run ImportOfAnything -anything.for 1ns -anything.seed %d\nits file: %s",
						err, seed, a.path(lane, ".data"))
					return
				}
			}
		})
	}
	lanes.Wait()
	a.report(t)
	if !t.Failed() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	}
}

// anythingBundle is one server, worker and storage for all files.
type anythingBundle struct {
	*testengine.Engine
	dir     string
	storage *storage.Bucket

	mu     sync.Mutex
	jobs   map[string]*config.Job
	total  batch.Counters
	states map[batch.Status]int
	errors map[string]int
	// slowest is how long the import took that took longest, and its seed.
	slowest     time.Duration
	slowestSeed uint64
}

func startAnything(t *testing.T, dir string) *anythingBundle {
	t.Helper()
	a := &anythingBundle{dir: dir, jobs: map[string]*config.Job{}, states: map[batch.Status]int{}, errors: map[string]int{}}
	var err error
	if a.storage, err = storage.Open(t.Context(), "file://"+t.TempDir()); err != nil {
		t.Fatal(err)
	}
	url := testengine.URL(t)
	catalog := testdb.Pool(t, url)
	a.Engine = testengine.Start(t, url, func(w *river.Workers) {
		river.AddWorker(w, importjob.NewWorker(importjob.Opts{Jobs: a.job, Pool: catalog, Storage: a.storage}))
	})
	for lane := range anythingLanes {
		if _, err := a.Pool.Exec(t.Context(), strings.ReplaceAll(anythingTables, "LANE", laneName(lane))); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

func laneName(lane int) string { return "lane" + strconv.Itoa(lane) }

func (a *anythingBundle) job(name string) (*config.Job, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	job, ok := a.jobs[name]
	return job, ok
}

func (a *anythingBundle) path(lane int, end string) string {
	return filepath.Join(a.dir, laneName(lane)+end)
}

// importOne makes the file of a seed, imports it, and returns what is wrong with the outcome.
func (a *anythingBundle) importOne(lane int, seed uint64) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*anythingBound)
	defer cancel()
	file := makeAnything(seed, laneName(lane))
	began := time.Now()
	defer func() { a.took(seed, time.Since(began)) }()
	// Before the import, for a crash asks nobody.
	err := errors.Join(os.WriteFile(a.path(lane, ".data"), file.content, 0o600),
		os.WriteFile(a.path(lane, ".yaml"), fmt.Appendf(nil, "# seed %d\n%s", seed, file.definition), 0o600))
	if err != nil {
		return err
	}
	cfg, err := config.Parse("anything.yaml", []byte(file.definition), &config.Opts{Kinds: workers.Configs()})
	if err != nil {
		return fmt.Errorf("%s\n%w", file.definition, err)
	}
	def := cfg.Jobs[laneName(lane)]
	a.mu.Lock()
	a.jobs[def.Name] = def
	a.mu.Unlock()
	if _, err := a.Pool.Exec(ctx, file.before); err != nil {
		return fmt.Errorf("%s: %w", file.before, err)
	}
	preview, previewErr := importjob.PreviewFile(ctx, a.Pool, def.Spec.(*importjob.Config), kind.PreviewOpts{
		Name: anythingName, Size: int64(len(file.content)),
		Open: func(offset int64) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(file.content[min(offset, int64(len(file.content))):])), nil
		},
	})
	info, err := a.importAndCheck(ctx, def, file)
	if err != nil {
		return err
	}
	switch {
	case info.Status == batch.Failed:
	case previewErr != nil:
		return file.wrong(info, fmt.Errorf("the preview fails, and the import does not: %w", previewErr))
	case preview.Whole && preview.Counters != info.Counters:
		return file.wrong(info, fmt.Errorf("the preview counts otherwise than the import (-preview +import):\n%s", cmp.Diff(preview.Counters, info.Counters)))
	}
	if file.twice {
		_, err = a.importAndCheck(ctx, def, file)
	}
	return err
}

// wrong is err with all that is needed to understand it.
func (f *anythingFile) wrong(info *batch.Info, err error) error {
	return fmt.Errorf("%w\n%s: %+v, error: %s\n%s\n%.2000q", err, info.Status, info.Counters, text(info.Error), f.definition, f.content)
}

func (a *anythingBundle) importAndCheck(ctx context.Context, def *config.Job, file anythingFile) (*batch.Info, error) {
	before, err := rowsOf(ctx, a.Pool, file.table)
	if err != nil {
		return nil, err
	}
	info, err := a.run(ctx, def, file.content)
	if err != nil {
		return nil, err
	}
	after, err := rowsOf(ctx, a.Pool, file.table)
	if err != nil {
		return nil, err
	}
	undone := def.Spec.(*importjob.Config).Mode == importjob.Atomic && info.Status == batch.Failed
	wrong := []error{a.checkRejects(ctx, info, file.content, undone), a.checkFailure(ctx, info), info.Counters.Check()}
	if after-before != info.Counters.Inserted {
		wrong = append(wrong, fmt.Errorf("the table has %d rows more, but %d were inserted", after-before, info.Counters.Inserted))
	}
	if info.Status != batch.Failed && info.Done != int64(len(file.content)) {
		wrong = append(wrong, fmt.Errorf("done %d of %d bytes", info.Done, len(file.content)))
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, file.wrong(info, err)
	}
	a.count(info)
	_, err = a.Pool.Exec(ctx, `DELETE FROM tidemill.run_reject WHERE run = $1`, info.ID)
	return info, err
}

func rowsOf(ctx context.Context, pool *pgxpool.Pool, table string) (n int64, err error) {
	err = pool.QueryRow(ctx, "SELECT count(*) FROM "+table).Scan(&n)
	return n, err
}

// run imports content to the end.
func (a *anythingBundle) run(ctx context.Context, def *config.Job, content []byte) (*batch.Info, error) {
	object, err := a.storage.Put(ctx, def.Name, anythingName, bytes.NewReader(content), nil)
	if err != nil {
		return nil, err
	}
	started, err := a.Ledger.Start(ctx, importjob.Args{
		Job: def.Name, Object: object.Key, Name: anythingName, Size: object.Size, SHA256: object.SHA256, Definition: def.Hash(),
	}, batch.StartOpts{Job: def.Name})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, anythingBound, fmt.Errorf("run %d has not ended within %s", started.ID, anythingBound))
	defer cancel()
	var last *batch.Info
	err = a.Ledger.Watch(ctx, started.ID, 5*time.Millisecond, func(info *batch.Info) error { last = info; return nil })
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return last, errors.Join(err, a.storage.Delete(context.WithoutCancel(ctx), object.Key))
}

// checkRejects: as many are stored as are counted, in order; each is the bytes that are in the file where it says; and
// all of them make a file. Those of an import that was undone are told, and not counted.
func (a *anythingBundle) checkRejects(ctx context.Context, info *batch.Info, content []byte, undone bool) error {
	var metadata struct {
		File *struct{ Encoding, Compression string }
	}
	if err := json.Unmarshal(info.Metadata, &metadata); err != nil {
		return err
	}
	plain := metadata.File != nil && metadata.File.Encoding == "utf-8" && metadata.File.Compression == "none"
	rejects, err := a.Ledger.Rejects(ctx, info.ID, 0, 1<<30)
	if err != nil {
		return err
	}
	if undone && info.Counters.Read != 0 || !undone && int64(len(rejects)) != info.Counters.Rejected {
		return fmt.Errorf("%d rejects are stored, but %d counted", len(rejects), info.Counters.Rejected)
	}
	var at, line int64 = 0, 1
	for i, r := range rejects {
		if r.Code == "" || r.Reason == "" || !undone && r.Ordinal > info.Counters.Read || i > 0 && r.Offset <= rejects[i-1].Offset {
			return fmt.Errorf("reject %d: %+v", i, r)
		}
		if !plain {
			continue
		}
		if r.Offset > int64(len(content)) || !bytes.HasPrefix(content[r.Offset:], r.Raw) {
			return fmt.Errorf("reject %d does not start at byte %d of the file: %q", i, r.Offset, r.Raw)
		}
		if line, at = line+lineEnds(content[at:r.Offset]), r.Offset; r.Line != line {
			return fmt.Errorf("reject %d is said to be on line %d, and is on line %d: %q", i, r.Line, line, r.Raw)
		}
	}
	if len(rejects) == 0 {
		return nil
	}
	n, err := importjob.WriteRejects(ctx, importjob.RejectsOpts{Ledger: a.Ledger, Run: info.ID, Out: io.Discard})
	if err == nil && n != int64(len(rejects)) {
		err = fmt.Errorf("%d rejects make a file of %d", len(rejects), n)
	}
	return err
}

// lineEnds counts LF, CRLF and lone CR.
func lineEnds(b []byte) int64 {
	return int64(bytes.Count(b, []byte("\n")) + bytes.Count(b, []byte("\r")) - bytes.Count(b, []byte("\r\n")))
}

// checkFailure: a file that cannot be read is reported at the first attempt.
func (a *anythingBundle) checkFailure(ctx context.Context, info *batch.Info) error {
	if info.Status != batch.Failed {
		return nil
	}
	why := text(info.Error)
	named := slices.ContainsFunc([]string{anythingName, "the file", "reject_limit", "write to"}, func(s string) bool { return strings.Contains(why, s) })
	if strings.Contains(why, "panic") || !named {
		return fmt.Errorf("the error does not say what is wrong with the file: %q", why)
	}
	var attempts int
	err := a.Pool.QueryRow(ctx, `SELECT attempt FROM tidemill.river_job WHERE id = $1`, info.ID).Scan(&attempts)
	if err == nil && attempts != 1 {
		err = fmt.Errorf("%d attempts; another cannot help", attempts)
	}
	return err
}

var (
	quotedText = regexp.MustCompile(`"(\\.|[^"\\])*"`)
	anyNumber  = regexp.MustCompile(`0x[0-9A-F]+|\d+`)
)

// count remembers what happened, errors without what differs from file to file.
func (a *anythingBundle) count(info *batch.Info) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.states[info.Status]++
	a.total = a.total.Plus(info.Counters)
	if info.Error != nil {
		why := anyNumber.ReplaceAllString(quotedText.ReplaceAllString(*info.Error, `"…"`), "N")
		if runes := []rune(why); len(runes) > 90 {
			why = string(runes[:90])
		}
		a.errors[why]++
	}
}

func (a *anythingBundle) took(seed uint64, took time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if took > a.slowest {
		a.slowest, a.slowestSeed = took, seed
	}
}

// report prints what happened. Enough files bring about every kind of end, or they are no longer what they should be.
func (a *anythingBundle) report(t *testing.T) {
	t.Helper()
	files := 0
	for _, n := range a.states {
		files += n
	}
	t.Logf("%d files: %v; %+v; the slowest took %s: seed %d", files, a.states, a.total, a.slowest.Round(time.Millisecond), a.slowestSeed)
	for _, why := range slices.Sorted(maps.Keys(a.errors)) {
		t.Logf("%6d × %s", a.errors[why], why)
	}
	if files < 1000 || t.Failed() { // a slow machine brings few to their end
		return
	}
	ends := a.states[batch.Succeeded] > 0 && a.states[batch.SucceededWithRejects] > 0 && a.states[batch.Failed] > 0
	c := a.total
	if !ends || min(c.Inserted, c.Updated, c.Unchanged, c.Duplicate, c.Rejected, c.Filtered) == 0 {
		t.Error("the files no longer bring about every kind of end and of row")
	}
}
