package importjob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/storage"
	"github.com/tidemill/tidemill/retry"
	"github.com/tidemill/tidemill/workers/kind"
)

// ScanResult is what a run that looked for files keeps.
type ScanResult struct {
	Source   string  `json:"source"`
	Files    int64   `json:"files"`    // that match
	New      int64   `json:"new"`      // of these
	Same     int64   `json:"same"`     // of the new ones, those whose content has a run already
	Changing int64   `json:"changing"` // that were written to meanwhile, and are left for the next scan
	Runs     []int64 `json:"runs"`     // that were started, the first 1,000 of them
	Note     string  `json:"note"`     // all that, for people
}

// listedRuns bounds the result of a run that finds very many files.
const listedRuns = 1000

// scanCursor is what the attempts so far have started. There is no place to resume from: see Work.
type scanCursor struct {
	New  int64   `json:"new"`
	Same int64   `json:"same"`
	Runs []int64 `json:"runs"`
}

// scanRun is one attempt of a scan for files.
type scanRun struct {
	def        *config.Job
	opts       ScanOpts
	run        *batch.Run
	every      time.Duration // between commits
	lastCommit time.Time

	cursor     scanCursor
	done       int64 // files looked at
	changing   int64
	unreadable []error
}

// lookupBatch is of how many files the database is asked in one query.
const lookupBatch = 1000

func (s *scanRun) work(ctx context.Context) error {
	from := s.def.Spec.(*Config).Source
	source, err := storage.OpenSource(ctx, from.Dir, from.Params)
	if err != nil {
		return permanentSource(err)
	}
	defer source.Close()
	files, unreadable, err := source.List(ctx, from.Pattern, Unfinished)
	if err != nil {
		return permanentSource(err)
	}
	s.unreadable = unreadable
	if err := s.run.SetTotal(ctx, int64(len(files)), "files"); err != nil {
		return err
	}
	for group := range slices.Chunk(files, lookupBatch) {
		fresh, err := s.fresh(ctx, group)
		if err != nil {
			return err
		}
		for i, file := range group {
			if fresh[i] {
				if err := s.start(ctx, source, file); err != nil {
					return err
				}
			}
			s.done++
		}
		if err := s.alive(ctx); err != nil {
			return err
		}
	}
	result := s.result(int64(len(files)))
	if n := len(s.unreadable); n > 0 {
		err := fmt.Errorf("%d of %s cannot be read: %w; %s", n, countFiles(result.Files+int64(len(unreadable))), s.unreadable[0], result.Note)
		if slices.ContainsFunc(s.unreadable, func(err error) bool { return errors.Is(err, storage.ErrUnavailable) }) {
			return err // they may be read when this is tried again
		}
		return retry.Permanent(err)
	}
	return s.run.Chunk(ctx, func(context.Context, pgx.Tx) (batch.Step, error) {
		return batch.Step{Cursor: s.cursor, Done: s.progress(), Finish: &batch.Finish{Result: result}}, nil
	})
}

// permanentSource marks what whoever looks again must fix first: a schedule comes back by itself, and need not find a run
// that still waits for its next attempt.
func permanentSource(err error) error {
	if errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrNoBucket) || errors.Is(err, fs.ErrPermission) {
		return retry.Permanent(err)
	}
	return err
}

// fresh reports for each file whether it is new.
func (s *scanRun) fresh(ctx context.Context, files []storage.SourceFile) ([]bool, error) {
	urls, versions := make([]string, len(files)), make([]string, len(files))
	for i, file := range files {
		urls[i], versions[i] = file.URL, file.Version
	}
	rows, err := s.opts.Pool.Query(ctx, s.opts.Schema.SQL(`
		SELECT o.job IS NULL FROM unnest($2::text[], $3::text[]) WITH ORDINALITY f (url, version, n)
		  LEFT JOIN {tidemill}.source_file o ON o.job = $1 AND o.url = f.url AND o.version = f.version ORDER BY f.n`),
		s.def.Name, urls, versions)
	if err != nil {
		return nil, fmt.Errorf("ask which files are new: %w", err)
	}
	fresh, err := pgx.CollectRows(rows, pgx.RowTo[bool])
	if err != nil {
		return nil, fmt.Errorf("ask which files are new: %w", err)
	}
	return fresh, nil
}

