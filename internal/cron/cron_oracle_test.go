package cron_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/cron"
)

var all = flag.Bool("cron.all", false, "hold schedules against the oracle over all of 2020 to 2040")

// clockMinute is a minute of absolute time and what the clock of a zone shows in it.
type clockMinute struct {
	unix                          int64
	reading                       int64 // minutes since 1970 of a clock that is never changed
	minute, hour, day, month, dow uint8
}

func readingOf(unix int64, t time.Time) clockMinute {
	_, month, day := t.Date()
	_, offset := t.Zone()
	return clockMinute{unix, (unix + int64(offset)) / 60, uint8(t.Minute()), uint8(t.Hour()), uint8(day), uint8(month), uint8(t.Weekday())}
}

// walk reads the clock of a zone minute by minute.
func walk(zone *time.Location, from, to time.Time) []clockMinute {
	var minutes []clockMinute
	for unix := from.Unix() / 60 * 60; unix < to.Unix(); unix += 60 {
		minutes = append(minutes, readingOf(unix, time.Unix(unix, 0).In(zone)))
	}
	return minutes
}

// expression is a cron expression and, beside its text, what the text means: the parser has no part in it.
type expression struct {
	text                        string
	fixed, either               bool
	minute, hour, day, mon, dow [60]bool
}

func (e *expression) matches(m clockMinute) bool {
	if !e.minute[m.minute] || !e.hour[m.hour] || !e.mon[m.month] {
		return false
	}
	if e.either {
		return e.day[m.day] || e.dow[m.dow]
	}
	return e.day[m.day] && e.dow[m.dow]
}

// ticks is the rule of the package's documentation, word by word, over consecutive minutes.
func (e *expression) ticks(minutes []clockMinute) []int64 {
	var ticks []int64
	shown := minutes[0].reading - 1 // the greatest reading so far
	day := minutes[0].reading / 1440
	for _, m := range minutes {
		due := e.matches(m)
		if e.fixed {
			due = due && m.reading > shown
			for skipped := shown + 1; skipped < m.reading && !due; skipped++ {
				if on := skipped / 1440; on == day || on == m.reading/1440 {
					due = e.matches(readingOf(0, time.Unix(skipped*60, 0).UTC()))
				}
			}
		}
		if due {
			ticks = append(ticks, m.unix)
		}
		shown, day = max(shown, m.reading), m.reading/1440
	}
	return ticks
}

// randomField fills set with what the text that it returns means.
func randomField(r *rand.Rand, set *[60]bool, low, high int, wild float64) (text string, star bool) {
	if r.Float64() < wild {
		step := 1
		if r.IntN(2) == 0 {
			step = 1 + r.IntN(high-low+1)
			text = fmt.Sprintf("/%d", step)
		}
		for n := low; n <= high; n += step {
			set[n] = true
		}
		return "*" + text, true
	}
	var items []string
	for range 1 + r.IntN(3) {
		from := low + r.IntN(high-low+1)
		to, step, item := from, 1, fmt.Sprint(from)
		if r.IntN(3) == 0 {
			to = from + r.IntN(high-from+1)
			item = fmt.Sprintf("%d-%d", from, to)
			if r.IntN(2) == 0 {
				step = 1 + r.IntN(5)
				item += fmt.Sprintf("/%d", step)
			}
		}
		for n := from; n <= to; n += step {
			set[n] = true
		}
		items = append(items, item)
	}
	return strings.Join(items, ","), false
}

// randomExpression prefers the hours in which clocks are changed.
func randomExpression(r *rand.Rand) *expression {
	e := &expression{}
	highHour := 23
	if r.IntN(2) == 0 {
		highHour = 3
	}
	minute, minuteStar := randomField(r, &e.minute, 0, 59, 0.3)
	hour, hourStar := randomField(r, &e.hour, 0, highHour, 0)
	if r.IntN(3) == 0 {
		e.hour = [60]bool{}
		hour, hourStar = randomField(r, &e.hour, 0, 23, 1)
	}
	day, dayStar := randomField(r, &e.day, 1, 31, 0.7)
	month, _ := randomField(r, &e.mon, 1, 12, 0.8)
	dow, dowStar := randomField(r, &e.dow, 0, 6, 0.7)
	e.fixed, e.either = !minuteStar && !hourStar, !dayStar && !dowStar
	e.text = strings.Join([]string{minute, hour, day, month, dow}, " ")
	return e
}

// changes are the days between from and to on which the zone changes its offset. They only choose where to look.
func changes(zone *time.Location, from, to time.Time) []time.Time {
	var found []time.Time
	_, last := from.In(zone).Zone()
	for day := from; day.Before(to); day = day.AddDate(0, 0, 1) {
		_, offset := day.In(zone).Zone()
		if offset != last {
			found = append(found, day)
		}
		last = offset
	}
	return found
}

