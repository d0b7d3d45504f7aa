package rescue_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tidemill/tidemill/internal/session"
	"github.com/tidemill/tidemill/internal/testbouncer"
	"github.com/tidemill/tidemill/rescue"
)

// Behind a pooler that gives out sessions of one's own all are named, and the fence holds, however the pooler treats the
// parameters of a connection.
func TestFenceThroughPgBouncer(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string]map[string]string{
		"as it is":                  {},
		"parameters ignored":        {"ignore_startup_parameters": "extra_float_digits,application_name,tidemill.client"},
		"address added to the name": {"application_name_add_host": "1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			settings["default_pool_size"] = "50"
			direct := b.url
			b.url = testbouncer.Start(t, testbouncer.Opts{URL: direct, Settings: settings})
			m := b.join(t, b.quick(t))
			b.insert(t, 1)
			<-m.worker.began
			var names []string
			err := b.pool.QueryRow(context.Background(), `SELECT coalesce(array_agg(DISTINCT application_name), '{}') FROM pg_stat_activity
				WHERE datname = current_database() AND query LIKE '%river_job%' AND pid <> pg_backend_pid()`).Scan(&names)
			if err != nil {
				t.Fatal(err)
			}
			if want := []string{rescue.SessionName(m.process.ID())}; !slices.Equal(names, want) {
				t.Errorf("the sessions of the client are named %q, want %q", names, want)
			}
			if _, err := b.pool.Exec(context.Background(), `UPDATE tidemill.process SET fenced_at = now() WHERE id = $1`, m.process.ID()); err != nil {
				t.Fatal(err)
			}
			_, err = m.pool.Exec(context.Background(), `UPDATE tidemill.river_job SET priority = 2`)
			var pg *pgconn.PgError
			if !errors.As(err, &pg) || pg.Code != "TM001" {
				t.Errorf("an update by a fenced session: %v", err)
			}
			close(m.worker.release)
		})
	}
}

func TestRegisterRefusesSharedSessions(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"transaction", "statement"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.url = testbouncer.Start(t, testbouncer.Opts{URL: b.url, Mode: mode})
			if _, err := rescue.Register(context.Background(), b.quick(t)); !errors.Is(err, session.ErrShared) {
				t.Errorf("Register: %v", err)
			}
			var n int
			if err := b.pool.QueryRow(context.Background(), `SELECT count(*) FROM tidemill.process`).Scan(&n); err != nil {
				t.Fatal(err)
			}
			if n > 0 {
				t.Errorf("%d processes are registered", n)
			}
		})
	}
}
