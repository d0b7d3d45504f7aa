package tidemill

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/migrations"
)

// login makes a role that may log in, with the rights of an application, and returns a connection of its own.
func login(t *testing.T, app *App, grants bool) (role string, conn *pgx.Conn) {
	t.Helper()
	role = fmt.Sprintf("app_%d", rand.Uint32())
	if _, err := app.Pool.Exec(t.Context(), "CREATE ROLE "+role+" LOGIN"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, err := app.Pool.Exec(context.Background(), "DROP OWNED BY "+role+"; DROP ROLE "+role)
		if err != nil {
			t.Error(err)
		}
	})
	if grants {
		out, err := command("psql", app.Config.Database.URL, "-X", "-q", "-v", "role="+role, "-v", "schema="+migrations.DefaultSchema, "-f", "deploy/grant-enqueue.sql")
		if err != nil {
			t.Fatalf("psql: %v: %s", err, out)
		}
	}
	config, err := pgx.ParseConfig(app.Config.Database.URL)
	if err != nil {
		t.Fatal(err)
	}
	config.User = role
	if conn, err = pgx.ConnectConfig(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return role, conn
}

// A role ends what it has begun, and nobody else's; by itself, as a role that it has set, as a member, or as the owner.
func TestOutsideRunsBelongToTheirRole(t *testing.T) {
	t.Parallel()

	app := setupInterface(t)
	_, one := login(t, app, true)
	nameTwo, two := login(t, app, true)
	member, third := login(t, app, true)
	if _, err := app.Pool.Exec(t.Context(), fmt.Sprintf("GRANT %s TO %s", nameTwo, member)); err != nil {
		t.Fatal(err)
	}
	begin := func(conn *pgx.Conn) (id int64) {
		if err := conn.QueryRow(t.Context(), `SELECT tidemill.run_begin('nightly')`).Scan(&id); err != nil {
			t.Fatal(err)
		}
		return id
	}
	end := func(conn *pgx.Conn, how string, id int64) error {
		_, err := conn.Exec(t.Context(), fmt.Sprintf(how, id))
		return err
	}
	refused := func(err error) bool {
		var pg *pgconn.PgError
		return errors.As(err, &pg) && pg.Code == "42501"
	}
	const finish, fail = `SELECT tidemill.run_finish(%d, '{"by": "me"}')`, `SELECT tidemill.run_fail(%d, 'no')`
	id := begin(one)
	for _, how := range []string{finish, fail} {
		if err := end(two, how, id); !refused(err) {
			t.Errorf("another role, %s: %v", how, err)
		}
	}
	if err := end(one, finish, id); err != nil {
		t.Error(err)
	}
	if err := end(two, finish, id); !refused(err) {
		t.Errorf("another role has written over the result: %v", err)
	}
	if err := end(third, finish, begin(two)); err != nil {
		t.Errorf("a member: %v", err)
	}
	if err := end(two, finish, begin(third)); !refused(err) {
		t.Errorf("the role of a member: %v", err)
	}
	id = begin(two)
	if _, err := app.Pool.Exec(t.Context(), fmt.Sprintf(fail, id)); err != nil {
		t.Errorf("the owner: %v", err)
	}
	// Applications of one login role that set theirs.
	if _, err := third.Exec(t.Context(), "SET ROLE "+nameTwo); err != nil {
		t.Fatal(err)
	}
	if err := end(two, finish, begin(third)); err != nil {
		t.Errorf("a role that was set: %v", err)
	}
	if err := end(third, finish, begin(one)); !refused(err) {
		t.Errorf("another role than was set: %v", err)
	}
}

// Whoever enters a run under the name of a job does not keep the job's schedule waiting.
func TestOutsideRunsHoldNoSchedule(t *testing.T) {
	t.Parallel()

	for _, overlap := range []string{"skip", "queue"} {
		t.Run(overlap, func(t *testing.T) {
			t.Parallel()
			app := setup(t, "jobs:\n  report: {kind: letter, schedule: {every: 1d, overlap: "+overlap+"}}\n")
			river.AddWorker(app.Workers, &letterWorker{})
			if _, err := app.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			_, conn := login(t, app, true)
			if _, err := conn.Exec(t.Context(), `SELECT tidemill.run_begin('report', timeout => '100 years')`); err != nil {
				t.Fatal(err)
			}
			if _, err := app.Pool.Exec(t.Context(), `UPDATE tidemill.schedule SET next_tick_at = next_tick_at - interval '1 day'`); err != nil {
				t.Fatal(err)
			}
			workOn(t, app)
			if err := waitFor(t, app, 1, `SELECT count(*)::int FROM tidemill.tick WHERE outcome IN ('enqueued', 'caught_up') AND run IN (SELECT id FROM tidemill.run WHERE trigger = 'schedule')`); err != nil {
				rows, _ := ask[string](t, app, `SELECT coalesce(string_agg(outcome || ': ' || coalesce(reason, ''), '; '), 'no tick') FROM tidemill.tick`)
				t.Errorf("%v: %s", err, rows)
			}
		})
	}
}

// A role that may only connect takes every advisory lock that there once was, and gives its session the name of a process.
func TestAnyoneMayTakeAdvisoryLocks(t *testing.T) {
	t.Parallel()

	app := setup(t, "retention: {succeeded: 1h}\njobs:\n  a: {kind: letter, schedule: {every: 1d}}\n  b: {kind: letter}\nschedules:\n  b: {job: a, every: 1d}\n")
	river.AddWorker(app.Workers, &letterWorker{})
	if _, err := app.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, stranger := login(t, app, false)
	for _, name := range []string{"tidemill metrics tidemill tidemill", "tidemill schedules", "tidemill job a", "tidemill trigger a"} {
		if _, err := stranger.Exec(t.Context(), `SELECT pg_advisory_lock(hashtextextended($1, 0))`, name); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := app.Pool.Exec(t.Context(), `INSERT INTO tidemill.process (id, host, pid, version, fenced_at) VALUES ('dead', 'h', 1, '', now())`); err != nil {
		t.Fatal(err)
	}
	if _, err := app.Pool.Exec(t.Context(), `INSERT INTO tidemill.river_job (kind, args, max_attempts, state, attempt, attempted_at, attempted_by)
		VALUES ('letter', '{}', 3, 'running', 1, now(), '{dead}')`); err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.Exec(t.Context(), `SET application_name = 'tidemill:dead'`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := app.Apply(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := app.Pool.Exec(t.Context(), `UPDATE tidemill.schedule SET next_tick_at = next_tick_at - interval '1 day'`); err != nil {
		t.Fatal(err)
	}
	workOn(t, app)
	for _, want := range []string{
		`SELECT count(*)::int FROM tidemill.leader WHERE name = 'metrics'`,
		`SELECT least(count(*), 1)::int FROM tidemill.tick`,
		`SELECT count(*)::int FROM tidemill.river_job WHERE attempted_by[1] = 'dead' AND state <> 'running'`,
	} {
		if err := waitFor(t, app, 1, want); err != nil {
			t.Error(err)
		}
	}
	if _, err := app.Pool.Exec(ctx, `SELECT tidemill.trigger_schedule('a', 'api', '2026-01-31T00:00:00Z')`); err != nil {
		t.Error(err)
	}
	if err := stranger.Ping(t.Context()); err != nil {
		t.Errorf("the session of another role was ended: %v", err)
	}
}
