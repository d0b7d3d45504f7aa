package exportjob_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/internal/kinds/exportjob"
	"github.com/tidemill/tidemill/internal/storage"
	"github.com/tidemill/tidemill/internal/testkind"
	"github.com/tidemill/tidemill/migrations"
)

// gatedRows is a table t of 5,000 rows and a view of it that waits in the middle for the gate to open.
const gatedRows = `CREATE TABLE public.t (id int PRIMARY KEY, v text);
	INSERT INTO t SELECT i, 'value ' || i FROM generate_series(1, 5000) i; ANALYZE t;
	CREATE FUNCTION gate(id int) RETURNS int LANGUAGE plpgsql STABLE AS $$ BEGIN
		IF id = 2501 THEN PERFORM pg_advisory_xact_lock_shared(4711); END IF; RETURN id; END $$`

const gatedQuery = "query: SELECT id, gate(id) AS same, v FROM t\norder_by: [id]\nchunk: 100\n"

// shut shuts the gate until open is called.
func (b *exportBundle) shut(t *testing.T) (open func()) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, b.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(ctx) })
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock(4711)"); err != nil {
		t.Fatal(err)
	}
	return func() {
		if _, err := conn.Exec(ctx, "SELECT pg_advisory_unlock(4711)"); err != nil {
			t.Fatal(err)
		}
	}
}

// advance copies until there are more bytes than that.
func (b *exportBundle) advance(t *testing.T, c *exportjob.Copy, target *memoryTarget, id int64, bytes int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); target.Len() <= bytes; {
		if err := c.Advance(context.Background(), b.Pool, migrations.Schema{}.Defaults(), id); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes", target.Len())
		}
	}
}

// finish waits for the run's end and copies the rest.
func (b *exportBundle) finish(t *testing.T, c *exportjob.Copy, id int64) {
	t.Helper()
	info := b.WaitStatus(t, id, batch.Succeeded, batch.Failed)
	if err := c.Finish(context.Background(), info, nil); err != nil {
		t.Fatal(err, deref(info.Error))
	}
}

func TestExportIsCopiedWhileItIsWritten(t *testing.T) {
	t.Parallel()

	for _, consistency := range []string{"keyset", "snapshot\nranges: 1", "snapshot\nranges: 4"} {
		t.Run(consistency, func(t *testing.T) {
			t.Parallel()
			b := setupExport(t, gatedRows, gatedQuery+"consistency: "+consistency)
			whole, _ := b.dump(t, "")
			open := b.shut(t)
			id := b.start(t, "")
			target := &memoryTarget{Buffer: &bytes.Buffer{}}
			c := exportjob.NewCopy(b.storage, target)
			b.advance(t, c, target, id, len(whole)/3)
			if half := target.Bytes(); !bytes.HasPrefix(whole, half) || len(half) > len(whole)/2+1000 {
				t.Errorf("%d of %d bytes: %s", len(half), len(whole), cmp.Diff(string(whole), string(half)))
			}
			open()
			b.finish(t, c, id)
			if !bytes.Equal(whole, target.Bytes()) || target.rewound > 0 {
				t.Errorf("%d bytes of %d, rewound %d times", target.Len(), len(whole), target.rewound)
			}
		})
	}
}

// fullTarget has room for some bytes only, until it is rewound.
type fullTarget struct {
	memoryTarget
	room int
}

func (f *fullTarget) Write(p []byte) (int, error) {
	if f.rewound == 0 && f.Len()+len(p) > f.room {
		n, _ := f.memoryTarget.Write(p[:f.room-f.Len()])
		return n, errors.New("no room")
	}
	return f.memoryTarget.Write(p)
}

// A part that could not be written wholly leaves nothing behind.
func TestExportCopyAfterAnError(t *testing.T) {
	t.Parallel()

	b := setupExport(t, gatedRows, gatedQuery)
	whole, _ := b.dump(t, "")
	id := b.start(t, "")
	b.WaitStatus(t, id, batch.Succeeded)
	target := &fullTarget{memoryTarget: memoryTarget{Buffer: &bytes.Buffer{}}, room: len(whole)/2 + 7}
	c := exportjob.NewCopy(b.storage, target)
	if err := c.Advance(context.Background(), b.Pool, migrations.Schema{}.Defaults(), id); err == nil || target.Len() != 0 {
		t.Errorf("%d bytes, %v", target.Len(), err)
	}
	b.finish(t, c, id)
	if !bytes.Equal(whole, target.Bytes()) {
		t.Errorf("%d bytes of %d", target.Len(), len(whole))
	}
}

