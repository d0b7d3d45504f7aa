package batch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

func TestClassify(t *testing.T) {
	t.Parallel()

	pg := func(code string) error { return fmt.Errorf("write: %w", &pgconn.PgError{Code: code}) }
	tests := []struct {
		err  error
		want Class
		lost bool // the connection, or the whole server, was
	}{
		{pg("40001"), Transient, false}, {pg("40P01"), Transient, false}, {pg("55P03"), Transient, false},
		{pg("57P01"), Transient, true}, {pg("57P05"), Transient, true}, {pg("53300"), Transient, true}, {pg("08006"), Transient, true}, {pg("25P03"), Transient, true},
		{pg("22P02"), Row, false}, {pg("23505"), Row, false}, {pg("P0001"), Row, false}, {pg("P0003"), Row, false}, {pg("44000"), Row, false},
		{pg("54000"), Row, false}, {pg("54001"), Row, false}, {pg("09000"), Row, false}, {pg("27000"), Row, false}, {pg("21000"), Row, false}, {pg("54011"), Other, false},
		{pg("42703"), Config, false}, {pg("28P01"), Config, false}, {pg("3D000"), Config, false},
		{pg("57014"), Other, false}, {pg("TM001"), Other, false}, {pg("XX000"), Other, false},
		{fmt.Errorf("read: %w", io.ErrUnexpectedEOF), Transient, true},
		// With connect_timeout, or a dead network, the end of the time is the connection's own.
		{fmt.Errorf("connect: %w", dialError(t)), Transient, true},
		{&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, Transient, true},
		{context.DeadlineExceeded, Other, false}, {pg("25006"), Other, true},
		{context.Canceled, Other, false}, {errors.New("no such thing"), Other, false},
	}
	for _, tt := range tests {
		if got := Classify(tt.err); got != tt.want {
			t.Errorf("%v: class %d, want %d", tt.err, got, tt.want)
		}
		if got := connectionLost(tt.err); got != tt.lost {
			t.Errorf("%v: connection lost = %v", tt.err, got)
		}
	}
}

// dialError is what a server that never answers ends in.
func dialError(t *testing.T) error {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	config, err := pgconn.ParseConfig("postgres://x@" + listener.Addr().String() + "/x?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	config.ConnectTimeout = 100 * time.Millisecond
	_, err = pgconn.ConnectConfig(t.Context(), config)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%v is no timeout", err)
	}
	return err
}

func TestCountersBalance(t *testing.T) {
	t.Parallel()

	c := Counters{Read: 28, Inserted: 1, Updated: 2, Unchanged: 3, Duplicate: 4, Rejected: 5, Filtered: 6, Processed: 7}
	if err := c.Check(); err != nil {
		t.Error(err)
	}
	if err := c.Plus(Counters{Read: 1}).Check(); err == nil {
		t.Error("a row that went nowhere was not noticed")
	}
}

func TestNextRate(t *testing.T) {
	t.Parallel()

	// A steady pace is its own average, however it is cut into chunks.
	for _, step := range []time.Duration{10 * time.Millisecond, time.Second, time.Minute} {
		rate := 0.0
		for range 1000 {
			rate = nextRate(rate, int64(step/time.Millisecond), step)
		}
		if math.Abs(rate-1000) > 1e-6 {
			t.Errorf("steps of %s: rate %f, want 1000", step, rate)
		}
	}
	// Half of an old pace has faded after 20 s · ln 2, in one step or in many.
	one := nextRate(1000, 0, 13863*time.Millisecond)
	many := 1000.0
	for range 13863 {
		many = nextRate(many, 0, time.Millisecond)
	}
	if math.Abs(one-500) > 1 || math.Abs(many-500) > 1 {
		t.Errorf("after 13.9 s without work: %f and %f, want 500", one, many)
	}
	if got := nextRate(5, 10, 0); got != 5 {
		t.Errorf("an interval of nothing: %f", got)
	}
}

func TestIdentityKeepsPartsApart(t *testing.T) {
	t.Parallel()

	if string(Identity("ab", "c")) == string(Identity("a", "bc")) || string(Identity("a")) == string(Identity("a", "")) {
		t.Error("different parts have one identity")
	}
}
