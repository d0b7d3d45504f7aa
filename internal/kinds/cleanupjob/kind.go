package cleanupjob

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/storage"
	"github.com/tidemill/tidemill/workers/kind"
)

// Kind is the kind of jobs that delete old rows.
func Kind() kind.Kind {
	return kind.Kind{
		Kind:      configKind(),
		Register:  register,
		CheckLive: CheckLive,
		NotesLive: notesLive,
		DryRun:    dryRun,
		Describe:  func(*batch.Info) kind.Description { return kind.Description{Kept: "what was deleted stays so"} },
	}
}

func register(ctx context.Context, workers *river.Workers, deps *kind.Deps) error {
	var bucket *storage.Bucket
	if archives(deps.Config) {
		var err error
		if bucket, err = deps.Storage(ctx); err != nil {
			return err
		}
	}
	return river.AddWorkerSafely(workers, NewWorker(deps, bucket))
}

// archives reports whether a job writes what it deletes to the storage.
func archives(cfg *config.Config) bool {
	for _, job := range cfg.Jobs {
		if spec, ok := job.Spec.(*Config); ok && spec.Archive != ArchiveNone {
			return true
		}
	}
	return false
}

// notesLive says what else deleting the rows of a job does.
func notesLive(ctx context.Context, pool *pgxpool.Pool, job *config.Job) ([]string, error) {
	effects, err := Effects(ctx, pool, job)
	var notes []string
	for i, rule := range effects {
		for _, effect := range rule {
			notes = append(notes, fmt.Sprintf("jobs.%s.rules[%d]: %s", job.Name, i, effect.Note()))
		}
	}
	return notes, err
}

// dryRun counts what is due.
func dryRun(ctx context.Context, pool *pgxpool.Pool, cfg *config.Config, job *config.Job, now time.Time) (*kind.Report, error) {
	counts, err := CountDue(ctx, pool, job, now, cfg.Location())
	if err != nil {
		return nil, fmt.Errorf("job %s: %w", job.Name, err)
	}
	report := &kind.Report{JSON: counts, Columns: []string{"TABLE", "DUE", "WHERE", "ROWS", "INDEX"}, Empty: "no rules"}
	for i, c := range counts {
		var rows any = c.Rows
		if c.Estimated {
			rows = kind.About(c.Rows)
		}
		index := strings.Join(c.Indexes, ", ")
		switch {
		case len(c.Indexes) == 0 && job.Spec.(*Config).AllowSeqScan:
			index = "none: block by block"
		case len(c.Indexes) == 0:
			index = "none: the run is refused"
		case len(c.Indexes) > 3:
			index = fmt.Sprintf("%s and %d more", strings.Join(c.Indexes[:2], ", "), len(c.Indexes)-2)
		}
		report.Rows = append(report.Rows, []any{c.Table, c.Column + " < " + c.Before, c.Where, rows, index})
		for _, effect := range c.Effects {
			report.Notes = append(report.Notes, fmt.Sprintf("rule %d: %s", i+1, effect.Note()))
		}
	}
	return report, nil
}
