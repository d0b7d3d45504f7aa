package retry_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/retry"
)

var errBusy = errors.New("busy")

// call is one attempt that Do made, and when.
type call struct {
	Attempt int
	At      time.Duration
}

// told is what OnRetry heard.
type told struct {
	Attempt int
	Err     string
	Delay   time.Duration
}

func TestDo(t *testing.T) {
	t.Parallel()

	linear := retry.Policy{Backoff: retry.Linear, Delay: time.Second, MaxDelay: 10 * time.Second, MaxAttempts: 4, Jitter: -1}
	fails := func(errs ...error) func(int) error {
		return func(attempt int) error {
			if attempt > len(errs) {
				return nil
			}
			return errs[attempt-1]
		}
	}
	tests := []struct {
		name    string
		policy  retry.Policy
		fn      func(attempt int) error
		calls   []call
		told    []told
		wantErr string
	}{
		{"at once", linear, fails(), []call{{1, 0}}, nil, ""},
		{"at the third", linear, fails(errBusy, errBusy), []call{{1, 0}, {2, time.Second}, {3, 3 * time.Second}},
			[]told{{1, "busy", time.Second}, {2, "busy", 2 * time.Second}}, ""},
		{"never", linear, fails(errBusy, errBusy, errBusy, errors.New("last")),
			[]call{{1, 0}, {2, time.Second}, {3, 3 * time.Second}, {4, 6 * time.Second}},
			[]told{{1, "busy", time.Second}, {2, "busy", 2 * time.Second}, {3, "busy", 3 * time.Second}}, "after 4 attempts: last"},
		{"one attempt", retry.Policy{MaxAttempts: 1}, fails(errBusy), []call{{1, 0}}, nil, "busy"},
		{"permanent", linear, fails(errBusy, fmt.Errorf("call: %w", retry.Permanent(errors.New("gone")))),
			[]call{{1, 0}, {2, time.Second}}, []told{{1, "busy", time.Second}}, "after 2 attempts: call: gone"},
		{"the server asks", linear, fails(retry.After(errBusy, 5*time.Second), errBusy),
			[]call{{1, 0}, {2, 5 * time.Second}, {3, 7 * time.Second}},
			[]told{{1, "busy", 5 * time.Second}, {2, "busy", 2 * time.Second}}, ""},
		{"the server asks for too much", linear, fails(retry.After(errBusy, time.Hour)),
			[]call{{1, 0}, {2, 10 * time.Second}}, []told{{1, "busy", 10 * time.Second}}, ""},
		{"longer than any limit of the library", retry.Policy{Backoff: retry.Constant, Delay: time.Hour, MaxAttempts: 3, Jitter: -1},
			fails(errBusy, errBusy), []call{{1, 0}, {2, time.Hour}, {3, 2 * time.Hour}},
			[]told{{1, "busy", time.Hour}, {2, "busy", time.Hour}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				var calls []call
				var heard []told
				got, err := retry.Do(t.Context(), tt.policy, func(_ context.Context, attempt int) (string, error) {
					calls = append(calls, call{attempt, time.Since(began)})
					return fmt.Sprint("value ", attempt), tt.fn(attempt)
				}, retry.OnRetry(func(attempt int, err error, delay time.Duration) {
					heard = append(heard, told{attempt, err.Error(), delay})
				}))
				if diff := cmp.Diff(tt.calls, calls); diff != "" {
					t.Errorf("calls (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(tt.told, heard); diff != "" {
					t.Errorf("OnRetry (-want +got):\n%s", diff)
				}
				if want := fmt.Sprint("value ", len(tt.calls)); got != want {
					t.Errorf("returns %q, want that of the last attempt, %q", got, want)
				}
				if err == nil && tt.wantErr != "" || err != nil && err.Error() != tt.wantErr {
					t.Errorf("error is %v, want %q", err, tt.wantErr)
				}
			})
		})
	}
}

func TestDoKeepsMarks(t *testing.T) {
	t.Parallel()

	synctest.Test(t, func(t *testing.T) {
		_, err := retry.Do(t.Context(), retry.Policy{MaxAttempts: 2}, func(context.Context, int) (int, error) {
			return 0, retry.After(errBusy, time.Minute)
		})
		if hint, _ := retry.Hint(err); hint != time.Minute || !errors.Is(err, errBusy) {
			t.Errorf("%v has the hint %s", err, hint)
		}
		_, err = retry.Do(t.Context(), retry.Policy{}, func(context.Context, int) (int, error) {
			return 0, retry.Permanent(errBusy)
		})
		if !retry.IsPermanent(err) || !errors.Is(err, errBusy) {
			t.Errorf("%v is not permanent any more", err)
		}
	})
}

func TestDoEndsWithItsContext(t *testing.T) {
	t.Parallel()

	stop := errors.New("stop")
	hourly := retry.Policy{Backoff: retry.Constant, Delay: time.Hour}
	tests := []struct {
		name  string
		after time.Duration // when ctx ends
		cause error
		fn    func(ctx context.Context) error
		calls int
		is    []error
		text  string
	}{
		{"before it began", 0, nil, nil, 0, []error{context.Canceled}, "context canceled"},
		{"while it waits", time.Minute, nil, func(context.Context) error { return errBusy }, 1,
			[]error{context.Canceled, errBusy}, "context canceled; busy"},
		{"with a cause", 90 * time.Minute, stop, func(context.Context) error { return errBusy }, 2,
			[]error{context.Canceled, stop, errBusy}, "context canceled: stop; after 2 attempts: busy"},
		{"inside the call", time.Minute, nil, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, 1,
			[]error{context.Canceled}, "context canceled"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				if tt.after == 0 {
					cancel(tt.cause)
				} else {
					time.AfterFunc(tt.after, func() { cancel(tt.cause) })
				}
				began, calls := time.Now(), 0
				_, err := retry.Do(ctx, hourly, func(ctx context.Context, _ int) (int, error) {
					calls++
					return 0, tt.fn(ctx)
				})
				if took := time.Since(began); took != tt.after {
					t.Errorf("returns after %s, want %s", took, tt.after)
				}
				if calls != tt.calls {
					t.Errorf("made %d calls, want %d", calls, tt.calls)
				}
				for _, want := range tt.is {
					if !errors.Is(err, want) {
						t.Errorf("%v is not %v", err, want)
					}
				}
				if err == nil || err.Error() != tt.text {
					t.Errorf("error is %q, want %q", err, tt.text)
				}
			})
		})
	}
}

func ExampleDo() {
	policy := retry.Policy{MaxAttempts: 3, Backoff: retry.Constant, Delay: time.Millisecond, Jitter: -1}
	price, err := retry.Do(context.Background(), policy, func(ctx context.Context, attempt int) (int, error) {
		if attempt < 3 {
			return 0, errors.New("the shop is closed")
		}
		return 42, nil
	}, retry.OnRetry(func(attempt int, err error, delay time.Duration) {
		fmt.Printf("attempt %d: %v; again in %s\n", attempt, err, delay)
	}))
	fmt.Println(price, err)
	// Output:
	// attempt 1: the shop is closed; again in 1ms
	// attempt 2: the shop is closed; again in 1ms
	// 42 <nil>
}
