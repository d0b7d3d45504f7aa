package retry

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Option changes what Do does besides.
type Option func(*options)

type options struct {
	onRetry func(attempt int, err error, delay time.Duration)
}

// OnRetry calls fn after each failed attempt that is retried, with its number, from 1, its error, and how long Do
// waits before the next. It is not called for the last one, whose error Do returns.
func OnRetry(fn func(attempt int, err error, delay time.Duration)) Option {
	return func(o *options) { o.onRetry = fn }
}

// Do calls fn until it succeeds, until policy.MaxAttempts are used up, until its error is marked Permanent, or until ctx
// ends. fn gets the number of the attempt, from 1.
//
// It returns what the last call of fn returned, its error with the number of attempts if there were several. The marks of
// Permanent and After are kept, so a worker that returns the error has River follow them. If ctx ended, the error is both
// that of ctx, with its cause, and the last of fn.
//
// The waiting is inside the caller: it holds the worker's slot and counts towards the job's timeout. Long waits are better
// left to the retry of the job.
func Do[T any](ctx context.Context, policy Policy, fn func(ctx context.Context, attempt int) (T, error), opts ...Option) (T, error) {
	o := options{onRetry: func(int, error, time.Duration) {}}
	for _, opt := range opts {
		opt(&o)
	}
	policy = policy.Defaults()
	var value T
	var err error
	for attempt := 1; ; attempt++ {
		if ctx.Err() != nil {
			return value, verdict(ctx, policy, attempt-1, err)
		}
		value, err = fn(ctx, attempt)
		if err == nil {
			return value, nil
		}
		if IsPermanent(err) || attempt >= policy.MaxAttempts || ctx.Err() != nil {
			return value, verdict(ctx, policy, attempt, err)
		}
		delay := policy.Wait(attempt, err)
		o.onRetry(attempt, err, delay)
		sleep(ctx, delay)
	}
}

// sleep returns after a while, or when ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// verdict is the error of a Do that did not succeed after so many attempts, of which the last one ended with err.
func verdict(ctx context.Context, policy Policy, attempts int, err error) error {
	if attempts > 1 {
		err = fmt.Errorf("after %d attempts: %w", attempts, err)
	}
	ended := ctx.Err()
	if ended == nil || IsPermanent(err) || attempts >= policy.MaxAttempts {
		return err
	}
	if cause := context.Cause(ctx); !errors.Is(ended, cause) {
		ended = fmt.Errorf("%w: %w", ended, cause)
	}
	switch {
	case err == nil: // it had ended before the first attempt
		return ended
	case errors.Is(err, ended): // and fn has said so
		return err
	}
	return fmt.Errorf("%w; %w", ended, err)
}
