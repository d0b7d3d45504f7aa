package chaos

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/migrations"
)

// broken collects what does not add up, by invariant.
type broken struct {
	began time.Time
	of    map[string][]breach
}

type breach struct {
	at   time.Duration // from the beginning; 0: it has no time
	text string
}

func (b *broken) add(invariant, format string, args ...any) {
	b.addAt(b.began, invariant, format, args...)
}

func (b *broken) addAt(at time.Time, invariant, format string, args ...any) {
	b.of[invariant] = append(b.of[invariant], breach{at.Sub(b.began), fmt.Sprintf(format, args...)})
}

// report says of each invariant how often it is broken, and where first.
func (b *broken) report(t *testing.T) {
	t.Helper()
	for name, all := range b.of {
		slices.SortStableFunc(all, func(x, y breach) int { return cmp.Compare(x.at, y.at) })
		var text strings.Builder
		for _, one := range all[:min(3, len(all))] {
			if one.at != 0 {
				fmt.Fprintf(&text, "\n\tat %.1f s:", one.at.Seconds())
			} else {
				text.WriteString("\n\t")
			}
			text.WriteString(" " + one.text)
		}
		t.Errorf("%s: not so %d times, first%s", name, len(all), &text)
	}
}

const (
	nothingLost   = "nothing is lost"
	nothingAgain  = "nothing that has ended runs again"
	nothingTwice  = "nothing runs twice at once"
	ticksExact    = "no tick is lost or doubled"
	countsBalance = "counters balance"
	nobodyGivesUp = "no worker ends by itself"
	noneGivenUp   = "no job is given up for what befell its process"
	allEnds       = "everything comes to its end"
)

// check compares what was brought in with what became of it.
func (s *seeded) check(t *testing.T, b *broken) {
	t.Helper()
	s.crew.mu.Lock()
	defer s.crew.mu.Unlock()
	for _, odd := range s.crew.odd {
		b.add(nobodyGivesUp, "%s", odd)
	}
	all := moments(t, s.records)
	s.checkJobs(t, b, all)
	s.checkAttempts(t, b, all)
	s.checkTicks(t, b)
	s.checkRuns(t, b)
	again := 0
	for _, moments := range all {
		if count(moments, "start") > 1 {
			again++
		}
	}
	s.load.mu.Lock()
	defer s.load.mu.Unlock()
	text := ""
	for what, ids := range s.load.ids {
		text += fmt.Sprintf(" %d %s,", len(ids), what)
	}
	t.Logf("brought in:%s %d files; of %d more nothing is known; %d attempts began, %d jobs more than once; %d processes were killed, %d could not start, %d ids",
		text, s.load.files, s.load.lost, len(all), again, s.crew.kills, s.crew.unstarted, s.count(t, `SELECT count(*) FROM tidemill.process`))
	b.report(t)
}

