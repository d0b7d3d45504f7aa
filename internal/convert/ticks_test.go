package convert

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/cron"
)

// byHand is what someone writes who moves the schedule of a typical app without a converter.
func byHand() map[string]cron.Spec {
	return map[string]cron.Spec{
		"daily at 9":      {Cron: "0 9 * * *"},
		"hourly":          {Every: time.Hour},
		"every 5 minutes": {Every: 5 * time.Minute},
		"at 2":            {Cron: "0 2 * * *"},
		"9 in Tokyo":      {Cron: "0 9 * * *", Timezone: "Asia/Tokyo"},
	}
}

// The converted files of a typical app have the same next 1,000 ticks as what is written by hand, also across changes of
// the clocks, which Tokyo has none of.
func TestSameTicksAsByHand(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 10, 20, 12, 34, 56, 0, time.UTC)
	for _, test := range []struct {
		file, zone string
		names      map[string]string // schedules by what they are by hand
	}{
		{"sidekiq.yml", "", map[string]string{
			"daily_report": "daily at 9", "hourly_sync": "hourly", "check_health": "every 5 minutes", "nightly_cleanup": "at 2", "tokyo_report": "9 in Tokyo",
		}},
		{"sidekiq.yml", "America/New_York", map[string]string{"daily_report": "daily at 9", "nightly_cleanup": "at 2", "tokyo_report": "9 in Tokyo"}},
		{"whenever.crontab", "", map[string]string{
			"reports-daily": "daily at 9", "sync-users-run": "hourly", "health_check": "every 5 minutes", "cleanup": "at 2",
		}},
		{"whenever.crontab", "Asia/Tokyo", map[string]string{"reports-daily": "9 in Tokyo"}},
		{"whenever.crontab", "Europe/Berlin", map[string]string{"reports-daily": "daily at 9", "cleanup": "at 2"}},
		{"whenever-tokyo.crontab", "Europe/Berlin", map[string]string{"reports-tokyo": "9 in Tokyo"}},
		{"vercel.json", "", map[string]string{"daily-report": "daily at 9", "sync": "hourly", "health": "every 5 minutes", "cleanup": "at 2"}},
		{"vercel.json", "Asia/Tokyo", map[string]string{"daily-report": "daily at 9"}},
	} {
		_, cfg := convertFile(t, test.file, Opts{Timezone: test.zone})
		for name, hand := range test.names {
			want := byHand()[hand]
			if want.Timezone == "" && test.file != "vercel.json" { // Vercel's times are UTC whatever the machine has
				want.Timezone = test.zone
			}
			s, ok := cfg.Schedules[name]
			if !ok {
				t.Errorf("%s has no schedule %s", test.file, name)
				continue
			}
			if diff := cmp.Diff(ticks(t, want, from), ticks(t, specOf(s), from)); diff != "" {
				t.Errorf("%s, %s, zone %q (-by hand +converted):\n%s", test.file, name, test.zone, diff)
			}
		}
	}
}

func specOf(s *config.Schedule) cron.Spec {
	return cron.Spec{Cron: s.Cron, Every: s.Every, Timezone: s.Timezone}
}

func ticks(t *testing.T, spec cron.Spec, from time.Time) []string {
	t.Helper()
	s, err := cron.Parse(spec)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, at := range s.Between(from, from.AddDate(10, 0, 0), 1000) {
		all = append(all, at.UTC().Format(time.RFC3339))
	}
	if len(all) != 1000 {
		t.Fatalf("%d ticks", len(all))
	}
	return all
}

func TestTimesOfRuby(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ text, want string }{
		{"0 9 * * *", "0 9 * * *"},
		{"  0  9\t* * * ", "0 9 * * *"},
		{"0 9 * * * Asia/Tokyo", "0 9 * * * Asia/Tokyo"},
		{"0 9 * * MON UTC", "0 9 * * MON UTC"},
		{"@daily Asia/Tokyo", "@daily Asia/Tokyo"},
		{"0 0 9 * * MON", "0 9 * * MON"},
		{"00 */5 * * * * Europe/Berlin", "*/5 * * * * Europe/Berlin"},
		{"* * * * * *", "every 1s"},
		{"*/15 * * * * *", "every 15s"},
		{"every minute", "* * * * *"},
		{"every 5 minutes", "*/5 * * * *"},
		{"Every 5m", "*/5 * * * *"},
		{"every 15 sec", "every 15s"},
		{"every 1 h", "0 * * * *"},
		{"every 3 hours", "0 */3 * * *"},
		{"every day", "0 0 * * *"},
		{"every day at noon", "0 12 * * *"},
		{"every day at 12 am", "0 0 * * *"},
		{"every day at 16:30", "30 16 * * *"},
		{"every day at 5 pm on America/Los_Angeles", "0 17 * * * America/Los_Angeles"},
		{"every weekday at 5pm", "0 17 * * 1-5"},
		{"every tuesday at 5 pm", "0 17 * * tue"},

		{"", "! it is empty"},
		{"0 9 * *", "! it has 4 fields instead of 5"},
		{"30 0 9 * * *", "! there are no seconds here, but for even steps"},
		{"*/7 * * * * *", "! there are no seconds here, but for even steps"},
		{"*/0 * * * * *", "! there are no seconds here, but for even steps"},
		{"*/30 0 * * * *", "! there are no seconds here, but for even steps"},
		{"0 9 * * mon#1", `! column 9: day of the week "mon#1": # (a certain weekday of the month) is not supported`},
		{"every 7 minutes", "! fugit does not take it for even steps"},
		{"every 0 minutes", "! fugit does not take it for even steps"},
		{"every day at 13 pm", "! this sentence is not among the plain ones that are understood"},
		{"every day at 25:00", "! this sentence is not among the plain ones that are understood"},
		{"every tuesday and monday at 5pm", "! this sentence is not among the plain ones that are understood"},
	} {
		w, refused := readFugit(test.text)
		if got := shown(w, refused); got != test.want {
			t.Errorf("%q is %s, want %s", test.text, got, test.want)
		}
	}
	for _, test := range []struct{ text, want string }{
		{"5m", "every 5m"}, {"1h30m", "every 1h30m"}, {"2d 12h", "every 2d12h"}, {"1w", "every 7d"}, {"90s", "every 1m30s"},
		{"", "! not an interval that is understood"}, {"0s", "! not an interval that is understood"}, {"5", "! not an interval that is understood"},
		{"2y", "! not an interval that is understood"}, {"366d", "every 366d"}, {"366d1s", "! longer than 366 days"}, {"999999w999999w", "! longer than 366 days"},
	} {
		w, refused := readEvery(test.text)
		if got := shown(w, refused); got != test.want {
			t.Errorf("%q is %s, want %s", test.text, got, test.want)
		}
	}
}

func shown(w when, refused *refusal) string {
	switch {
	case refused != nil:
		return "! " + refused.why
	case w.every > 0:
		return "every " + duration(w.every)
	case w.zone != "":
		return w.cron + " " + w.zone
	}
	return w.cron
}
