package migrations_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/migrations"
)

// Whoever reads that migrations are missing knows which.
func TestPendingIsNamed(t *testing.T) {
	t.Parallel()

	ctx := t.Context()
	pool := testdb.Pool(t, testdb.URL(t))
	err := migrations.Check(ctx, pool, migrations.Schema{})
	if !errors.Is(err, migrations.ErrPending) || !strings.HasPrefix(err.Error(), "the database lacks migrations: River's 1 to ") || !strings.Contains(err.Error(), ", 001_tables, 002_triggers, ") {
		t.Errorf("an empty database: %v", err)
	}
	if _, err := migrations.Up(ctx, pool, migrations.Schema{}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := migrations.Down(ctx, pool, migrations.Schema{}, 2); err != nil {
		t.Fatal(err)
	}
	err = migrations.Check(ctx, pool, migrations.Schema{})
	if !errors.Is(err, migrations.ErrPending) || err.Error() != "the database lacks migrations: 004_schedules, 005_children" {
		t.Errorf("two steps back: %v", err)
	}
	status, err := migrations.Get(ctx, pool, migrations.Schema{})
	if err != nil {
		t.Fatal(err)
	}
	locks := map[string][]string{}
	for _, step := range status.Pending() {
		locks[step.String()] = step.Locks(migrations.Schema{River: "public"})
	}
	want := map[string][]string{"004_schedules": {}, "005_children": {"public.river_job", "tidemill.event"}}
	if diff := cmp.Diff(want, locks); diff != "" {
		t.Error(diff)
	}
}

// A schema from before the first release has other steps by the same numbers: nothing is applied on top of them, and nothing taken back.
func TestUnreleasedSchemaIsRefused(t *testing.T) {
	t.Parallel()

	for _, schema := range []migrations.Schema{{}, {River: "public"}} {
		t.Run(schema.Defaults().River, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			pool := testdb.Pool(t, testdb.URL(t))
			if _, err := pool.Exec(ctx, `CREATE SCHEMA tidemill;
				CREATE TABLE tidemill.migration (version integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now());
				INSERT INTO tidemill.migration (version, name) VALUES (1, 'engine'), (2, 'unique'), (3, 'fence_when'), (21, 'knows')`); err != nil {
				t.Fatal(err)
			}
			before := objects(t, pool, "tidemill")
			for what, call := range map[string]func(context.Context) error{
				"up":    func(ctx context.Context) error { _, err := migrations.Up(ctx, pool, schema, nil); return err },
				"down":  func(ctx context.Context) error { _, err := migrations.Down(ctx, pool, schema, 1); return err },
				"check": func(ctx context.Context) error { return migrations.Check(ctx, pool, schema) },
			} {
				err := call(ctx)
				var unreleased *migrations.UnreleasedError
				if !errors.As(err, &unreleased) {
					t.Fatalf("%s: %v", what, err)
				}
				for _, want := range []string{"schema tidemill has migration 001_engine of a version that was never released", `DROP SCHEMA "tidemill" CASCADE; then run: tidemill migrate up`} {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("%s: %v\nwant %s", what, err, want)
					}
				}
			}
			if diff := cmp.Diff(before, objects(t, pool, "tidemill")); diff != "" {
				t.Error(diff)
			}
			if _, err := pool.Exec(ctx, `DROP SCHEMA "tidemill" CASCADE`); err != nil {
				t.Fatal(err)
			}
			if _, err := migrations.Up(ctx, pool, schema, nil); err != nil {
				t.Error(err)
			}
		})
	}
}
