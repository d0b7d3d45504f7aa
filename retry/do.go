package retry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Option changes what Do does besides.
type Option func(*options)

type options struct {
	onRetry func(attempt int, err error, delay time.Duration)
}

// OnRetry has fn told of each attempt that failed and is to be repeated: its number, from 1, its error, and how long Do
// waits before the next. It is not told of the last one, whose error Do returns.
func OnRetry(fn func(attempt int, err error, delay time.Duration)) Option {
	return func(o *options) { o.onRetry = fn }
}

// Do calls fn until it succeeds, until policy.MaxAttempts are used up, until its error is marked Permanent, or until ctx
// ends. fn is told the number of the attempt, from 1.
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
	d := &delays{policy: policy}
	value, err := backoff.Retry(ctx,
		func() (T, error) {
			if err := ctx.Err(); err != nil { // the library calls at least once, and once more if the wait ends with ctx
				var zero T
				return zero, backoff.Permanent(err)
			}
			d.attempt++
			var value T
			value, d.err = fn(ctx, d.attempt)
			if IsPermanent(d.err) {
				return value, backoff.Permanent(d.err)
			}
			if d.err != nil {
				// Without the chain: the library has marks of its own, which are not for what fn returns.
				return value, errors.New("attempt failed")
			}
			return value, nil
		},
		backoff.WithBackOff(d),
		backoff.WithMaxTries(uint(policy.MaxAttempts)),
		backoff.WithMaxElapsedTime(0),
		backoff.WithNotify(func(_ error, delay time.Duration) { o.onRetry(d.attempt, d.err, delay) }),
	)
	if err == nil {
		return value, nil
	}
	return value, d.verdict(ctx)
}

// delays is the policy as the library asks for it. It knows the last error, which the library would not pass on.
type delays struct {
	policy  Policy
	attempt int
	err     error // of the last attempt
}

// NextBackOff implements backoff.BackOff.
func (d *delays) NextBackOff() time.Duration { return d.policy.Wait(d.attempt, d.err) }

// Reset implements backoff.BackOff.
func (d *delays) Reset() {}

// verdict is the error of a Do that did not succeed.
func (d *delays) verdict(ctx context.Context) error {
	err := d.err
	if d.attempt > 1 {
		err = fmt.Errorf("after %d attempts: %w", d.attempt, err)
	}
	ended := ctx.Err()
	if ended == nil || IsPermanent(err) || d.attempt >= d.policy.MaxAttempts {
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
