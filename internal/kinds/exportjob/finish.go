package exportjob

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/retry"
	"github.com/tidemill/tidemill/workers/kind"
)

// finish writes the manifest, ends the run, and removes what killed attempts have left.
func (e *exportRun) finish(ctx context.Context) error {
	manifest, err := e.manifest(ctx)
	if err != nil {
		return err
	}
	if err := e.run.SetTotal(ctx, e.run.Counters().Read, "rows"); err != nil {
		return err
	}
	if err := e.run.Note(ctx, map[string]any{estimatedKey: false}); err != nil {
		return err
	}
	object, err := e.storeManifest(ctx, manifest)
	if err != nil {
		return err
	}
	result := &Result{
		Object: object, Rows: manifest.Rows, Bytes: manifest.Bytes, SHA256: manifest.SHA256, Parts: len(manifest.Parts),
		Format: manifest.Format, Compression: manifest.Compression, Consistency: manifest.Consistency, Defused: manifest.Defused,
		ExpiresAt: manifest.WrittenAt.Add(e.ex.Expire),
	}
	if err := e.run.Chunk(ctx, func(context.Context, pgx.Tx) (batch.Step, error) {
		return batch.Step{Cursor: e.cursor, Finish: &batch.Finish{Result: result}}, nil
	}); err != nil {
		return err
	}
	keep := map[string]bool{object: true}
	for _, part := range manifest.Parts {
		keep[part.Object] = true
	}
	if _, err := e.storage.DeleteAll(ctx, e.prefix, func(key string) bool { return keep[key] }); err != nil {
		e.log.WarnContext(ctx, "what killed attempts left stays until the export expires", "error", err)
	}
	return nil
}

// manifest lists what is committed, and holds it against the counters.
func (e *exportRun) manifest(ctx context.Context) (*Manifest, error) {
	whole, err := kind.DigestFrom(e.cursor.Whole)
	if err != nil {
		return nil, err
	}
	began, err := e.startedAt(ctx)
	if err != nil {
		return nil, err
	}
	m := &Manifest{
		Version: exportVersion, Run: e.run.ID(), Job: e.def.Name,
		Format: e.ex.Format, Compression: e.ex.Compression, Consistency: e.ex.Consistency,
		SHA256: hex.EncodeToString(whole.Sum(nil)), Bytes: e.cursor.Bytes, Defused: e.cursor.Defused, StartedAt: began, WrittenAt: e.deps.Clock.Now().UTC(),
	}
	if !e.asOf.IsZero() {
		m.AsOf = &e.asOf
	}
	if e.ex.Format == config.CSV {
		m.CSV = &CSV{
			Header: e.ex.Header, Delimiter: string(e.ex.Delimiter), LineEnd: e.ex.LineEnd, BOM: e.ex.BOM, Null: e.ex.Null, Formulas: e.ex.Formulas,
		}
	}
	rows, err := e.deps.Pool.Query(ctx, e.sql(`
		SELECT object, rows, bytes, crc32c FROM {tidemill}.artifact_part WHERE artifact = $1 ORDER BY span, no`), e.cursor.Artifact)
	if err != nil {
		return nil, fmt.Errorf("list the parts: %w", err)
	}
	var part exportPart
	var bytes, sum int64
	_, err = pgx.ForEachRow(rows, []any{&part.Object, &part.Rows, &part.Bytes, &sum}, func() error {
		part.CRC32C = crcText(uint32(sum))
		m.Parts = append(m.Parts, part)
		m.Rows += part.Rows
		bytes += part.Bytes
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the parts: %w", err)
	}
	if m.Rows != e.run.Counters().Read || bytes != m.Bytes {
		return nil, retry.Permanent(fmt.Errorf("the parts have %d rows and %d bytes, and %d rows and %d bytes were counted; please report this",
			m.Rows, bytes, e.run.Counters().Read, m.Bytes))
	}
	return m, nil
}

func (e *exportRun) startedAt(ctx context.Context) (at time.Time, err error) {
	err = e.deps.Pool.QueryRow(ctx, e.sql(`SELECT created_at FROM {tidemill}.artifact WHERE id = $1`), e.cursor.Artifact).Scan(&at)
	if err != nil {
		return at, fmt.Errorf("read the artifact: %w", err)
	}
	return at.UTC(), nil
}

func (e *exportRun) storeManifest(ctx context.Context, m *Manifest) (string, error) {
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails, by its documentation
	object, err := e.storage.Create(ctx, e.prefix+"manifest-"+hex.EncodeToString(random[:])+".json")
	if err != nil {
		return "", err
	}
	encoder := json.NewEncoder(object)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(m); err != nil {
		object.Abort()
		return "", err
	}
	return object.Key(), object.Commit()
}