// What was copied of a snapshot that is gone is forgotten, whether the copy looks in between or only at the end.
func TestExportCopyBeginsAnew(t *testing.T) {
	t.Parallel()

	for _, looks := range []bool{true, false} {
		b := setupExport(t, gatedRows, gatedQuery+"consistency: snapshot\nranges: 2")
		whole, _ := b.dump(t, "")
		open := b.shut(t)
		id := b.start(t, "")
		target := &memoryTarget{Buffer: &bytes.Buffer{}}
		c := exportjob.NewCopy(b.storage, target)
		b.advance(t, c, target, id, len(whole)/4)
		if err := b.Ledger.Pause(context.Background(), id); err != nil {
			t.Fatal(err)
		}
		open()
		b.WaitStatus(t, id, batch.Paused)
		if _, err := b.Pool.Exec(context.Background(), `UPDATE t SET v = 'another ' || id`); err != nil {
			t.Fatal(err)
		}
		var state *batch.StateError
		if err := b.Ledger.Resume(context.Background(), id); err != nil && !errors.As(err, &state) {
			t.Fatal(err)
		}
		if looks {
			b.WaitStatus(t, id, batch.Succeeded)
			b.advance(t, c, target, id, len(whole))
		}
		b.finish(t, c, id)
		want := bytes.ReplaceAll(whole, []byte("value"), []byte("another"))
		if !bytes.Equal(want, target.Bytes()) || target.rewound != 1 {
			t.Errorf("%d bytes, want %d; rewound %d times", target.Len(), len(want), target.rewound)
		}
	}
}

// A file whose parts or manifest were changed in the storage is never taken for the exported one.
func TestExportThatChangesInTheStorage(t *testing.T) {
	t.Parallel()

	for _, tt := range []struct {
		name   string
		change func(t *testing.T, dir string, m *exportjob.Manifest)
		want   string
	}{
		{"part cut off", func(t *testing.T, dir string, m *exportjob.Manifest) {
			testkind.CutAt(int(m.Parts[0].Bytes)-7)(t, filepath.Join(dir, m.Parts[0].Object))
		}, "bytes and CRC-32C"},
		{"part written over", func(t *testing.T, dir string, m *exportjob.Manifest) {
			testkind.WrittenOver(100, "7", true)(t, filepath.Join(dir, m.Parts[1].Object))
		}, "bytes and CRC-32C"},
		{"manifest of fewer parts", func(t *testing.T, dir string, m *exportjob.Manifest) {
			last := m.Parts[len(m.Parts)-1]
			m.Parts, m.Rows, m.Bytes = m.Parts[:len(m.Parts)-1], m.Rows-last.Rows, m.Bytes-last.Bytes
			whole := sha256.New()
			for _, part := range m.Parts {
				content, err := os.ReadFile(filepath.Join(dir, part.Object))
				if err != nil {
					t.Fatal(err)
				}
				whole.Write(content)
			}
			m.SHA256 = hex.EncodeToString(whole.Sum(nil))
			text, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			manifests, err := filepath.Glob(filepath.Join(dir, "exports/dump/*/manifest-*.json"))
			if err != nil || len(manifests) != 1 {
				t.Fatal(manifests, err)
			}
			if err := os.WriteFile(manifests[0], text, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "it was changed in the storage"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			b := setupExport(t, manyRows, "table: t\nchunk: 1000", func(b *exportBundle) {
				var err error
				if b.storage, err = storage.Open(t.Context(), "file://"+dir); err != nil {
					t.Fatal(err)
				}
			})
			info := b.WaitStatus(t, b.start(t, ""), batch.Succeeded)
			result, err := exportjob.ReadResult(info.Result)
			if err != nil {
				t.Fatal(err)
			}
			manifest, err := exportjob.ReadManifest(t.Context(), b.storage, result)
			if err != nil {
				t.Fatal(err)
			}
			tt.change(t, dir, manifest)
			err = exportjob.NewCopy(b.storage, &memoryTarget{Buffer: &bytes.Buffer{}}).Finish(t.Context(), info, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
}
