package riverpg_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/tidemill/tidemill/internal/riverpg"
	"github.com/tidemill/tidemill/internal/testdb"
	"github.com/tidemill/tidemill/internal/testengine"
)

// tableBundle is the table of jobs and an executor, without a client.
type tableBundle struct {
	pool *pgxpool.Pool
	exec riverdriver.Executor
}

func setupTable(t *testing.T) *tableBundle {
	t.Helper()
	pool := testdb.Pool(t, testengine.URL(t))
	return &tableBundle{pool: pool, exec: riverpg.New(riverpg.Opts{Pool: pool}).GetExecutor()}
}

func (b *tableBundle) do(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := b.pool.Exec(context.Background(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

func (b *tableBundle) fetch(t *testing.T, n int) *riverdriver.JobGetAvailableResult {
	t.Helper()
	result, err := b.exec.JobGetAvailable(context.Background(), fetchParams(n))
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func fetchParams(n int) *riverdriver.JobGetAvailableParams {
	now := time.Date(2030, 1, 2, 3, 4, 5, 6000, time.UTC)
	return &riverdriver.JobGetAvailableParams{ClientID: "me", MaxAttemptedBy: 3, MaxToLock: n, Now: &now, Queue: "default", Schema: "tidemill"}
}

// Jobs of every form, long ones among them, are what River makes of them.
func TestFetchAsRiverDoes(t *testing.T) {
	t.Parallel()

	ctx := context.Background()
	b := setupTable(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	const jobs = 400
	for range jobs {
		b.do(t, fmt.Sprintf(`INSERT INTO tidemill.river_job (args, attempt, attempted_at, attempted_by, created_at, errors, kind, max_attempts,
				metadata, priority, queue, scheduled_at, state, tags, unique_key, unique_states)
			VALUES (%s, %d, %s, %s, now() - interval '%d s', %s, %s, %d, %s, %d, %s, now() - interval '%d ms', %s, %s, %s, %s)`,
			pick(`'{}'`, `'{"a": [1, 2.50, null, "ü"]}'`, `'[]'`, `'null'`, `jsonb_build_object('long', repeat('x', 30000))`,
				`(SELECT jsonb_object_agg(i, md5(i::text)) FROM generate_series(1, 900) i)`),
			random.IntN(5), pick("NULL", "now()"), pick("NULL", `'{}'`, `'{a}'`, `'{a,b}'`, `'{a,b,c}'`, `'{a,b,c,d,e}'`), random.IntN(99),
			pick("NULL", "'{}'", `array['{"at": "2020-01-02T03:04:05Z", "attempt": 1, "error": "no", "trace": "t"}'::jsonb]`,
				`array['{"error": "a"}'::jsonb, '"odd"', '{"attempt": "2"}']`),
			pick("'a'", "'other'"), 1+random.IntN(30), pick(`'{}'`, `'{"tidemill": {"job": "x"}, "n": 1}'`), 1+random.IntN(4),
			pick("'default'", "'default'", "'elsewhere'"), random.IntN(3),
			pick("'available'", "'available'", "'available'", "'running'", "'scheduled'", "'retryable'", "'pending'"),
			pick(`'{}'`, `'{abc,def}'`, `'{"a b,c"}'`), pick("NULL", "gen_random_uuid()::text::bytea"), pick("NULL", "B'11110101'", "B'00000000'", "B'10000001'")))
	}
	for name, change := range map[string]func(*riverdriver.JobGetAvailableParams){
		"all":        func(*riverdriver.JobGetAvailableParams) {},
		"a few":      func(p *riverdriver.JobGetAvailableParams) { p.MaxToLock = 7 },
		"known":      func(p *riverdriver.JobGetAvailableParams) { p.Kind = []string{"other"} },
		"none known": func(p *riverdriver.JobGetAvailableParams) { p.Kind = []string{} },
		"in the past": func(p *riverdriver.JobGetAvailableParams) {
			past := time.Now().Add(-time.Hour)
			p.Now = &past
		},
	} {
		params := fetchParams(jobs)
		change(params)
		tx, err := b.pool.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		want, err := riverpgxv5.New(b.pool).UnwrapExecutor(tx).JobGetAvailable(ctx, params)
		if err != nil {
			t.Fatal(err)
		}
		if err := tx.Rollback(ctx); err != nil {
			t.Fatal(err)
		}
		got, err := b.exec.JobGetAvailable(ctx, params)
		if err != nil {
			t.Fatal(err)
		}
		sorted := cmpopts.SortSlices(func(a, b *rivertype.JobRow) bool { return a.ID < b.ID })
		whole := cmp.FilterValues(func(a, b []byte) bool { return len(a) > 0 || len(b) > 0 }, cmp.Comparer(bytes.Equal)) // byte by byte takes long
		if diff := cmp.Diff(want, got, sorted, whole, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%s: River and we (+):\n%.4000s", name, diff)
		}
		if name == "all" && len(got.Jobs) < jobs/5 {
			t.Errorf("only %d jobs", len(got.Jobs))
		}
		for i := 1; i < len(got.Jobs); i++ {
			if before, after := got.Jobs[i-1], got.Jobs[i]; before.Priority > after.Priority ||
				before.Priority == after.Priority && before.ScheduledAt.After(after.ScheduledAt) {
				t.Errorf("%s: job %d is before %d", name, before.ID, after.ID)
			}
		}
		b.do(t, `UPDATE tidemill.river_job SET state = 'available', attempt = attempt - 1, attempted_by = attempted_by[:cardinality(attempted_by) - 1]
			WHERE id = ANY ($1)`, ids(got.Jobs))
	}
}

func ids(jobs []*rivertype.JobRow) (ids []int64) {
	for _, j := range jobs {
		ids = append(ids, j.ID)
	}
	return ids
}

// Many long jobs are fetched a part at a time, in their order, and the others stay as they are; whether they are long in the
// table or only as text.
func TestFetchIsBoundedInBytes(t *testing.T) {
	t.Parallel()

	for name, args := range map[string]string{
		"as stored":  `jsonb_build_object('no', i, 'x', (SELECT string_agg(md5(i::text || k), '') FROM generate_series(1, 32000) k))`,
		"compressed": `jsonb_build_object('no', i, 'x', repeat('x', 1000000))`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupTable(t)
			b.do(t, `DROP INDEX tidemill.river_job_args_index`)
			const jobs = 80
			b.do(t, `INSERT INTO tidemill.river_job (kind, args) SELECT 'a', `+args+` FROM generate_series(1, 80) i`)
			seen, fetches := 0, 0
			for seen < jobs {
				got := b.fetch(t, jobs)
				bytes := 0
				for i, j := range got.Jobs {
					bytes += len(j.EncodedArgs)
					if want := fmt.Sprintf(`"no": %d`, seen+i+1); !strings.Contains(string(j.EncodedArgs[len(j.EncodedArgs)-20:])+string(j.EncodedArgs[:20]), want) {
						t.Fatalf("job %d is not %s: %.30s", j.ID, want, j.EncodedArgs)
					}
					if j.Attempt != 1 {
						t.Errorf("attempt %d", j.Attempt)
					}
				}
				if len(got.Jobs) == 0 || bytes > 34<<20 || got.DecodeErrors != nil {
					t.Fatalf("a fetch of %d jobs, %d bytes, %v", len(got.Jobs), bytes, got.DecodeErrors)
				}
				seen += len(got.Jobs)
				fetches++
				var running, touched int
				err := b.pool.QueryRow(context.Background(), `SELECT count(*) FILTER (WHERE state = 'running'),
					count(*) FILTER (WHERE state = 'available' AND (attempt <> 0 OR attempted_by <> '{}')) FROM tidemill.river_job`).Scan(&running, &touched)
				if err != nil || running != seen || touched != 0 {
					t.Fatalf("%d of %d are running, %d of the others are changed, %v", running, seen, touched, err)
				}
			}
			if fetches < 3 {
				t.Errorf("all in %d fetches", fetches)
			}
		})
	}
}

// A job that no worker can hold fails its attempt without being read, and the others run.
func TestFetchOfWhatIsTooLong(t *testing.T) {
	t.Parallel()

	tests := []struct {
		name, args, metadata, errors, want string
	}{
		{name: "arguments", args: `jsonb_build_object('x', repeat('0123456789abcdef', 3750000))`,
			want: "arguments of 60000009 bytes are too long: max_args is 1048576; store them and pass their key"},
		{name: "arguments that do not compress",
			args: `jsonb_build_object('x', (SELECT string_agg(md5(k::text), '') FROM generate_series(1, 400000) k))`,
			want: "too long: max_args is 1048576; store them and pass their key"},
		{name: "numbers that are long as text", args: `(SELECT jsonb_agg('1e131071'::jsonb) FROM generate_series(1, 10000))`,
			want: "the job is too long for the database to write"},
		{name: "metadata", metadata: `jsonb_build_object('x', repeat('x', 3000000))`, want: "metadata of 3000009 bytes is too long"},
		{name: "an output", metadata: `jsonb_build_object('kept', 1, 'output', repeat('x', 30000000))`},
		{name: "errors", errors: `(SELECT array_agg(jsonb_build_object('at', now(), 'attempt', i, 'error', repeat('e', 1000000), 'trace', repeat('t', 1000000)))
			FROM generate_series(1, 25) i)`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setupTable(t)
			b.do(t, `DROP INDEX tidemill.river_job_args_index`) // it is slow to fill with such
			or := func(value, other string) string {
				if value == "" {
					return other
				}
				return value
			}
			b.do(t, `INSERT INTO tidemill.river_job (kind, args, metadata, errors) VALUES ('a', `+or(tt.args, "'{}'")+`, `+or(tt.metadata, "'{}'")+`, `+
				or(tt.errors, "NULL")+`), ('a', '{"small": 1}', '{}', NULL)`)
			got := b.fetch(t, 10)
			if len(got.Jobs) != 2 || string(got.Jobs[1].EncodedArgs) != `{"small": 1}` {
				t.Fatalf("%d jobs", len(got.Jobs))
			}
			j := got.Jobs[0]
			err := got.DecodeErrors[j.ID]
			if tt.want != "" && (!errors.Is(err, riverpg.ErrTooLong) || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v; want %s", err, tt.want)
			}
			if tt.want == "" && err != nil {
				t.Error(err)
			}
			if tt.metadata != "" && tt.want == "" && string(j.Metadata) != `{"kept": 1}` {
				t.Errorf("metadata %.100s", j.Metadata)
			}
			if tt.errors != "" && (len(j.Errors) != 25 || j.Errors[24].Attempt != 25 || len(j.Errors[24].Error) != 4096 || len(j.Errors[0].Error) != 0) {
				t.Errorf("%d errors", len(j.Errors))
			}
			if got := len(j.EncodedArgs) + len(j.Metadata); got > 100_000 {
				t.Errorf("%d bytes were read", got)
			}
		})
	}
}

func BenchmarkFetch(b *testing.B) {
	pool := testdb.Pool(b, testengine.URL(b))
	for name, exec := range map[string]riverdriver.Executor{
		"River": riverpgxv5.New(pool).GetExecutor(), "ours": riverpg.New(riverpg.Opts{Pool: pool}).GetExecutor(),
	} {
		b.Run(name, func(b *testing.B) {
			ctx := context.Background()
			if _, err := pool.Exec(ctx, `TRUNCATE tidemill.river_job`); err != nil {
				b.Fatal(err)
			}
			_, err := pool.Exec(ctx, `INSERT INTO tidemill.river_job (kind, args) SELECT 'noop', '{"n": 1}' FROM generate_series(1, $1)`, 100*(b.N+1))
			if err != nil {
				b.Fatal(err)
			}
			if _, err := pool.Exec(ctx, `VACUUM ANALYZE tidemill.river_job`); err != nil {
				b.Fatal(err)
			}
			params := fetchParams(100)
			params.Now = nil
			b.ResetTimer()
			for range b.N {
				if got, err := exec.JobGetAvailable(ctx, params); err != nil || len(got.Jobs) != 100 {
					b.Fatal(err)
				}
			}
		})
	}
}
