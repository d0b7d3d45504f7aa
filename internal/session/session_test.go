package session

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidemill/tidemill/internal/testbouncer"
	"github.com/tidemill/tidemill/internal/testdb"
)

func parse(t *testing.T, url string) *pgx.ConnConfig {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func TestCheck(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		bounce *testbouncer.Opts // nil: directly
		want   error
	}{
		{name: "directly"},
		{name: "session", bounce: &testbouncer.Opts{}},
		{name: "session, parameters ignored", bounce: &testbouncer.Opts{
			Settings: map[string]string{"ignore_startup_parameters": "extra_float_digits,application_name,tidemill.client"},
		}},
		{name: "session, address added to the name", bounce: &testbouncer.Opts{Settings: map[string]string{"application_name_add_host": "1"}}},
		{name: "session, one after the other", bounce: &testbouncer.Opts{Settings: map[string]string{"server_round_robin": "1"}}},
		{name: "session, not reset", bounce: &testbouncer.Opts{Settings: map[string]string{"server_reset_query": ""}}, want: ErrNotReset},
		{name: "transaction", bounce: &testbouncer.Opts{Mode: "transaction"}, want: ErrShared},
		{name: "transaction, one after the other", bounce: &testbouncer.Opts{
			Mode: "transaction", Settings: map[string]string{"server_round_robin": "1"},
		}, want: ErrShared},
		{name: "transaction, one session for all", bounce: &testbouncer.Opts{
			Mode: "transaction", Settings: map[string]string{"default_pool_size": "1"},
		}, want: ErrShared},
		{name: "statement", bounce: &testbouncer.Opts{Mode: "statement"}, want: ErrShared},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			url := testdb.URL(t)
			if tt.bounce != nil {
				tt.bounce.URL = url
				url = testbouncer.Start(t, *tt.bounce)
			}
			warm(t, url)
			for range 5 {
				if err := Check(t.Context(), parse(t, url)); !errors.Is(err, tt.want) {
					t.Fatalf("Check: %v, want %v", err, tt.want)
				}
			}
		})
	}
}

// warm leaves a pooler with two sessions, which it has as soon as two transactions overlap.
func warm(t *testing.T, url string) {
	t.Helper()
	var conns [2]*pgx.Conn
	for i := range conns {
		conn, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.Background())
		conns[i] = conn
	}
	for _, statement := range []string{"BEGIN", "COMMIT"} {
		for _, conn := range conns {
			// Where one session is all there is, or transactions are refused, the second does without.
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, _ = conn.Exec(ctx, statement)
			cancel()
		}
	}
}

func TestCheckOfTooSmallAPool(t *testing.T) {
	t.Parallel()
	url := testbouncer.Start(t, testbouncer.Opts{URL: testdb.URL(t), Settings: map[string]string{"default_pool_size": "1", "query_wait_timeout": "1"}})
	const want = "a second connection beside the first (a pooler must allow as many as a worker needs): "
	if err := Check(t.Context(), parse(t, url)); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("Check: %v, want %s", err, want)
	}
}

func TestSet(t *testing.T) {
	t.Parallel()
	config := parse(t, testbouncer.Start(t, testbouncer.Opts{URL: testdb.URL(t)}))
	order := []string{}
	config.AfterConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		order = append(order, "theirs")
		return conn.Exec(ctx, "SET application_name = 'theirs'; SET work_mem = '3MB'").Close()
	}
	settings := map[string]string{"application_name": "ours", "statement_timeout": "30000", "tidemill.client": "me"}
	Set(config, settings)
	clear(settings) // what is changed later changes nothing
	Set(config, map[string]string{"lock_timeout": "5s"})
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	got, err := get(t.Context(), conn.PgConn(), []string{"application_name", "statement_timeout", "tidemill.client", "work_mem", "lock_timeout"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"ours", "30s", "me", "3MB", "5s"}, got); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"theirs"}, order); diff != "" {
		t.Errorf("their own set-up (-want +got):\n%s", diff)
	}
}

func TestSetRefuses(t *testing.T) {
	t.Parallel()
	url := testdb.URL(t)
	shared := testbouncer.Start(t, testbouncer.Opts{
		URL: url, Mode: "transaction", Settings: map[string]string{"server_round_robin": "1"},
	})
	warm(t, shared)
	tests := []struct {
		name  string
		url   string
		value string
		want  string // part of the error
	}{
		{"a value that is none", url, "much", `invalid value for parameter "work_mem"`},
		{"read back in another session", shared, "3MB", ErrShared.Error()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			config := parse(t, tt.url)
			Set(config, map[string]string{"work_mem": tt.value})
			_, err := pgx.ConnectConfig(context.Background(), config)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("connect: %v, want %s", err, tt.want)
			}
		})
	}
}
