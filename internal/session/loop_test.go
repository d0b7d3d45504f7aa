package session

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

// Failures in a row are further and further apart, up to a bound.
func TestBackoff(t *testing.T) {
	t.Parallel()
	var got []time.Duration
	for failures := range 100 {
		got = append(got, backoff(failures+1))
	}
	if !slices.IsSorted(got) || got[0] != 200*time.Millisecond || got[24] != 5*time.Second || got[99] != 5*time.Second {
		t.Errorf("after failures: %v", got)
	}
	if got := backoff(1 << 30); got != 5*time.Second {
		t.Errorf("after very many: %s", got)
	}
}

// A loop continues after whatever becomes of its session, tells of it, and ends with its context.
func TestKeeperLoop(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	pids := map[uint32]bool{}
	told, steps := 0, 0
	b.keeper.Loop(ctx, func(error) { told++ }, func(ctx context.Context, conn *pgx.Conn) (time.Duration, error) {
		steps++
		pids[conn.PgConn().PID()] = true
		switch steps {
		case 1: // lost
			b.kill("ours")
		case 2: // an error, and the session stays
			return time.Hour, errors.New("wrong")
		case 3, 4:
			return 0, conn.Ping(ctx)
		default:
			cancel()
			return time.Hour, errors.New("of no interest any more")
		}
		return time.Hour, conn.Ping(ctx)
	})
	if steps != 5 || told != 2 || len(pids) != 2 {
		t.Errorf("%d steps on %d sessions, told of %d errors; want 5 on 2 and 2", steps, len(pids), told)
	}
}

func TestJitter(t *testing.T) {
	t.Parallel()
	different := map[time.Duration]bool{}
	for range 1000 {
		got := Jitter(time.Second)
		if got < 900*time.Millisecond || got > 1100*time.Millisecond {
			t.Fatalf("Jitter(1s) = %s", got)
		}
		different[got] = true
	}
	if len(different) < 100 {
		t.Errorf("only %d different waits", len(different))
	}
}

func TestLoop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		var at []time.Duration
		waits := []time.Duration{time.Second, 0, -time.Second, time.Hour}
		Loop(ctx, func(context.Context) time.Duration {
			at = append(at, time.Since(began))
			wait := waits[len(at)-1]
			if wait == time.Hour {
				cancel()
			}
			return wait
		})
		if diff := cmp.Diff([]time.Duration{0, time.Second, time.Second, time.Second}, at); diff != "" {
			t.Errorf("steps (-want +got):\n%s", diff)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("it ended after %s", took)
		}
	})
}

func TestNowAndThen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Minute)
		defer cancel()
		last, n := time.Now(), 0
		NowAndThen(ctx, time.Minute, func(context.Context) {
			gap := time.Since(last)
			if gap > 66*time.Second || n > 0 && gap < 54*time.Second {
				t.Errorf("step %d is %s after the one before", n, gap)
			}
			last, n = time.Now(), n+1
		})
		if n < 90 || n > 112 {
			t.Errorf("%d steps", n)
		}
	})
}
