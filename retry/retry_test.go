package retry_test

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/retry"
)

func TestAfter(t *testing.T) {
	t.Parallel()

	tests := []struct {
		name   string
		policy retry.Policy
		want   []time.Duration // after 1, 2, 3, … failures
	}{
		{"exponential", retry.Policy{Delay: time.Second, MaxDelay: 10 * time.Second, Jitter: -1}, []time.Duration{1e9, 2e9, 4e9, 8e9, 10e9, 10e9}},
		{"linear", retry.Policy{Backoff: retry.Linear, Delay: 2 * time.Second, MaxDelay: 5 * time.Second, Jitter: -1}, []time.Duration{2e9, 4e9, 5e9, 5e9}},
		{"constant", retry.Policy{Backoff: retry.Constant, Delay: 3 * time.Second, Jitter: -1}, []time.Duration{3e9, 3e9, 3e9}},
		{"constant over max", retry.Policy{Backoff: retry.Constant, Delay: 2 * time.Hour, Jitter: -1}, []time.Duration{time.Hour}},
		{"defaults", retry.Policy{Jitter: -1}, []time.Duration{2e9, 4e9, 8e9}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []time.Duration
			for i := range tt.want {
				got = append(got, tt.policy.After(i+1))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAfterStaysInBounds(t *testing.T) {
	t.Parallel()

	for _, backoff := range []retry.Backoff{retry.Exponential, retry.Linear, retry.Constant} {
		p := retry.Policy{Backoff: backoff, Delay: time.Second, MaxDelay: time.Minute, Jitter: 0.5}
		for _, n := range []int{math.MinInt, 0, 1, 2, 10, 63, 64, 1000, math.MaxInt32} {
			if d := p.After(n); d < time.Second/2 || d > time.Minute {
				t.Errorf("backoff %d after %d failures: %s", backoff, n, d)
			}
		}
	}
}

func TestJitterNeverMakesADelayNegative(t *testing.T) {
	t.Parallel()

	p := retry.Policy{Backoff: retry.Constant, Delay: time.Second, Jitter: 50}
	for range 1000 {
		if d := p.After(1); d < 0 || d > 2*time.Second {
			t.Fatalf("a delay of 1s with a jitter of 50 is %s", d)
		}
	}
}

func TestWait(t *testing.T) {
	t.Parallel()

	p := retry.Policy{Backoff: retry.Linear, Delay: time.Second, MaxDelay: time.Minute, Jitter: -1}
	failed := errors.New("failed")
	tests := []struct {
		name string
		err  error
		want time.Duration
	}{
		{"no error known", nil, 3 * time.Second},
		{"plain", failed, 3 * time.Second},
		{"asked for less", retry.After(failed, time.Millisecond), time.Millisecond},
		{"asked for more", retry.After(failed, 30*time.Second), 30 * time.Second},
		{"asked for too much", retry.After(failed, time.Hour), time.Minute},
		{"wrapped", fmt.Errorf("call: %w", retry.After(failed, 7*time.Second)), 7 * time.Second},
		{"no hint", retry.After(failed, 0), 3 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := p.Wait(3, tt.err); got != tt.want {
				t.Errorf("waits %s, want %s", got, tt.want)
			}
		})
	}
}

func ExamplePolicy_After() {
	p := retry.Policy{Backoff: retry.Linear, Delay: 2 * time.Second, Jitter: -1}
	fmt.Println(p.After(1), p.After(2), p.After(3))
	// Output: 2s 4s 6s
}
