package cron_test

import (
	"errors"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/internal/cron"
)

func parse(t testing.TB, text, zone string) *cron.Schedule {
	t.Helper()
	s, err := cron.Parse(cron.Spec{Cron: text, Timezone: zone})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func at(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func texts(ticks []time.Time) []string {
	all := []string{}
	for _, tick := range ticks {
		all = append(all, tick.Format(time.RFC3339))
	}
	return all
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	of := func(text string) cron.Spec { return cron.Spec{Cron: text} }
	tests := []struct {
		spec cron.Spec
		want string
	}{
		{cron.Spec{}, `a schedule needs cron or every; write cron: "0 9 * * *" or every: 1h`},
		{cron.Spec{Cron: "* * * * *", Every: time.Hour}, "cron and every exclude each other; give one of them"},
		{cron.Spec{Every: -time.Second}, "every: -1s is not from 1s to 366d"},
		{cron.Spec{Every: 500 * time.Millisecond}, "every: 500ms is not from 1s to 366d"},
		{cron.Spec{Every: 1500 * time.Millisecond}, "every: 1.5s is not of whole seconds"},
		{cron.Spec{Every: time.Hour, Timezone: "Asia/Tokio"}, `timezone: "Asia/Tokio" is not a time zone; write an IANA name, like Asia/Tokyo or UTC`},
		{cron.Spec{Every: time.Hour, Timezone: "Local"}, `timezone: "Local" is not a time zone; write an IANA name, like Asia/Tokyo or UTC`},
		{cron.Spec{Every: time.Hour, Timezone: "../etc/passwd"}, `timezone: "../etc/passwd" is not a time zone; write an IANA name, like Asia/Tokyo or UTC`},
		{of(" "), `cron: it is empty; write five fields, like "0 9 * * *"`},
		{of("* * * *"), "cron: it has 4 fields instead of 5; write minute, hour, day of the month, month, day of the week"},
		{of("0 * * * * *"), `cron: it has 6 fields instead of 5; there are no seconds and no years; without the seconds it is "* * * * *"`},
		{of("0 0 9 * * 1"), `cron: it has 6 fields instead of 5; there are no seconds and no years; without the seconds it is "0 9 * * 1"`},
		{of("0 0 12 ? * mon"), `cron: it has 6 fields instead of 5; there are no seconds and no years; without the seconds it is "0 12 * * mon"`},
		{of("0 10 * * ? *"), `cron: it has 6 fields instead of 5; there are no seconds and no years; without the year it is "0 10 * * *"`},
		{of("*/30 * * * * *"), "cron: it has 6 fields instead of 5; there are no seconds and no years; write every: 30s in place of cron"},
		{of("*/7 * * * * *"), "cron: it has 6 fields instead of 5; write minute, hour, day of the month, month, day of the week; there are no seconds and no years"},
		{of("0 9 * * * Asia/Tokyo"), "cron: column 11: a time zone does not belong here; leave it out here and write timezone: Asia/Tokyo"},
		{of("@daily Asia/Tokyo"), "cron: column 8: a time zone does not belong here; leave it out here and write timezone: Asia/Tokyo"},
		{of("every 5 minutes"), "cron: a sentence is no expression; write every: 5m in place of cron"},
		{of("every hour"), "cron: a sentence is no expression; write every: 1h in place of cron"},
		{of("Every 30s"), "cron: a sentence is no expression; write every: 30s in place of cron"},
		{of("every 4M"), `cron: a sentence is no expression; write five fields, like "0 9 * * *", or an interval, like every: 5m`},
		{of("every day at nine"), `cron: a sentence is no expression; write five fields, like "0 9 * * *", or an interval, like every: 5m`},
		{of("60 * * * *"), "cron: column 1: minute 60 is not in 0-59"},
		{of("* 24 * * *"), "cron: column 3: hour 24 is not in 0-23"},
		{of("* * 0 * *"), "cron: column 5: day of the month 0 is not in 1-31"},
		{of("* * * 13 *"), "cron: column 7: month 13 is not in 1-12 or jan-dec"},
		{of("* * * * 8"), "cron: column 9: day of the week 8 is not in 0-7 or sun-sat"},
		{of("  1,é,3  *  * * *"), `cron: column 5: minute "é" is not in 0-59`},
		{of("1,2,60 * * * *"), "cron: column 5: minute 60 is not in 0-59"},
		{of("1,,2 * * * *"), "cron: column 3: minute has an empty place in its list"},
		{of("-1 * * * *"), `cron: column 1: minute "-1" is not in 0-59`},
		{of("/15 * * * *"), `cron: column 1: minute "/15" is not in 0-59; write */15`},
		{of("/ * * * *"), `cron: column 1: minute "/" is not in 0-59`},
		{of("5- * * * *"), `cron: column 1: minute "5-" is not in 0-59`},
		{of("1,-5/2 * * * *"), `cron: column 3: minute "-5/2" is not in 0-59`},
		{of("+1 * * * *"), `cron: column 1: minute "+1" is not in 0-59`},
		{of("99999999999999999999 * * * *"), `cron: column 1: minute "99999999999999999999" is not in 0-59`},
		{of("1-2-3 * * * *"), `cron: column 1: minute "1-2-3" is not in 0-59`},
		{of("* 22-2 * * *"), "cron: column 3: hour 22-2 runs backwards; write two ranges, 22-23,0-2"},
		{of("* * * * fri-mon"), "cron: column 9: day of the week fri-mon runs backwards; write two ranges, fri-6,0-mon"},
		{of("* * * * 7-1"), "cron: column 9: day of the week 7-1 runs backwards; 7 is 0 here: write 0-1"},
		{of("* * * * 6-1"), "cron: column 9: day of the week 6-1 runs backwards; write two ranges, 6,0-1"},
		{of("* 22-2/3 * * *"), "cron: column 3: hour 22-2/3 runs backwards; write the values, 22,1"},
		{of("* * * * 7/2"), `cron: column 9: day of the week "7/2" begins after the last value that a step reaches, 6; 7 is 0 here: write 0/2`},
		{of("* */36 * * *"), "cron: column 3: hour has the step 36, which is not in 1-24; for longer intervals write every: 36h in place of cron"},
		{of("*/600000 * * * *"), "cron: column 1: minute has the step 600000, which is not in 1-60"},
		{of("*/0 * * * *"), `cron: column 1: minute has the step "0", which is not a number from 1 on`},
		{of("*/x * * * *"), `cron: column 1: minute has the step "x", which is not a number from 1 on`},
		{of("*/ * * * *"), `cron: column 1: minute has the step "", which is not a number from 1 on`},
		{of("*/2/3 * * * *"), `cron: column 1: minute has the step "2/3", which is not a number from 1 on`},
		{of("*/90 * * * *"), "cron: column 1: minute has the step 90, which is not in 1-60; for longer intervals write every: 90m in place of cron"},
		{of("** * * * *"), `cron: column 1: minute "**" is not in 0-59`},
		{of("* * L * *"), `cron: column 5: day of the month "L": L (the last day) is not supported`},
		{of("* * L-3 * *"), `cron: column 5: day of the month "L-3": L (the last day) is not supported`},
		{of("* * * * friL"), `cron: column 9: day of the week "friL": L (the last day) is not supported`},
		{of("* * 15W * *"), `cron: column 5: day of the month "15W": W (the nearest working day) is not supported`},
		{of("* * LW * *"), `cron: column 5: day of the month "LW": W (the nearest working day) is not supported`},
		{of("* * * * 5#2"), `cron: column 9: day of the week "5#2": # (a certain weekday of the month) is not supported`},
		{of("* * ? * *"), `cron: column 5: day of the month "?" is not supported; write *`},
		{of("H H * * *"), `cron: column 1: minute "H": H (a time that is chosen for you) is not supported`},
		{of("* * * * july"), `cron: column 9: day of the week "july" is not in 0-7 or sun-sat`},
		{of("TZ="), "cron: column 1: TZ= does not belong here; give the time zone as timezone"},
		{of("CRON_TZ=Asia/Tokyo 0 9 * * *"), "cron: column 1: CRON_TZ= does not belong here; leave it out here and write timezone: Asia/Tokyo"},
		{of("@every 1h"), "cron: column 1: @every does not belong here; write every: 1h in place of cron"},
		{of("@reboot"), "cron: column 1: @reboot is no time"},
		{of("@fortnightly"), "cron: column 1: @fortnightly is not known; there are @hourly, @daily, @weekly, @monthly, @yearly"},
		{of("@daily 5"), "cron: column 8: something follows @daily, which stands alone"},
		{of("0 0 30 2 *"), "cron: column 5: no month that it names has such a day: on 30 February"},
		{of("0 0 31 4,6,9,11 *"), "cron: column 5: no month that it names has such a day: on day 31 of April, June, September and November"},
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			t.Parallel()
			_, err := cron.Parse(tt.spec)
			var problem *cron.SpecError
			if !errors.As(err, &problem) {
				t.Fatalf("error is %v of type %T", err, err)
			}
			if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestBetween(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, cron, zone, from string
		max                    int
		want                   []string
	}{
		{"a day", "0 9 * * *", "Asia/Tokyo", "2026-01-31T00:00:00Z", 2, []string{"2026-02-01T09:00:00+09:00", "2026-02-02T09:00:00+09:00"}},
		{"leap days", "0 0 29 2 *", "", "2096-01-01T00:00:00Z", 2, []string{"2096-02-29T00:00:00Z", "2104-02-29T00:00:00Z"}},
		{"a leap day on a Sunday", "0 0 29 2 */7", "", "2080-01-01T00:00:00Z", 2, []string{"2088-02-29T00:00:00Z", "2128-02-29T00:00:00Z"}},
		{"either of two days", "0 0 13 * fri", "", "2026-02-07T00:00:00Z", 3, []string{"2026-02-13T00:00:00Z", "2026-02-20T00:00:00Z", "2026-02-27T00:00:00Z"}},
		{"both, because of the *", "0 0 */31 * fri", "", "2026-02-07T00:00:00Z", 2, []string{"2026-05-01T00:00:00Z", "2027-01-01T00:00:00Z"}},
		{"a * that is not first", "0 0 1,*/10 * 5", "", "2026-02-01T00:00:00Z", 4, []string{"2026-02-06T00:00:00Z", "2026-02-11T00:00:00Z", "2026-02-13T00:00:00Z", "2026-02-20T00:00:00Z"}},
		{"a list that begins with *", "0 0 */10,2 * 5", "", "2026-02-01T00:00:00Z", 2, []string{"2026-05-01T00:00:00Z", "2026-07-31T00:00:00Z"}},
		{"both Sundays", "0 0 * * 0,7", "", "2026-02-01T00:00:00Z", 2, []string{"2026-02-08T00:00:00Z", "2026-02-15T00:00:00Z"}},
		{"Friday to Sunday", "0 0 * * FRI-sun", "", "2026-02-01T00:00:00Z", 4, []string{"2026-02-06T00:00:00Z", "2026-02-07T00:00:00Z", "2026-02-08T00:00:00Z", "2026-02-13T00:00:00Z"}},
		{"a step from a value on", "50/5 7 1 jan *", "", "2026-01-01T00:00:00Z", 3, []string{"2026-01-01T07:50:00Z", "2026-01-01T07:55:00Z", "2027-01-01T07:50:00Z"}},
		{"a step through a range", "00 08-12/2 1 1 *", "", "2026-01-01T00:00:00Z", 4, []string{"2026-01-01T08:00:00Z", "2026-01-01T10:00:00Z", "2026-01-01T12:00:00Z", "2027-01-01T08:00:00Z"}},
		{"within a minute", "* * * * *", "", "2026-01-01T00:00:59.999999999Z", 1, []string{"2026-01-01T00:01:00Z"}},
		{"before the epoch", "30 9 * * *", "", "1969-12-30T09:30:00Z", 3, []string{"1969-12-31T09:30:00Z", "1970-01-01T09:30:00Z", "1970-01-02T09:30:00Z"}},

		{"skipped", "30 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", 2, []string{"2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00"}},
		{"skipped twice is once", "0,30 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", 2, []string{"2026-03-08T03:00:00-04:00", "2026-03-09T02:00:00-04:00"}},
		{"skipped, and due then anyway", "0 2,3 * * *", "America/New_York", "2026-03-07T12:00:00Z", 2, []string{"2026-03-08T03:00:00-04:00", "2026-03-09T02:00:00-04:00"}},
		{"repeated", "30 1 * * *", "America/New_York", "2026-10-31T12:00:00Z", 2, []string{"2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"}},
		{"asked while it repeats", "30 1 * * *", "America/New_York", "2026-11-01T06:10:00Z", 1, []string{"2026-11-02T01:30:00-05:00"}},
		{"every hour, skipping", "30 * * * *", "America/New_York", "2026-03-08T06:00:00Z", 2, []string{"2026-03-08T01:30:00-05:00", "2026-03-08T03:30:00-04:00"}},
		{"every hour, repeating", "30 * * * *", "America/New_York", "2026-11-01T05:00:00Z", 3, []string{"2026-11-01T01:30:00-04:00", "2026-11-01T01:30:00-05:00", "2026-11-01T02:30:00-05:00"}},
		{"minutes of an hour that is skipped", "*/30 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", 1, []string{"2026-03-09T02:00:00-04:00"}},
		{"on the last day of a leap year", "* * * * *", "America/New_York", "2040-12-31T12:14:30Z", 2, []string{"2040-12-31T07:15:00-05:00", "2040-12-31T07:16:00-05:00"}},
		{"across the last day of a leap year", "5 9 1 jan *", "America/New_York", "2040-12-31T12:14:30Z", 2, []string{"2041-01-01T09:05:00-05:00", "2042-01-01T09:05:00-05:00"}},
		{"half an hour", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", 2, []string{"2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"}},
		{"a day that was left out", "0 9 * * *", "Pacific/Apia", "2011-12-29T00:00:00-10:00", 2, []string{"2011-12-29T09:00:00-10:00", "2011-12-31T09:00:00+14:00"}},
		{"the first of a gap around midnight", "15 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z", 2, []string{"2018-11-04T01:00:00-02:00", "2018-11-05T00:15:00-02:00"}},
		{"repeated before midnight", "30 23 * * *", "America/Sao_Paulo", "2018-02-17T12:00:00Z", 2, []string{"2018-02-17T23:30:00-02:00", "2018-02-18T23:30:00-03:00"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, from := parse(t, tt.cron, tt.zone), at(t, tt.from)
			ticks := s.Between(from, from.AddDate(60, 0, 0), tt.max)
			if diff := cmp.Diff(tt.want, texts(ticks)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for i := len(ticks) - 1; i > 0; i-- {
				if got := s.Prev(ticks[i]); !got.Equal(ticks[i-1]) {
					t.Errorf("before %s comes %s, want %s", ticks[i], got, ticks[i-1])
				}
			}
			if got := s.Prev(ticks[0].Add(1)); !got.Equal(ticks[0]) {
				t.Errorf("a nanosecond after %s Prev is %s", ticks[0], got)
			}
			// The end is included, the beginning is not.
			if got := s.Between(ticks[0], ticks[0], 9); len(got) != 0 {
				t.Errorf("after %s up to it there is %v", ticks[0], got)
			}
			if got := s.Between(ticks[0].Add(-1), ticks[0], 9); len(got) != 1 {
				t.Errorf("up to %s there is %v", ticks[0], got)
			}
		})
	}
}

func TestEvery(t *testing.T) {
	t.Parallel()
	tests := []struct {
		every          time.Duration
		t, prev, next  string
		text, describe string
	}{
		{90 * time.Minute, "2026-01-01T00:00:00Z", "2025-12-31T22:30:00Z", "2026-01-01T01:30:00Z", "every 1h30m", "every 90 minutes"},
		{time.Hour, "2026-01-01T00:00:00.5Z", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z", "every 1h", "every hour"},
		{90 * time.Second, "1969-12-31T23:59:00Z", "1969-12-31T23:58:30Z", "1970-01-01T00:00:00Z", "every 1m30s", "every 90 seconds"},
		{90 * time.Second, "1969-12-31T23:58:30Z", "1969-12-31T23:57:00Z", "1970-01-01T00:00:00Z", "every 1m30s", "every 90 seconds"},
		{48 * time.Hour, "1970-01-02T00:00:00Z", "1970-01-01T00:00:00Z", "1970-01-03T00:00:00Z", "every 48h", "every 2 days"},
		{time.Second, "2026-01-01T00:00:00Z", "2025-12-31T23:59:59Z", "2026-01-01T00:00:01Z", "every 1s", "every second"},
	}
	for _, tt := range tests {
		t.Run(tt.text+" "+tt.t, func(t *testing.T) {
			t.Parallel()
			s, err := cron.Parse(cron.Spec{Every: tt.every})
			if err != nil {
				t.Fatal(err)
			}
			got := append(texts([]time.Time{s.Prev(at(t, tt.t)), s.Next(at(t, tt.t))}), s.String(), s.Describe())
			if diff := cmp.Diff([]string{tt.prev, tt.next, tt.text, tt.describe}, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestEveryInZone(t *testing.T) {
	t.Parallel()
	s, err := cron.Parse(cron.Spec{Every: time.Hour, Timezone: "Asia/Kathmandu"})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Next(at(t, "2026-01-01T00:30:00Z")).Format(time.RFC3339); got != "2026-01-01T06:45:00+05:45" {
		t.Errorf("the next is %s, want the full hour of UTC in the zone", got)
	}
}

func TestFarAway(t *testing.T) {
	t.Parallel()
	every, err := cron.Parse(cron.Spec{Every: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*cron.Schedule{parse(t, "0 0 29 2 *", "America/New_York"), parse(t, "* * * * *", ""), every} {
		for _, far := range []time.Time{time.Unix(1<<62, 0), time.Unix(-1<<62, 0), time.Date(10001, 1, 2, 0, 0, 0, 0, time.UTC)} {
			if next, prev := s.Next(far), s.Prev(far); !next.IsZero() || !prev.IsZero() {
				t.Errorf("%s: around %s come %s and %s", s, far, prev, next)
			}
		}
		for _, near := range []time.Time{{}, time.Date(9999, 12, 31, 12, 0, 0, 0, time.UTC)} {
			if next := s.Next(near); !next.After(near) {
				t.Errorf("%s: after %s comes %s", s, near, next)
			}
		}
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	tests := []struct{ cron, zone, want string }{
		{"0 9 * * *", "Asia/Tokyo", "every day at 09:00, Asia/Tokyo"},
		{"@daily", "", "every day at 00:00, UTC"},
		{"@hourly", "", "every hour, UTC"},
		{"@weekly", "", "every Sunday at 00:00, UTC"},
		{"@monthly", "", "on day 1 of every month at 00:00, UTC"},
		{"@yearly", "", "on 1 January at 00:00, UTC"},
		{"* * * * *", "", "every minute, UTC"},
		{"*/15 * * * *", "", "every 15 minutes, UTC"},
		{"*/7 * * * *", "", "at minutes 0, 7, 14, 21, 28, 35, 42, 49 and 56 of every hour, UTC"},
		{"5,20 * * * *", "", "at minutes 5 and 20 of every hour, UTC"},
		{"*/60 */24 * * *", "", "every 24 hours, UTC"},
		{"0 */2 * * *", "", "every 2 hours, UTC"},
		{"5 */2 * * *", "", "every 2 hours at minute 5, UTC"},
		{"*/15 9-17 * * mon-fri", "Europe/London", "every 15 minutes from 09:00 to 17:45, Monday to Friday, Europe/London"},
		{"0 9-17 * * *", "", "every hour from 09:00 to 17:00, UTC"},
		{"* 2 * * *", "", "every minute from 02:00 to 02:59, UTC"},
		{"*/30 2,4 * * *", "", "at minutes 0 and 30 of hours 2 and 4, UTC"},
		{"30 1,5-9 * * *", "", "every day at 01:30, 05:30, 06:30, 07:30, 08:30 and 09:30, UTC"},
		{"30 1,4-9 * * *", "", "at minute 30 of hours 1 and 4 to 9, UTC"},
		{"0 9,17 * * 1,3", "", "every Monday and Wednesday at 09:00 and 17:00, UTC"},
		{"0 0 * * sat,sun", "", "every Saturday and Sunday at 00:00, UTC"},
		{"0 0 1,15 * *", "", "on days 1 and 15 of every month at 00:00, UTC"},
		{"0 0 1-3,15 1-3 *", "", "on days 1 to 3 and 15 of January to March at 00:00, UTC"},
		{"0 0 29 2 *", "", "on 29 February at 00:00, UTC"},
		{"0 0 * 6 *", "", "every day in June at 00:00, UTC"},
		{"0 0 13 * 5", "", "on day 13 of every month, and every Friday at 00:00, UTC"},
		{"0 0 13 6 5", "", "on 13 June, and every Friday in June at 00:00, UTC"},
		{"0 0 29 2 */7", "", "on 29 February if it is Sunday at 00:00, UTC"},
		{"0 0 1,*/10 * 5", "", "on days 1, 11, 21 and 31 of every month, and every Friday at 00:00, UTC"},
		{"0 0 1-31 * 5", "", "every day at 00:00, UTC"},
		{"0 0 * * 0-7", "", "every day at 00:00, UTC"},
	}
	for _, tt := range tests {
		t.Run(tt.cron, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, parse(t, tt.cron, tt.zone).Describe()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestString(t *testing.T) {
	t.Parallel()
	if got := parse(t, " 0  9\t* * MON-fri ", "Asia/Tokyo").String(); got != "0 9 * * MON-fri Asia/Tokyo" {
		t.Errorf("it is %q", got)
	}
}

func BenchmarkNext(b *testing.B) {
	for _, cron := range []string{"*/5 * * * *", "30 2 * * *", "0 0 29 2 *"} {
		s, t := parse(b, cron, "America/New_York"), at(b, "2026-03-08T00:00:00Z")
		b.Run(cron, func(b *testing.B) {
			for b.Loop() {
				s.Next(t)
			}
		})
	}
}
