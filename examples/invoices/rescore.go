package main

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
)

// RescoreArgs walks all users seen since a day. tidemill.yaml makes a job of it, so that it can be started by name.
type RescoreArgs struct {
	Since string `json:"since"`
}

// Kind names the job.
func (RescoreArgs) Kind() string { return "rescore" }

// User is one row of the walk.
type User struct {
	ID    int64
	Email string
}

// newRescoreWorker walks the table in chunks of a thousand. Each chunk's writes commit together with the place reached:
// killed at any moment, the walk resumes after the last committed chunk, and no user is scored twice.
func newRescoreWorker() river.Worker[RescoreArgs] {
	return batch.Each(batch.EachOpts[RescoreArgs, User]{
		Query: `SELECT id, email FROM app.users WHERE seen_at >= @since`,
		Params: func(args RescoreArgs) pgx.NamedArgs {
			since, err := time.Parse(time.DateOnly, args.Since)
			if err != nil {
				since = time.Time{}
			}
			return pgx.NamedArgs{"since": since}
		},
		OrderBy: []string{"id"},
		Size:    1000,
		Count:   true,
		Do: func(ctx context.Context, tx pgx.Tx, chunk *batch.Chunk[User]) error {
			ids := make([]int64, len(chunk.Rows))
			for i, user := range chunk.Rows {
				ids[i] = user.ID
			}
			_, err := tx.Exec(ctx, `UPDATE app.users SET score = score + 1 WHERE id = ANY($1)`, ids)
			return err
		},
	})
}