// start reads a new file and starts its import. What is wrong with one file is no reason to leave out others.
func (s *scanRun) start(ctx context.Context, source storage.Source, file storage.SourceFile) error {
	sum, err := s.digest(ctx, source, file)
	switch {
	case errors.Is(err, errNotRead):
		return err
	case err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, storage.ErrChanged):
		s.changing++
		return nil
	case errors.Is(err, storage.ErrNotFound): // taken away meanwhile
		return nil
	case err != nil:
		s.unreadable = append(s.unreadable, err)
		return nil
	}
	args := Args{
		Job: s.def.Name, Name: file.Name, Size: file.Size, SHA256: sum, Definition: s.def.Hash(),
		Source: file.URL, Version: file.Version,
	}
	next := s.cursor
	err = s.run.Chunk(ctx, func(ctx context.Context, tx pgx.Tx) (batch.Step, error) {
		next = s.cursor
		step := batch.Step{Cursor: next, Done: s.progress()}
		// It waits for another look that has come to the same file, and then finds the file known.
		tag, err := tx.Exec(ctx, s.opts.Schema.SQL(`
			INSERT INTO {tidemill}.source_file (job, url, version, sha256, scan) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`),
			s.def.Name, args.Source, args.Version, sum, s.run.ID())
		if err != nil {
			return step, fmt.Errorf("%s: %w", file.URL, err)
		}
		if tag.RowsAffected() == 0 {
			return step, nil
		}
		started, err := s.opts.Start(ctx, tx, s.def, args, s.run.ID())
		if err != nil {
			return step, fmt.Errorf("%s: %w", file.URL, err)
		}
		if _, err := tx.Exec(ctx, s.opts.Schema.SQL(`UPDATE {tidemill}.source_file SET run = $4 WHERE job = $1 AND url = $2 AND version = $3`),
			s.def.Name, args.Source, args.Version, started.ID); err != nil {
			return step, fmt.Errorf("%s: %w", file.URL, err)
		}
		next = next.plus(started)
		step.Cursor = next
		return step, nil
	})
	if err == nil || kind.IsStop(err) {
		s.cursor, s.lastCommit = next, time.Now()
	}
	return err
}

func (c scanCursor) plus(started *batch.Started) scanCursor {
	c.New++
	switch {
	case started.Existing:
		c.Same++
	case len(c.Runs) < listedRuns:
		c.Runs = append(slices.Clip(c.Runs), started.ID)
	}
	return c
}

// errNotRead is in errors of digest that do not come from the file.
var errNotRead = errors.New("reading was interrupted")

// digest returns the SHA-256 of a file.
func (s *scanRun) digest(ctx context.Context, source storage.Source, file storage.SourceFile) (string, error) {
	r, err := source.Open(ctx, file.URL, file.Version, 0)
	if err != nil {
		return "", err
	}
	defer r.Close()
	hash, buffer := sha256.New(), make([]byte, 256<<10)
	for {
		n, err := r.Read(buffer)
		hash.Write(buffer[:n])
		switch {
		case errors.Is(err, io.EOF):
			return hex.EncodeToString(hash.Sum(nil)), nil
		case err != nil:
			return "", err
		case ctx.Err() != nil:
			return "", fmt.Errorf("%w: %w", errNotRead, context.Cause(ctx))
		}
		if err := s.alive(ctx); err != nil {
			return "", fmt.Errorf("%w: %w", errNotRead, err)
		}
	}
}

// alive commits now and then, so that the run is not taken for stalled, shows how far it is, and sees when it is to stop.
func (s *scanRun) alive(ctx context.Context) error {
	if time.Since(s.lastCommit) < s.every {
		return nil
	}
	err := s.run.Chunk(ctx, func(context.Context, pgx.Tx) (batch.Step, error) {
		// An attempt that fails after this has still done nothing that another need not do again.
		return batch.Step{Cursor: s.cursor, Done: s.progress(), Tentative: true}, nil
	})
	s.lastCommit = time.Now()
	return err
}

// progress is what the files looked at add to the run's: another attempt looks at the same ones.
func (s *scanRun) progress() int64 { return max(0, s.done-s.run.Done()) }

func (s *scanRun) result(files int64) ScanResult {
	r := ScanResult{
		Source: s.def.Spec.(*Config).Source.URL, Files: files, New: s.cursor.New, Same: s.cursor.Same, Changing: s.changing, Runs: s.cursor.Runs,
	}
	if r.Runs == nil {
		r.Runs = []int64{}
	}
	r.Note = r.note()
	return r
}

func (r ScanResult) note() string {
	var b strings.Builder
	switch {
	case r.Files == 0 && r.New == 0:
		fmt.Fprintf(&b, "no file matches %s", r.Source)
	case r.New == 0:
		fmt.Fprintf(&b, "none of %s is new", countFiles(r.Files))
	default:
		fmt.Fprintf(&b, "%d new of %s", r.New, countFiles(r.Files))
	}
	if started := r.New - r.Same; started > 0 {
		b.WriteString(", " + runsWords(r.Runs, started))
	}
	if r.Same > 0 {
		fmt.Fprintf(&b, ", %d with content that has a run already", r.Same)
	}
	if r.Changing > 0 {
		fmt.Fprintf(&b, ", %d still being written and left for the next time", r.Changing)
	}
	return b.String()
}

// runsWords names runs: all of a few, otherwise the first and the number.
func runsWords(ids []int64, started int64) string {
	const few = 10
	if started > few {
		return fmt.Sprintf("%d runs from %d on", started, ids[0])
	}
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = strconv.FormatInt(id, 10)
	}
	if started == 1 {
		return "run " + words[0]
	}
	return "runs " + strings.Join(words, " ")
}

func countFiles(n int64) string {
	if n == 1 {
		return "1 file"
	}
	return fmt.Sprintf("%d files", n)
}
