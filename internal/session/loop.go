package session

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
)

// Loop calls step until ctx ends, and waits in between for as long as step says.
func Loop(ctx context.Context, step func(context.Context) time.Duration) {
	for ctx.Err() == nil {
		_ = Sleep(ctx, step(ctx))
	}
}

const (
	// stepTimeout bounds a step: on a connection that does not answer any more nothing would be done.
	stepTimeout = 10 * time.Second
	backoffStep = 200 * time.Millisecond
	mostBackoff = 5 * time.Second
)

// Loop is Loop whose steps use a session. Errors are passed to failed, and the step is retried after a back-off.
func (k *Keeper) Loop(ctx context.Context, failed func(error), step func(context.Context, *pgx.Conn) (time.Duration, error)) {
	failures := 0
	Loop(ctx, func(ctx context.Context) (wait time.Duration) {
		stepping, cancel := context.WithTimeout(ctx, stepTimeout)
		defer cancel()
		err := k.Use(stepping, func(ctx context.Context, conn *pgx.Conn) (err error) {
			wait, err = step(ctx, conn)
			return err
		})
		if err == nil {
			failures = 0
			return wait
		}
		failures++
		if ctx.Err() == nil {
			failed(err)
		}
		return backoff(failures)
	})
}

// backoff is how long to wait after that many failures in a row.
func backoff(failures int) time.Duration {
	return min(time.Duration(failures)*backoffStep, mostBackoff)
}

// NowAndThen calls step about once in every d until ctx ends. Processes that were started together do not call it together.
func NowAndThen(ctx context.Context, d time.Duration, step func(context.Context)) {
	_ = Sleep(ctx, rand.N(d))
	Loop(ctx, func(ctx context.Context) time.Duration {
		step(ctx)
		return Jitter(d)
	})
}

// Sleep returns when d is over or ctx ends.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Jitter is d, a tenth more or less.
func Jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.2*rand.Float64()))
}
