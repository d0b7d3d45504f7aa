package periodic

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// brief says what an item does, one tick a word: + is fired, * is caught up, - is missed.
func brief(it item) string {
	var words []string
	for _, t := range it.Ticks {
		sign := "+"
		switch {
		case t.Missed:
			sign = "-"
		case t.Work.CaughtUp:
			sign = "*"
		}
		word := sign + t.Work.ScheduledFor.Format("15:04:05")
		if t.Ticks > 1 {
			word += fmt.Sprintf("(%d)", t.Ticks)
		}
		words = append(words, word)
	}
	if it.Next != nil {
		words = append(words, "next "+it.Next.Format("15:04:05"))
	}
	return strings.Join(words, " ")
}

func TestDecide(t *testing.T) {
	t.Parallel()
	day := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	at := func(clock string) time.Time {
		d, err := time.Parse("15:04:05", clock)
		if err != nil {
			t.Fatal(err)
		}
		return day.Add(time.Duration(d.Hour())*time.Hour + time.Duration(d.Minute())*time.Minute + time.Duration(d.Second())*time.Second)
	}
	hourly, halfHourly, often := Spec{Cron: "0 * * * *"}, Spec{Every: 30 * time.Minute}, Spec{Every: 10 * time.Second}
	for _, tt := range []struct {
		name     string
		spec     Spec
		catchUp  string
		window   time.Duration
		was, now string
		want     string
		since    string // empty: all along
	}{
		{"on the second", hourly, CatchUpLatest, 24 * time.Hour, "09:00:00", "09:00:00", "+09:00:00 next 10:00:00", ""},
		{"a little late", hourly, CatchUpNone, 24 * time.Hour, "09:00:00", "09:01:00", "+09:00:00 next 10:00:00", ""},
		{"too late for none", hourly, CatchUpNone, 24 * time.Hour, "09:00:00", "09:01:01", "-09:00:00 next 10:00:00", ""},
		{"late", hourly, CatchUpLatest, 24 * time.Hour, "09:00:00", "09:01:01", "*09:00:00 next 10:00:00", ""},
		{"three hours, latest", hourly, CatchUpLatest, 24 * time.Hour, "09:00:00", "12:10:00", "-09:00:00 -10:00:00 -11:00:00 *12:00:00 next 13:00:00", ""},
		{"three hours, all", hourly, CatchUpAll, 24 * time.Hour, "09:00:00", "12:10:00", "*09:00:00 *10:00:00 *11:00:00 *12:00:00 next 13:00:00", ""},
		{"three hours, none", hourly, CatchUpNone, 24 * time.Hour, "09:00:00", "12:10:00", "-09:00:00 -10:00:00 -11:00:00 -12:00:00 next 13:00:00", ""},
		{"three hours, the newest on time", hourly, CatchUpLatest, 24 * time.Hour, "09:00:00", "12:00:30", "-09:00:00 -10:00:00 -11:00:00 +12:00:00 next 13:00:00", ""},
		{"none, the newest on time", hourly, CatchUpNone, 24 * time.Hour, "11:00:00", "12:00:30", "-11:00:00 +12:00:00 next 13:00:00", ""},
		{"all, within the window", halfHourly, CatchUpAll, time.Hour, "09:00:00", "10:40:00", "-09:00:00 -09:30:00 *10:00:00 *10:30:00 next 11:00:00", ""},
		{"latest, outside the window", hourly, CatchUpLatest, 30 * time.Minute, "09:00:00", "09:40:00", "-09:00:00 next 10:00:00", ""},
		{"a pause of seconds loses nothing", often, CatchUpNone, time.Hour, "09:00:00", "09:00:25", "+09:00:00 +09:00:10 +09:00:20 next 09:00:30", ""},
		{"a tick that is none of the schedule's is not lost", hourly, CatchUpLatest, time.Hour, "09:59:30", "10:00:00", "+09:59:30 +10:00:00 next 11:00:00", ""},
		{"short interval, nobody there", often, CatchUpNone, time.Hour, "09:00:00", "09:00:25", "-09:00:00 -09:00:10 +09:00:20 next 09:00:30", "09:00:25"},
		{"short interval, nobody there, latest", often, CatchUpLatest, time.Hour, "09:00:00", "09:00:25", "-09:00:00 -09:00:10 +09:00:20 next 09:00:30", "09:00:25"},
		{"short interval, nobody there, all", often, CatchUpAll, time.Hour, "09:00:00", "09:00:25", "*09:00:00 *09:00:10 +09:00:20 next 09:00:30", "09:00:25"},
		{"short interval, there in the middle", often, CatchUpNone, time.Hour, "09:00:00", "09:00:35", "-09:00:00 -09:00:10 +09:00:20 +09:00:30 next 09:00:40", "09:00:15"},
		{"exactly one interval", often, CatchUpNone, time.Hour, "09:00:00", "09:00:10", "+09:00:00 +09:00:10 next 09:00:20", "09:00:10"},
		{"half a minute, nobody there", Spec{Cron: "* * * * *"}, CatchUpLatest, time.Hour, "09:00:00", "09:00:30", "+09:00:00 next 09:01:00", "09:00:30"},
		{"long interval, nobody there", hourly, CatchUpNone, 24 * time.Hour, "09:00:00", "09:01:00", "+09:00:00 next 10:00:00", "09:01:00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			schedule, err := Parse(tt.spec)
			if err != nil {
				t.Fatal(err)
			}
			row := dueRow{Name: "s", CatchUp: tt.catchUp, Window: tt.window.Seconds(), NextAt: at(tt.was)}
			since := time.Time{}
			if tt.since != "" {
				since = at(tt.since)
			}
			if diff := cmp.Diff(tt.want, brief(decide(at(tt.now), since, row, schedule))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// After a very long time the old ticks share a row, and none is left out of the count.
func TestDecideBoundsTheList(t *testing.T) {
	t.Parallel()
	schedule, err := Parse(Spec{Every: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	was := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	now := was.Add(3 * time.Hour)
	it := decide(now, time.Time{}, dueRow{CatchUp: CatchUpAll, Window: (24 * time.Hour).Seconds(), NextAt: was}, schedule)
	total := 0
	for _, tick := range it.Ticks {
		total += max(1, tick.Ticks)
	}
	if len(it.Ticks) != listed+1 || total != 3*3600+1 || !it.Ticks[0].Missed || !it.Ticks[0].Work.ScheduledFor.Equal(now.Add(-listed*time.Second)) {
		t.Errorf("%d rows for %d ticks, the first %+v", len(it.Ticks), total, it.Ticks[0])
	}
}

// The due time that a run learns is in the zone of its schedule.
func TestWorkIsInTheZone(t *testing.T) {
	t.Parallel()
	schedule, err := Parse(Spec{Cron: "0 9 * * *", Timezone: "Asia/Tokyo"})
	if err != nil {
		t.Fatal(err)
	}
	was := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	it := decide(was.Add(time.Second), time.Time{}, dueRow{CatchUp: CatchUpLatest, NextAt: was}, schedule)
	got := it.Ticks[0].Work
	if got.ScheduledFor.Format(time.RFC3339) != "2026-03-01T09:00:00+09:00" || got.Previous.Format(time.RFC3339) != "2026-02-28T09:00:00+09:00" {
		t.Errorf("%+v", got)
	}
}

// What is due is decided by the database's clock, which the tests can replace; nothing here may read another.
func TestDecisionsReadNoClock(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"decide.go", "apply.go"} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range []string{"time.Now", "time.Since", "time.Until"} {
			if strings.Contains(string(source), call) {
				t.Errorf("%s calls %s", file, call)
			}
		}
	}
}
