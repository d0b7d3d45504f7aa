package batch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Ahead is the transaction of a chunk that was begun before the chunks in front of it were committed. It is committed in its
// turn, so that a run's cursor never passes rows that are not written.
type Ahead struct {
	engine *Engine
	conn   *pgxpool.Conn
	tx     pgx.Tx
}

// holdUpAfter is how often an Ahead that waits for its turn looks whether another session waits for it.
const holdUpAfter = 100 * time.Millisecond

// Ahead begins a chunk's transaction before its turn and lets fn write what does not depend on the chunks in front. Unlike
// the other methods it may be called from several goroutines, and while a chunk is written.
//
// It returns an error if there is no connection to spare or fn fails. That is no failure of the chunk, which is then to be
// written with Chunk in its turn.
func (r *Run) Ahead(ctx context.Context, fn func(ctx context.Context, tx pgx.Tx) error) (*Ahead, error) {
	e := r.engine
	select {
	case e.ahead <- struct{}{}:
	default:
		return nil, fmt.Errorf("run %d: no connection to spare for a chunk ahead of its turn", r.ID())
	}
	conn, err := e.opts.Pool.Acquire(ctx)
	if err != nil {
		<-e.ahead
		return nil, err
	}
	a := &Ahead{engine: e, conn: conn}
	if a.tx, err = conn.BeginTx(ctx, pgx.TxOptions{BeginQuery: e.beginQuery()}); err == nil {
		err = fn(ctx, a.tx)
	}
	if err != nil {
		a.Release(ctx)
		return nil, err
	}
	return a, nil
}

// Await waits until it is the chunk's turn. It returns false if the transaction had to be given up because some session
// waited for a lock of it, which may be the one whose turn it was: neither would have gone on.
func (a *Ahead) Await(ctx context.Context, turn <-chan struct{}) bool {
	tick := time.NewTicker(holdUpAfter)
	defer tick.Stop()
	for {
		select {
		case <-turn:
			return true
		case <-ctx.Done():
			a.Release(ctx)
			return false
		case <-tick.C:
		}
		if holdsUp, err := a.holdsUp(ctx); holdsUp || err != nil {
			a.Release(ctx)
			return false
		}
	}
}

// holdsUp asks in the transaction itself, which keeps it from being ended as idle, too.
func (a *Ahead) holdsUp(ctx context.Context) (yes bool, err error) {
	err = a.tx.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM pg_catalog.pg_stat_activity
		 WHERE CASE WHEN wait_event_type = 'Lock' THEN pg_catalog.pg_backend_pid() = ANY (pg_catalog.pg_blocking_pids(pid)) END)`).Scan(&yes)
	return yes, err
}

// Release rolls the transaction back, unless it is committed, and gives the connection back. It may be called again.
func (a *Ahead) Release(ctx context.Context) {
	if a == nil || a.conn == nil {
		return
	}
	if a.tx != nil {
		_ = a.tx.Rollback(context.WithoutCancel(ctx))
	}
	a.conn.Release()
	a.conn = nil
	<-a.engine.ahead
}

// ChunkAhead is Chunk for a chunk of which a part is written in a. The first try lets rest write what is missing there; if
// that does not succeed, whole writes all of it in a transaction of its own, as in Chunk. A nil a is no such part.
func (r *Run) ChunkAhead(ctx context.Context, a *Ahead, rest, whole func(ctx context.Context, tx pgx.Tx) (Step, error)) error {
	defer a.Release(ctx)
	if err := r.stop(); err != nil || a == nil {
		if err != nil {
			return err
		}
		return r.Chunk(ctx, whole)
	}
	err := r.tryOn(ctx, a.conn, a.tx, rest)
	switch {
	case err == nil:
		r.progressed()
		return r.stop()
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, ErrLeaseLost):
		return err
	}
	a.Release(ctx)
	return r.Chunk(ctx, whole)
}
