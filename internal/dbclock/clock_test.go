package dbclock

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/testdb"
)

// answer is one of a database whose clock is ahead of ours. The first way takes as long as the second unless slow says that
// the database looked at its clock at the very end.
type answer struct {
	after     time.Duration // since the one before
	ahead     time.Duration
	roundTrip time.Duration
	slow      bool
}

func (a answer) teach(c *Clock) {
	<-time.After(a.after)
	sent := time.Now()
	first := a.roundTrip / 2
	if a.slow {
		first = a.roundTrip
	}
	<-time.After(first)
	said := time.Now().Add(a.ahead)
	<-time.After(a.roundTrip - first)
	c.Learn(said, sent, time.Now())
}

func TestClockFollowsTheDatabase(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		answers []answer
		want    time.Duration // by how much Now is ahead of ours
	}{
		{"nothing known", nil, 0},
		{"ahead", []answer{{ahead: time.Hour, roundTrip: 2 * time.Millisecond}}, time.Hour},
		{"behind", []answer{{ahead: -time.Hour, roundTrip: 2 * time.Millisecond}}, -time.Hour},
		{"a slow answer is off by half of its way", []answer{{ahead: time.Hour, roundTrip: 2 * time.Second, slow: true}}, time.Hour + time.Second},
		{"… and gives way to a quick one", []answer{
			{ahead: time.Hour, roundTrip: 2 * time.Second, slow: true},
			{after: 2 * time.Second, ahead: time.Hour, roundTrip: 2 * time.Millisecond},
		}, time.Hour},
		{"… and does not replace one", []answer{
			{ahead: time.Hour, roundTrip: 2 * time.Millisecond},
			{after: 2 * time.Second, ahead: time.Hour, roundTrip: 2 * time.Second, slow: true},
		}, time.Hour},
		{"… unless they contradict each other", []answer{
			{ahead: time.Hour, roundTrip: 2 * time.Millisecond},
			{after: 2 * time.Second, ahead: -time.Hour, roundTrip: 2 * time.Second},
		}, -time.Hour},
		{"a clock that is set is followed at once", []answer{
			{ahead: 0, roundTrip: 2 * time.Millisecond},
			{after: 2 * time.Second, ahead: 10 * time.Second, roundTrip: 100 * time.Millisecond},
		}, 10 * time.Second},
		{"one that is a little fast is followed, too", []answer{
			{ahead: 0, roundTrip: 2 * time.Millisecond},
			{after: 10 * time.Minute, ahead: 60 * time.Millisecond, roundTrip: 3 * time.Millisecond},
		}, 60 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := &Clock{}
				for _, a := range tt.answers {
					a.teach(c)
				}
				<-time.After(time.Second)
				if diff := cmp.Diff(tt.want, time.Until(c.Now())); diff != "" {
					t.Errorf("ahead (-want +got):\n%s", diff)
				}
				skew, unsure := c.Skew()
				if diff := cmp.Diff(-tt.want, skew); diff != "" {
					t.Errorf("skew (-want +got):\n%s", diff)
				}
				if n := len(tt.answers); n > 0 && (tt.want-tt.answers[n-1].ahead).Abs() > unsure {
					t.Errorf("it is off by more than %s", unsure)
				}
				if c.NowOrNil() != nil {
					t.Error("River's statements would not use the database's now()")
				}
			})
		})
	}
}

// A machine's clock may be set while it runs. What was learned must not follow it: the time has no part of the wall clock.
func TestClockIgnoresThisMachinesWallClock(t *testing.T) {
	t.Parallel()
	c := &Clock{}
	said := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	now := time.Now()
	c.Learn(said, now, now)
	if got := c.Now(); got.Year() != 2001 || got != got.Round(0) {
		t.Errorf("it is %v", got)
	}
}

func TestClockAsks(t *testing.T) {
	t.Parallel()
	pool := testdb.Pool(t, testdb.URL(t))
	c := &Clock{}
	got, err := c.At(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	var said time.Time
	if err := pool.QueryRow(t.Context(), "SELECT clock_timestamp()").Scan(&said); err != nil {
		t.Fatal(err)
	}
	if d := said.Sub(got); d < -time.Second || d > 10*time.Second {
		t.Errorf("the database's clock is %v, At says %v", said, got)
	}
	pool.Close()
	if _, err := c.At(t.Context(), pool); err != nil {
		t.Errorf("it asked again a moment later: %v", err)
	}
	if _, err := c.Ask(t.Context(), pool); err == nil {
		t.Error("no error from a closed pool")
	}
}

func TestFresh(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name            string
		monotonic, wall time.Duration
		want            bool
	}{
		{"a moment ago", time.Second, time.Second, true},
		{"long ago", 2 * time.Minute, 2 * time.Minute, false},
		{"the machine slept", time.Second, 8 * time.Hour, false},
		{"its clock was set back", time.Second, -time.Hour, false},
	} {
		if got := fresh(tt.monotonic, tt.wall); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
