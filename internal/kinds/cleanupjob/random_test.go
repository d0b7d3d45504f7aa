package cleanupjob_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/batch"
)

// Whatever the table, each row is counted once, as what became of it.
func TestCleanupCountsEachRowOnce(t *testing.T) {
	t.Parallel()
	indexes := []string{
		"CREATE INDEX ON logs (day)", "CREATE INDEX ON logs (day, id)", "CREATE INDEX ON logs (day DESC NULLS LAST)",
		"CREATE INDEX ON logs (day DESC, id)", "CREATE INDEX ON logs (day) WHERE id > 0", "",
	}
	for seed := range uint64(24) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 18))
			days, every, size := 1+random.IntN(5), 5+random.IntN(40), 3+random.IntN(60)
			index := indexes[seed%uint64(len(indexes))]
			released, moved := random.IntN(2) == 0, random.IntN(2) == 0
			b := setupCleanup(t, fmt.Sprintf(`SELECT setseed(%[1]g);
				CREATE TABLE logs (id int PRIMARY KEY, day date, fate text, held boolean);
				INSERT INTO logs SELECT i, '2026-01-01'::date + floor(random() * %[2]d)::int,
					CASE floor(random() * %[3]d)::int WHEN 0 THEN 'refused' WHEN 1 THEN 'swallowed' WHEN 2 THEN 'kept' ELSE 'deleted' END,
					floor(random() * %[3]d) = 0 FROM generate_series(1, 1000) i;
				CREATE TABLE bills (log int REFERENCES logs); CREATE INDEX ON bills (log); INSERT INTO bills SELECT id FROM logs WHERE fate = 'kept';
				CREATE FUNCTION judge() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
					IF OLD.fate = 'refused' THEN RAISE EXCEPTION 'log %% is evidence', OLD.id; END IF;
					IF OLD.fate = 'swallowed' THEN RETURN NULL; END IF; RETURN OLD; END $$;
				CREATE TRIGGER judge BEFORE DELETE ON logs FOR EACH ROW EXECUTE FUNCTION judge();`, random.Float64(), days, every)+index,
				fmt.Sprintf("rules: [{table: logs, column: day, older_than: 30d, where: id > 0}]\nallow_seq_scan: true\nbatch: %d\nmax_batch: %[1]d", size))
			ctx := context.Background()
			holder, err := b.Pool.Begin(ctx)
			if err != nil {
				t.Fatal(err)
			}
			defer holder.Rollback(ctx)
			hold := "SELECT FROM logs WHERE held FOR UPDATE"
			if moved && !released { // the same rows, at other places
				hold = "UPDATE logs SET held = held WHERE held"
			}
			if _, err := holder.Exec(ctx, hold); err != nil {
				t.Fatal(err)
			}
			var free int64
			if err := b.Pool.QueryRow(ctx, "SELECT count(*) FROM logs WHERE fate = 'deleted' AND NOT held").Scan(&free); err != nil {
				t.Fatal(err)
			}
			seen := int64(0)
			b.onChunk(func(delta batch.Counters) {
				if seen += delta.Deleted; released && seen == free {
					_ = holder.Rollback(ctx)
				}
			})
			info, result := b.done(t)
			count := func(what string) (n int64) {
				t.Helper()
				if err := b.Pool.QueryRow(ctx, "SELECT count(*) FROM logs WHERE "+what).Scan(&n); err != nil {
					t.Fatal(err)
				}
				return n
			}
			want := map[string]int64{"read": 1000, "deleted": 1000 - count("true"), "filtered": count("fate = 'swallowed'"), "skipped": 0}
			if !released {
				want["filtered"], want["skipped"] = count("fate = 'swallowed' AND NOT held"), count("fate <> 'kept' AND held")
			}
			want["kept"] = count("true") - want["skipped"]
			rule := result.Rules[0]
			got := map[string]int64{"read": info.Counters.Read, "deleted": rule.Deleted, "filtered": info.Counters.Filtered, "kept": rule.Kept, "skipped": rule.Skipped}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%d days, one in %d, %d at a time, %q, released %v (-table +counters):\n%s", days, every, size, index, released, diff)
			}
			if n := count("fate = 'deleted' AND NOT held"); n > 0 {
				t.Errorf("%d rows are left that could have been deleted", n)
			}
		})
	}
}
