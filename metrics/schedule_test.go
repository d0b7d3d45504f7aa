package metrics

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestTicks(t *testing.T) {
	t.Parallel()
	reg, m := newMetrics(t, Opts{Schedules: []string{"nightly"}})

	m.ObserveTick("nightly", "enqueued", 20*time.Millisecond)
	m.ObserveTick("nightly", "caught_up", time.Hour)
	m.ObserveTick("nightly", "missed", 24*time.Hour)
	m.ObserveTick("hourly", "waiting", -time.Second)
	m.ObserveTick("hourly", "enqueued", -time.Second)
	m.ObserveTick("hourly", "new in a later version", 0)
	m.ObserveScheduleFailure("broken")
	want := samples{
		`schedule_ticks_total{outcome="enqueued",schedule="nightly"}`:  1,
		`schedule_ticks_total{outcome="caught_up",schedule="nightly"}`: 1,
		`schedule_ticks_total{outcome="missed",schedule="nightly"}`:    1,
		`schedule_ticks_total{outcome="waiting",schedule="hourly"}`:    1,
		`schedule_ticks_total{outcome="enqueued",schedule="hourly"}`:   1,
		`schedule_ticks_total{outcome="other",schedule="hourly"}`:      1,
		`schedule_failures_total{schedule="broken"}`:                   1,
		`schedule_lateness_seconds`:                                    3,
	}
	if diff := cmp.Diff(want, gather(t, reg, "schedule_").positive()); diff != "" {
		t.Error(diff)
	}
}

// The first missed tick of a schedule that was known must be an increase.
func TestSchedulesBeginAtZero(t *testing.T) {
	t.Parallel()
	known := make([]string, 0, maxNames+10)
	for i := range maxNames + 10 {
		known = append(known, fmt.Sprintf("s%03d", i))
	}
	reg, m := newMetrics(t, Opts{Schedules: known})

	got := gather(t, reg, "schedule_ticks_total", "schedule_failures_total")
	if len(got) != maxNames*(len(tickOutcomes)+1) || len(got.positive()) != 0 {
		t.Errorf("%d series, %d of them positive", len(got), len(got.positive()))
	}
	m.ObserveTick("s509", "missed", 0)
	want := samples{`schedule_ticks_total{outcome="missed",schedule="other"}`: 1}
	if diff := cmp.Diff(want, gather(t, reg, "schedule_ticks_total").positive()); diff != "" {
		t.Error(diff)
	}
}

const insertSchedule = `INSERT INTO tidemill.schedule (name, job, spec, catch_up, catch_up_for, overlap, paused_at, last_tick_at, next_tick_at)
	SELECT $1 || coalesce(i::text, ''), 'j', '{}', 'latest', '1 d', 'skip', $2::timestamptz, $3::timestamptz, $4::timestamptz
	  FROM generate_series(1, $5::int) i`

func TestSchedulesOfTheCluster(t *testing.T) {
	t.Parallel()
	b := setup(t, Opts{})

	now := time.Now().Truncate(time.Second)
	at := func(d time.Duration) *time.Time { x := now.Add(d); return &x }
	exec(t, b.pool, insertSchedule, "on time ", nil, at(-time.Hour), at(time.Hour), 1)
	exec(t, b.pool, insertSchedule, "a little late ", nil, nil, at(-20*time.Second), 1)
	exec(t, b.pool, insertSchedule, "overdue ", nil, at(-2*time.Hour), at(-time.Hour), 1)
	exec(t, b.pool, insertSchedule, "paused ", at(-time.Minute), nil, at(-time.Hour), 1)
	exec(t, b.pool, insertSchedule, "over ", nil, at(-time.Hour), nil, 1)
	unix := func(d time.Duration) float64 { return float64(now.Add(d).Unix()) }
	want := samples{
		`schedules`: 5, `schedules_overdue`: 1,
		`schedule_last_tick_timestamp_seconds{schedule="on time 1"}`:       unix(-time.Hour),
		`schedule_next_tick_timestamp_seconds{schedule="on time 1"}`:       unix(time.Hour),
		`schedule_next_tick_timestamp_seconds{schedule="a little late 1"}`: unix(-20 * time.Second),
		`schedule_last_tick_timestamp_seconds{schedule="overdue 1"}`:       unix(-2 * time.Hour),
		`schedule_next_tick_timestamp_seconds{schedule="overdue 1"}`:       unix(-time.Hour),
		`schedule_next_tick_timestamp_seconds{schedule="paused 1"}`:        unix(-time.Hour),
		`schedule_last_tick_timestamp_seconds{schedule="over 1"}`:          unix(-time.Hour),
		`schedule_paused{schedule="on time 1"}`:                            0,
		`schedule_paused{schedule="a little late 1"}`:                      0,
		`schedule_paused{schedule="overdue 1"}`:                            0,
		`schedule_paused{schedule="paused 1"}`:                             1,
		`schedule_paused{schedule="over 1"}`:                               0,
	}
	got := b.reported(t, "schedules", "schedule_last", "schedule_next", "schedule_paused")
	if diff := cmp.Diff(want, got, cmpopts.EquateApprox(0, 1e-3)); diff != "" {
		t.Error(diff)
	}
}

func TestSchedulesAreCapped(t *testing.T) {
	t.Parallel()
	b := setup(t, Opts{})

	exec(t, b.pool, insertSchedule, "s", nil, time.Now(), time.Now().Add(-time.Hour), 700)
	got := b.reported(t, "schedule")
	if got["schedules"] != 700 || got["schedules_overdue"] != 700 {
		t.Errorf("%v schedules, %v overdue, want 700 of both", got["schedules"], got["schedules_overdue"])
	}
	next := 0
	for name := range got {
		if hasPrefix("tidemill_"+name, []string{"schedule_next"}) {
			next++
		}
	}
	if next != maxNames {
		t.Errorf("%d schedules have series, want %d", next, maxNames)
	}
}
