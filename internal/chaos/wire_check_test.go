package chaos

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// A wire must do what it says, or the tests that use it prove nothing.
func TestWire(t *testing.T) {
	t.Parallel()

	direct := startTCPServer(t)
	for _, state := range []fault{cut, stall, halfOpen, forgotten} {
		t.Run(string(state), func(t *testing.T) {
			t.Parallel()
			w, through := newWire(t, direct)
			conn, err := pgx.Connect(t.Context(), through)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(context.Background())
			watch, err := pgx.Connect(t.Context(), direct)
			if err != nil {
				t.Fatal(err)
			}
			defer watch.Close(context.Background())
			w.set(state)

			// Of the session, first: half-open ones end there at once, and without the worker's knowledge.
			gone := `SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = ` + strconv.Itoa(int(conn.PgConn().PID()))
			ended, want := false, state != stall
			for began := time.Now(); ended != want || !want && time.Since(began) < time.Second; {
				if time.Since(began) > 10*time.Second {
					t.Fatalf("session ended: %t", ended)
				}
				if err := watch.QueryRow(t.Context(), gone).Scan(&ended); err != nil {
					t.Fatal(err)
				}
				pause(10 * time.Millisecond)
			}
			if got := describe(func(ctx context.Context) error { return conn.Ping(ctx) }); got != map[bool]string{true: "refused", false: "silent"}[state == cut] {
				t.Errorf("an old connection is %s", got)
			}
			fresh := func(ctx context.Context) error {
				c, err := pgx.Connect(ctx, through)
				if err != nil {
					return err
				}
				return c.Close(ctx)
			}
			ask := map[fault]string{cut: "refused", stall: "silent", halfOpen: "silent", forgotten: "fine"}[state]
			if got := describe(fresh); got != ask {
				t.Errorf("a new connection is %s, want %s", got, ask)
			}
			w.set(fine)
			if got := describe(fresh); got != "fine" {
				t.Errorf("a new connection is %s afterwards", got)
			}
		})
	}
}

func describe(do func(context.Context) error) string {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	err := do(ctx)
	switch {
	case err == nil:
		return "fine"
	case ctx.Err() != nil:
		return "silent"
	}
	return "refused"
}
