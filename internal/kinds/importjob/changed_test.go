package importjob_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/text/encoding/unicode"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/internal/kinds/importjob"
	"github.com/tidemill/tidemill/internal/storage"
	"github.com/tidemill/tidemill/internal/testkind"
)

// changedRows is more than is read ahead of the first chunk, whatever the compression.
const changedRows = 100_000

// changedFile is a file whose rows do not compress to nothing.
func changedFile() string {
	var b strings.Builder
	b.WriteString("id,name\n")
	for i := range changedRows {
		fmt.Fprintf(&b, "%d,%x\n", i, sha256.Sum256([]byte{byte(i), byte(i >> 8), byte(i >> 16)}))
	}
	return b.String()
}

// place is that of a line's end in the last quarter of the text.
func lateLineEnd(text string) int { return strings.LastIndexByte(text[:len(text)*3/4], '\n') + 1 }

// A file that is not the one that was uploaded is never imported to a good end, however it came to differ and whenever.
func TestImportOfAFileThatChanges(t *testing.T) {
	t.Parallel()

	plain := changedFile()
	cut := lateLineEnd(plain)
	two := gzipped(t, plain[:cut]) + gzipped(t, plain[cut:])
	frames := zstandard(t, plain[:cut]) + zstandard(t, plain[cut:])
	utf16 := encoded(t, unicode.UTF16(unicode.LittleEndian, unicode.UseBOM), plain)
	other := strings.Repeat("7", 20)
	line := strings.LastIndexByte(plain[:cut-1], '\n') + 1
	name := line + strings.IndexByte(plain[line:], ',') + 2

	for _, tt := range []struct {
		name, file, fields string
		change             func(*testing.T, string)
		between            bool   // two attempts, not within the first
		want               string // "": it is the same file, and succeeds
		least, most        int64  // rows that are kept; a pause may take a chunk or two to be seen
	}{
		{"cut at a line's end", plain, "", testkind.CutAt(cut), false, fmt.Sprintf("it ends after %d bytes, but had %d", cut, len(plain)), 1000, changedRows - 1},
		{"cut in a line", plain, "", testkind.CutAt(cut + 9), false, fmt.Sprintf("it ends after %d bytes", cut+9), 1000, changedRows - 1},
		{"cut, three writers", plain, "writers: 3", testkind.CutAt(cut), false, fmt.Sprintf("it ends after %d bytes", cut), 1000, changedRows - 1},
		{"cut, all or nothing", plain, "mode: atomic", testkind.CutAt(cut), false, fmt.Sprintf("it ends after %d bytes", cut), 0, 0},
		{"cut after a member of gzip", two, "", testkind.CutAt(len(gzipped(t, plain[:cut]))), false, "it ends after", 1000, changedRows - 1},
		{"cut after a frame of zstd", frames, "", testkind.CutAt(len(zstandard(t, plain[:cut]))), false, "it ends after", 1000, changedRows - 1},
		{"cut in UTF-16", utf16, "", testkind.CutAt(2 + 2*cut), false, "it ends after", 1000, changedRows - 1},
		{"added to", plain, "", testkind.WrittenOver(len(plain), "9000000,x\n", false), false, fmt.Sprintf("it has more than the %d bytes", len(plain)), 1000, changedRows},
		{"written over", plain, "", testkind.WrittenOver(name, other, false), false, "its SHA-256 is", 1000, changedRows},
		{"written over, unseen", plain, "", testkind.WrittenOver(name, other, true), false, "its SHA-256 is", 1000, changedRows},
		{"cut between attempts", plain, "", testkind.CutAt(cut), true, fmt.Sprintf("it has %d bytes, but had", cut), 1000, 5000},
		{"written over between attempts", plain, "", testkind.WrittenOver(name, other, false), true, "its SHA-256 is", 1000, 5000},
		{"written over between attempts, unseen", plain, "", testkind.WrittenOver(name, other, true), true, "its SHA-256 is", 1000, changedRows},
		{"UTF-16 written over between attempts", utf16, "", testkind.WrittenOver(2+2*name, "8\x008\x008\x008\x00", false), true, "its SHA-256 is", 1000, 5000},
		{"put there again between attempts", plain, "", func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(plain), 0o600); err != nil {
				t.Error(err)
			}
		}, true, "", changedRows, changedRows},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			bucket, err := storage.Open(t.Context(), "file://"+dir)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = bucket.Close() })
			change := sync.OnceFunc(func() { tt.change(t, stored(t, dir)) })
			b := setup(t, `CREATE TABLE public.people (id int PRIMARY KEY, name text)`, "table: people\nmatch: [id]\n"+tt.fields, func(b *importBundle, opts *importjob.Opts) {
				b.storage, opts.Storage = bucket, bucket
				if tt.between {
					pausing(1000)(b, opts)
					return
				}
				opts.ChunkRows = 1000
				opts.OnChunk = func(string, batch.Counters) { change() }
			})
			var locked pgx.Tx // it commits nothing before its end that could be waited for
			if strings.HasPrefix(tt.fields, "mode: atomic") {
				if locked, err = b.Pool.Begin(t.Context()); err != nil {
					t.Fatal(err)
				}
				if _, err := locked.Exec(t.Context(), "LOCK TABLE people IN SHARE MODE"); err != nil {
					t.Fatal(err)
				}
			}
			id := b.start(t, tt.file, importjob.Args{Definition: b.cfg.Jobs["load"].Hash()})
			switch {
			case tt.between:
				b.WaitStatus(t, id, batch.Paused)
				change()
			case locked != nil:
				b.until(t, "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'people'::regclass)")
				change()
				if err := locked.Rollback(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			info, _ := b.finish(t, id)
			b.ends(t, info, tt.want, tt.least, tt.most)
		})
	}
}

