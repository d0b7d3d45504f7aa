package session

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// locks elects by an advisory lock, as long as which the session lives.
func locks(ctx context.Context, conn *pgx.Conn) (elected bool, err error) {
	err = conn.QueryRow(ctx, `SELECT pg_try_advisory_lock(1)`).Scan(&elected)
	return elected, err
}

func idle(context.Context, *pgx.Conn) error { return nil }

// lead tries to lead, and fails the test if that is not how it ends.
func lead(t *testing.T, name string, r *Role, want error) {
	t.Helper()
	if err := r.Lead(t.Context(), idle); !errors.Is(err, want) || r.Leads() != (want == nil) {
		t.Fatalf("%s leads: %t (%v), want %v", name, r.Leads(), err, want)
	}
}

// The leader's session is killed: the leader learns of it while it waits, and another leads.
func TestLeadershipPassesOver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.newKeeper("a").Role(locks)
	c := b.newKeeper("c").Role(locks)
	lead(t, "a", a, nil)
	lead(t, "c", c, ErrElsewhere)
	lead(t, "a", a, nil) // again, without an election

	waited := make(chan error)
	go func() { waited <- a.Wait(t.Context(), time.Hour) }()
	b.kill("a")
	if err := <-waited; !errors.Is(err, ErrEnded) || a.Leads() {
		t.Errorf("the first waits until %v, and leads: %t", err, a.Leads())
	}
	lead(t, "c", c, nil)
	lead(t, "a", a, ErrElsewhere)

	c.Leave(t.Context())
	if c.Leads() {
		t.Error("the second leads after it left")
	}
	b.want(0, "c")
	lead(t, "a", a, nil)
	lead(t, "c", c, ErrElsewhere)
}

// Two roles and a loop share the session: what ends it for one is told to the other.
func TestRolesShareASession(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second := b.keeper.Role(locks), b.keeper.Role(func(ctx context.Context, conn *pgx.Conn) (bool, error) { return true, conn.Ping(ctx) })
	lead(t, "first", first, nil)
	lead(t, "second", second, nil)
	pid := b.pid()
	b.want(1, "ours")
	waited := make(chan error)
	go func() { waited <- second.Wait(t.Context(), time.Hour) }()
	first.Leave(t.Context())
	if err := <-waited; !errors.Is(err, ErrEnded) {
		t.Errorf("the second role waits until %v", err)
	}
	if got := b.pid(); got == pid {
		t.Error("who left keeps the session")
	}
	b.want(1, "ours")
	second.Leave(t.Context()) // leads no more, and must not end what is another's
	lead(t, "first", first, nil)
	second.Leave(t.Context())
	if err := first.Wait(t.Context(), time.Millisecond); err != nil {
		t.Error(err)
	}
}

// A session that was lost without a word is another one: what leads by it is elected again, and does not only think so.
func TestALostSessionLeadsNoMore(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a, c := b.keeper.Role(locks), b.newKeeper("c").Role(locks)
	lead(t, "a", a, nil)
	b.kill("ours")
	lead(t, "c", c, nil)
	if err := a.Lead(t.Context(), func(ctx context.Context, conn *pgx.Conn) error { return conn.Ping(ctx) }); err == nil {
		t.Error("the first has worked beside the second")
	}
	lead(t, "a", a, ErrElsewhere)
}

func TestElectionFails(t *testing.T) {
	t.Parallel()
	b := setup(t)
	wrong := errors.New("no table")
	r := b.keeper.Role(func(context.Context, *pgx.Conn) (bool, error) { return false, wrong })
	lead(t, "it", r, wrong)
}

// Whoever waits, for its turn or for the session, ends with its context.
func TestCloseWhileWaiting(t *testing.T) {
	t.Parallel()
	b := setup(t)
	leader := b.keeper.Role(locks)
	lead(t, "it", leader, nil)
	began, end := make(chan struct{}), make(chan struct{})
	used := make(chan error)
	go func() {
		used <- b.keeper.Use(t.Context(), func(context.Context, *pgx.Conn) error {
			close(began)
			<-end
			return nil
		})
	}()
	<-began
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- leader.Wait(ctx, time.Hour) }()
	go func() { ended <- b.keeper.Role(locks).Lead(ctx, idle) }()
	go func() {
		Loop(ctx, func(context.Context) time.Duration { return time.Hour })
		ended <- ctx.Err()
	}()
	go func() {
		NowAndThen(ctx, time.Hour, func(context.Context) {})
		ended <- ctx.Err()
	}()
	cancel()
	for range 4 {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	}
	if err := b.keeper.Use(ctx, idle); !errors.Is(err, context.Canceled) {
		t.Errorf("a use after the end: %v", err)
	}
	close(end)
	if err := <-used; err != nil {
		t.Error(err)
	}
	b.keeper.Close()
	b.want(0, "ours")
}
