package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/retry"
)

// InvoiceArgs is a job of plain River: one invoice for one user.
type InvoiceArgs struct {
	UserID int64 `json:"user_id"`
}

// Kind names the job.
func (InvoiceArgs) Kind() string { return "invoice" }

// InsertOpts is River's place for what holds for every job of a kind.
func (InvoiceArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{MaxAttempts: invoiceRetry.MaxAttempts, Queue: "critical"}
}

// invoiceRetry tries five times: after 2, 4, 6 and 8 seconds.
var invoiceRetry = retry.Policy{MaxAttempts: 5, Backoff: retry.Linear, Delay: 2 * time.Second}

// InvoiceWorker writes the invoice.
type InvoiceWorker struct {
	river.WorkerDefaults[InvoiceArgs]
	pool *pgxpool.Pool
}

// NextRetry gives this kind a policy of its own.
func (*InvoiceWorker) NextRetry(job *river.Job[InvoiceArgs]) time.Time {
	return invoiceRetry.Next(job.JobRow)
}

// Work may be called twice for one job, when a worker dies after its work and before its word: the unique user makes the
// second time harmless.
func (w *InvoiceWorker) Work(ctx context.Context, job *river.Job[InvoiceArgs]) error {
	_, err := w.pool.Exec(ctx, `INSERT INTO app.invoices (user_id) VALUES ($1) ON CONFLICT (user_id) DO NOTHING`, job.Args.UserID)
	return err
}

// errTaken is what the application makes of its own rule.
var errTaken = errors.New("this e-mail is registered already")

// signUp registers a user and enqueues the invoice in one transaction: there is never one without the other.
func signUp(ctx context.Context, pool *pgxpool.Pool, client *river.Client[pgx.Tx], email string) (int64, error) {
	var id int64
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, `INSERT INTO app.users (email) VALUES ($1) RETURNING id`, email).Scan(&id); err != nil {
			return fmt.Errorf("register %s: %w", email, err)
		}
		if _, err := client.InsertTx(ctx, tx, InvoiceArgs{UserID: id}, nil); err != nil {
			return fmt.Errorf("register %s: %w", email, err)
		}
		var same int
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM app.users WHERE lower(email) = lower($1)`, email).Scan(&same); err != nil {
			return fmt.Errorf("register %s: %w", email, err)
		}
		if same > 1 {
			return errTaken // rolls back the user and the job
		}
		return nil
	})
	return id, err
}