// checkJobs: whatever was committed is there, and has ended as it must.
func (s *seeded) checkJobs(t *testing.T, b *broken, all map[int64][]moment) {
	t.Helper()
	states := map[int64]string{}
	rows, err := s.pool.Query(context.Background(), `SELECT id, state::text, kind, coalesce(errors[array_upper(errors, 1)]->>'error', '') FROM tidemill.river_job`)
	if err != nil {
		t.Fatal(err)
	}
	var id int64
	var state, kind, message string
	if _, err := pgx.ForEachRow(rows, []any{&id, &state, &kind, &message}, func() error {
		states[id] = state
		given := kind == "poison" || kind == "nul"
		if state != "completed" && !given {
			b.add(noneGivenUp, "job %d (%s) is %s: %.200s", id, kind, state, message)
		}
		if state == "completed" && (kind == "touch" || kind == "wade" || kind == "tidemill.command") && count(all[id], "end") == 0 {
			b.add(nothingLost, "job %d is completed, but never came to its end", id)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	s.load.mu.Lock()
	defer s.load.mu.Unlock()
	for what, ids := range s.load.ids {
		want := map[string]string{"poison": "discarded", "panic": "discarded"}[what]
		if want == "" {
			want = "completed"
		}
		for _, id := range ids {
			if got := states[id]; got != want {
				b.add(nothingLost, "job %d (%s) is %q, want %s", id, what, got, want)
			}
		}
	}
	rows, err = s.pool.Query(context.Background(), `SELECT job, was || ' became ' || became, at FROM public.revived`)
	if err != nil {
		t.Fatal(err)
	}
	var at time.Time
	if _, err := pgx.ForEachRow(rows, []any{&id, &state, &at}, func() error {
		b.addAt(at, nothingAgain, "job %d, stored as %s", id, state)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// checkAttempts: no two of a job at once, and none after one that has ended, unless the process of that one could not
// store the end because of what befell it. What a process had begun that others then took for dead is let off: it continues
// until that process finds out, and its commands continue while it is frozen.
func (s *seeded) checkAttempts(t *testing.T, b *broken, all map[int64][]moment) {
	t.Helper()
	for _, o := range overlaps(all) {
		letOff := func(start moment) bool { return s.crew.letOff(start, o.second.at) }
		if letOff(o.second) || slices.ContainsFunc(o.others, letOff) {
			continue
		}
		b.addAt(o.second.at, nothingTwice, "job %d, for %s", o.job, o.length.Round(time.Millisecond))
	}
	stored := map[int64]time.Time{}
	rows, err := s.pool.Query(context.Background(), `SELECT id, finalized_at FROM tidemill.river_job WHERE state = 'completed'`)
	if err != nil {
		t.Fatal(err)
	}
	var id int64
	var at time.Time
	if _, err := pgx.ForEachRow(rows, []any{&id, &at}, func() error { stored[id] = at; return nil }); err != nil {
		t.Fatal(err)
	}
	const slack = time.Second
	for id, moments := range all {
		start := map[int64]moment{}
		for i, m := range moments {
			if m.what == "start" {
				start[m.attempt] = m
			}
			if at, ok := stored[id]; ok && m.what != "alone" && m.at.After(at.Add(slack)) && !s.crew.letOff(start[m.attempt], m.at) {
				b.addAt(m.at, nothingAgain, "job %d: %s, and its end stored is of %s before", id, m.what, m.at.Sub(at).Round(time.Millisecond))
			}
			if m.what != "end" {
				continue
			}
			for _, later := range moments[i+1:] {
				if later.what == "start" && !s.crew.suffered(m.worker, m.at.Add(-slack), later.at) {
					b.addAt(later.at, nothingAgain, "job %d began again, %s after it had ended on a process that nothing befell", id, later.at.Sub(m.at).Round(time.Millisecond))
				}
			}
		}
	}
}

func (s *seeded) checkTicks(t *testing.T, b *broken) {
	t.Helper()
	rows, err := s.pool.Query(context.Background(), `
		WITH t AS (SELECT *, lag(due_at) OVER (PARTITION BY schedule ORDER BY due_at) AS before FROM tidemill.tick
		            WHERE schedule IN ('first', 'second') AND outcome <> 'paused')
		SELECT format('%s at %s: %s, the one before at %s, run %s', schedule, due_at, outcome, before, run) FROM t
		 WHERE due_at - before <> interval '1 second' OR outcome NOT IN ('enqueued', 'caught_up') OR ticks <> 1
		    OR NOT EXISTS (SELECT FROM tidemill.river_job j WHERE j.id = t.run) OR run IN (SELECT run FROM tidemill.tick GROUP BY run HAVING count(*) > 1)`)
	if err != nil {
		t.Fatal(err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, tick := range found {
		b.add(ticksExact, "%s", tick)
	}
	ticked := s.count(t, `SELECT count(*) FROM tidemill.tick WHERE schedule IN ('first', 'second') AND outcome <> 'paused'`)
	const late = 30 * time.Second // what the last fault may have held up
	if least := int(2 * (s.ticked - late).Seconds()); ticked < least {
		b.add(ticksExact, "only %d ticks in %s", ticked, s.ticked)
	}
	if n := s.count(t, `SELECT count(*) FROM tidemill.river_job WHERE metadata->'tidemill'->>'job' = 'beat'`); n != ticked {
		b.add(ticksExact, "%d ticks started %d jobs", ticked, n)
	}
}

func (s *seeded) checkRuns(t *testing.T, b *broken) {
	t.Helper()
	ctx := context.Background()
	ledger := batch.NewLedger(s.pool, migrations.Schema{}, nil)
	each := func(query string, do func(info *batch.Info)) int {
		rows, err := s.pool.Query(ctx, query)
		if err != nil {
			t.Fatal(err)
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			info, err := ledger.Get(ctx, id)
			if err != nil {
				t.Fatal(err)
			}
			do(info)
		}
		return len(ids)
	}
	imports := each(`SELECT id FROM tidemill.run WHERE kind = 'tidemill.import'`, func(info *batch.Info) {
		want := batch.Counters{Read: fileRows, Inserted: fileRows - fileDuplicates - fileBad, Duplicate: fileDuplicates, Rejected: fileBad}
		rejects := s.count(t, `SELECT count(*) FROM tidemill.run_reject WHERE run = $1`, info.ID)
		if info.Status != batch.SucceededWithRejects || info.Counters != want || rejects != fileBad {
			b.add(countsBalance, "import %d is %s with %+v and %d rejects", info.ID, info.Status, info.Counters, rejects)
		}
	})
	rows := s.count(t, `SELECT count(*) FROM public.dropped WHERE n >= 0 AND n = id % $1`, fileRows)
	if want := s.load.files * (fileRows - fileDuplicates - fileBad); imports != s.load.files || rows != want {
		b.add(countsBalance, "%d files became %d imports and %d rows, want %d", s.load.files, imports, rows, want)
	}
	each(`SELECT id FROM tidemill.run WHERE kind = 'wade'`, func(info *batch.Info) {
		n := s.count(t, `SELECT count(*) FROM public.waded WHERE run = $1`, info.ID)
		different := s.count(t, `SELECT count(DISTINCT id) FROM public.waded WHERE run = $1`, info.ID)
		if info.Done != wadeRows || n != wadeRows || different != wadeRows {
			b.add(countsBalance, "walk %d counts %d rows and wrote %d, %d different ones", info.ID, info.Done, n, different)
		}
	})
	const children = 60
	fans := each(`SELECT id FROM tidemill.run WHERE kind = 'tidemill.each'`, func(info *batch.Info) {
		if want := (batch.Children{Total: children, Done: children, Settled: true}); info.Children == nil || *info.Children != want {
			b.add(countsBalance, "run %d counts its children as %+v", info.ID, info.Children)
		}
	})
	if n := s.count(t, `SELECT count(*) FROM tidemill.run WHERE trigger = 'then'`); n != fans {
		b.add(countsBalance, "%d runs follow %d others", n, fans)
	}
}
