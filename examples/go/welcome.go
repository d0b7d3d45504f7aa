package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
)

// WelcomeArgs is a job of plain River: welcome one user.
type WelcomeArgs struct {
	UserID int64 `json:"user_id"`
}

// Kind names the job, for SQL, too.
func (WelcomeArgs) Kind() string { return "welcome" }

// InsertOpts holds for all jobs of the kind, however they are enqueued.
func (WelcomeArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: "low", MaxAttempts: 5}
}

// WelcomeWorker does the job.
type WelcomeWorker struct {
	river.WorkerDefaults[WelcomeArgs]
	pool *pgxpool.Pool
}

// Work may be called twice for one job, when a worker dies after its work and before its word: the job's id makes the
// second time harmless. It does in the job's own database only; elsewhere, a number that is given out again after a failover
// would pass for done.
func (w *WelcomeWorker) Work(ctx context.Context, job *river.Job[WelcomeArgs]) error {
	_, err := w.pool.Exec(ctx, `INSERT INTO app.welcomes (id, user_id) VALUES ($1::bigint, $2) ON CONFLICT (id) DO NOTHING`, job.ID, job.Args.UserID)
	if err != nil {
		return fmt.Errorf("welcome user %d: %w", job.Args.UserID, err)
	}
	return nil
}