func TestOracle(t *testing.T) {
	t.Parallel()
	years := func(from, to int) [2]time.Time {
		return [2]time.Time{time.Date(from, 1, 1, 12, 0, 0, 0, time.UTC), time.Date(to, 1, 1, 12, 0, 0, 0, time.UTC)}
	}
	usual := years(2020, 2041)
	tests := []struct {
		zone  string
		years [2]time.Time
	}{
		{"Africa/Casablanca", usual}, {"America/New_York", usual}, {"Asia/Kathmandu", usual}, {"Asia/Tokyo", usual},
		{"Australia/Lord_Howe", usual}, {"Europe/London", usual},
		{"America/Sao_Paulo", years(2015, 2020)}, // changed at midnight
		{"Pacific/Apia", years(2011, 2013)},      // left out a day
		{"Pacific/Kwajalein", years(1993, 1994)}, // likewise
	}
	for _, tt := range tests {
		t.Run(tt.zone, func(t *testing.T) {
			t.Parallel()
			zone, err := time.LoadLocation(tt.zone)
			if err != nil {
				t.Fatal(err)
			}
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			r := rand.New(rand.NewPCG(seed, 0))
			var stretches [][]clockMinute
			for _, change := range changes(zone, tt.years[0], tt.years[1]) {
				stretches = append(stretches, walk(zone, change.AddDate(0, 0, -3), change.AddDate(0, 0, 2)))
			}
			year := tt.years[0].AddDate(r.IntN(tt.years[1].Year()-tt.years[0].Year()), 0, 0)
			stretches = append(stretches, walk(zone, year, year.AddDate(1, 0, 0)))
			if *all {
				stretches = append(stretches, walk(zone, tt.years[0], tt.years[1]))
			}
			for range 20 {
				e := randomExpression(r)
				s, err := cron.Parse(cron.Spec{Cron: e.text, Timezone: tt.zone})
				if err != nil {
					if !strings.Contains(err.Error(), "no month that it names has such a day") {
						t.Fatalf("%s: %v", e.text, err)
					}
					continue
				}
				for _, minutes := range stretches {
					compare(t, r, s, e, minutes)
				}
			}
		})
	}
}

// compare holds the schedule against the oracle, or against a sample of what it says where that is much.
func compare(t *testing.T, r *rand.Rand, s *cron.Schedule, e *expression, minutes []clockMinute) {
	t.Helper()
	want := e.ticks(minutes)
	first, last := minutes[0].unix, minutes[len(minutes)-1].unix
	const few = 1000
	if !*all && len(want) > few {
		begin := r.IntN(len(want) - few)
		first, last = want[begin]-1, want[begin+few-1]
		want = want[begin : begin+few]
	}
	var forward, backward []int64
	from, to := time.Unix(first-1, 0), time.Unix(last, 0)
	for _, tick := range s.Between(from, to, 1<<30) {
		forward = append(forward, tick.Unix())
	}
	for tick := s.Prev(to.Add(1)); tick.After(from); tick = s.Prev(tick) {
		backward = append(backward, tick.Unix())
	}
	slices.Reverse(backward)
	for name, got := range map[string][]int64{"forward": forward, "backward": backward} {
		if !slices.Equal(want, got) {
			t.Fatalf("%s %s from %s: %s", s, name, from.UTC(), firstDifference(want, got))
		}
	}
	// From anywhere, not only from tick to tick.
	for range 20 {
		now := first + r.Int64N(last-first)
		i, _ := slices.BinarySearch(want, now+1) // the first after now
		if i < len(want) && s.Next(time.Unix(now, 0)).Unix() != want[i] {
			t.Fatalf("%s: after %s comes %s, want %s", s, time.Unix(now, 0).UTC(), s.Next(time.Unix(now, 0)).UTC(), time.Unix(want[i], 0).UTC())
		}
		if i > 0 && s.Prev(time.Unix(now+1, 0)).Unix() != want[i-1] {
			t.Fatalf("%s: before %s comes %s, want %s", s, time.Unix(now+1, 0).UTC(), s.Prev(time.Unix(now+1, 0)).UTC(), time.Unix(want[i-1], 0).UTC())
		}
	}
}

func firstDifference(want, got []int64) string {
	for i := range max(len(want), len(got)) {
		show := func(ticks []int64) string {
			if i >= len(ticks) {
				return "nothing"
			}
			return time.Unix(ticks[i], 0).UTC().Format(time.RFC3339)
		}
		if show(want) != show(got) {
			return fmt.Sprintf("tick %d of %d is %s, want %s", i+1, len(want), show(got), show(want))
		}
	}
	return "no difference"
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"0 9 * * *", "*/15 9-17/2 1,15 jan-mar fri-sun", "@daily", "TZ=", "0 0 29 2 */7", "5/15 L ? 5#2 H", "é,1  * * * *", "0 0 30 2 *"} {
		f.Add(seed, "America/New_York", int64(1772953200))
		f.Add(seed, "Pacific/Apia", int64(1325152800))
		f.Add(seed, "", int64(-1))
	}
	f.Fuzz(func(t *testing.T, text, zone string, unix int64) {
		s, err := cron.Parse(cron.Spec{Cron: text, Timezone: zone})
		if err != nil {
			if s != nil || err.Error() == "" {
				t.Errorf("%v with error %v", s, err)
			}
			return
		}
		if s.Describe() == "" {
			t.Error("no description")
		}
		again, err := cron.Parse(cron.Spec{Cron: strings.TrimSuffix(s.String(), " "+zoneName(zone)), Timezone: zone})
		if err != nil || again.String() != s.String() {
			t.Errorf("%q is read again as %v: %v", s, again, err)
		}
		now := time.Unix(unix, 0)
		next := s.Next(now)
		if now.Year() < 1 || now.Year() > 9900 {
			return
		}
		if !next.After(now) {
			t.Fatalf("%s: after %s comes %s", s, now, next)
		}
		if prev := s.Prev(next); prev.After(now) || !s.Next(prev).Equal(next) && now.Year() > 100 {
			t.Fatalf("%s: before %s, which follows %s, comes %s, which %s follows", s, next, now, prev, s.Next(prev))
		}
	})
}

func zoneName(name string) string {
	if name == "" {
		return "UTC"
	}
	return name
}