// ends holds the end of a run and its rows against what is wanted.
func (b *importBundle) ends(t *testing.T, info *batch.Info, want string, least, most int64) {
	t.Helper()
	if want == "" && info.Status != batch.Succeeded || want != "" && info.Status != batch.Failed || !strings.Contains(text(info.Error), want) {
		t.Errorf("%s: %q, want %q", info.Status, text(info.Error), want)
	}
	var rows int64
	if err := b.Pool.QueryRow(t.Context(), "SELECT count(*) FROM people").Scan(&rows); err != nil {
		t.Fatal(err)
	}
	if rows != info.Counters.Inserted || rows < least || rows > most {
		t.Errorf("%d rows are in the table and %+v were counted, want %d to %d", rows, info.Counters, least, most)
	}
}

// stored is the path of the one file below a directory.
func stored(t *testing.T, dir string) (path string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(at string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			path = at
		}
		return err
	})
	if err != nil || path == "" {
		t.Errorf("the stored file: %q, %v", path, err)
	}
	return path
}

// A file of a source is held against its digest, too, where size and time of the last change say nothing.
func TestImportFromASourceThatChangesUnseen(t *testing.T) {
	t.Parallel()

	dir, plain := t.TempDir(), changedFile()
	path := filepath.Join(dir, "people.csv")
	if err := os.WriteFile(path, []byte(plain), 0o600); err != nil {
		t.Fatal(err)
	}
	source, err := storage.OpenSource(t.Context(), "file://"+dir, "")
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	files, _, err := source.List(t.Context(), "*.csv", func(string) bool { return false })
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	change := sync.OnceFunc(func() { testkind.WrittenOver(lateLineEnd(plain)-9, "00000000", true)(t, path) })
	b := setup(t, countedTable, "table: people\nmatch: [id]\nsource: file://"+dir+"/*.csv", func(_ *importBundle, opts *importjob.Opts) {
		opts.ChunkRows = 1000
		opts.OnChunk = func(string, batch.Counters) { change() }
	})
	sum := sha256.Sum256([]byte(plain))
	args := importjob.Args{
		Job: "load", Name: "people.csv", Size: files[0].Size, SHA256: hex.EncodeToString(sum[:]), Source: files[0].URL, Version: files[0].Version,
	}
	started, err := b.Ledger.Start(t.Context(), args, batch.StartOpts{Job: "load"})
	if err != nil {
		t.Fatal(err)
	}
	info := b.WaitStatus(t, started.ID, batch.Succeeded, batch.Failed)
	b.ends(t, info, "has changed since this run was started", 1000, changedRows)
}

// The same in S3, where a file that changes between two attempts has another ETag.
func TestImportFromS3ThatChanges(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct{ name, change, want string }{
		{"another", "7", "its SHA-256 is"},
		{"the same", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bucket, server := testkind.StorageInS3(t)
			b := setup(t, countedTable, "table: people\nmatch: [id]", func(b *importBundle, opts *importjob.Opts) {
				b.storage, opts.Storage = bucket, bucket
				pausing(10)(b, opts)
			})
			file, _ := counted(50)
			id := b.start(t, file, importjob.Args{Definition: b.cfg.Jobs["load"].Hash()})
			b.WaitStatus(t, id, batch.Paused)
			server.Put(t, server.Keys(t)[0], file[:len(file)-2]+tt.change+file[len(file)-2+len(tt.change):])
			info, _ := b.finish(t, id)
			least, most := int64(10), int64(40) // a pause is seen at the end of the next chunk or the one after
			if tt.want == "" {
				least, most = 50, 50
			}
			b.ends(t, info, tt.want, least, most)
		})
	}
}

// until waits until the query says yes.
func (b *importBundle) until(t *testing.T, query string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); b.rows(t, query)[0] != "true"; <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", query)
		}
	}
}
