package convert

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/cron"
)

// when is the time of a schedule: cron with a zone, or every.
type when struct {
	cron  string
	every time.Duration
	zone  string // empty: the file does not say
}

// refusal is why a time cannot be carried over, and what to do.
type refusal struct{ why, hint string }

// refuse takes the words from package cron.
func refuse(err error) *refusal {
	var spec *cron.SpecError
	if !errors.As(err, &spec) {
		return &refusal{err.Error(), ""}
	}
	r := &refusal{spec.Message, spec.Hint}
	if spec.Column > 0 {
		r.why = fmt.Sprintf("column %d: %s", spec.Column, spec.Message)
	}
	return r
}

// readCron checks an expression of five fields.
func readCron(text, zone string) (when, *refusal) {
	text = oneLine(text)
	if text == "" {
		return when{}, &refusal{"it is empty", `write five fields, like "0 9 * * *"`}
	}
	if _, err := cron.Parse(cron.Spec{Cron: text, Timezone: zone}); err != nil {
		return when{}, refuse(err)
	}
	return when{cron: text, zone: zone}, nil
}

// readFugit reads what sidekiq-cron and sidekiq-scheduler give to the library fugit: five fields, six with seconds, a zone
// behind them, or words.
func readFugit(text string) (when, *refusal) {
	fields := strings.Fields(text)
	zone := ""
	if n := len(fields); n >= 2 && isZone(fields[n-1]) && (n >= 6 || strings.HasPrefix(fields[0], "@") || strings.EqualFold(fields[0], "every")) {
		zone, fields = fields[n-1], fields[:n-1]
	}
	if len(fields) > 0 && strings.EqualFold(fields[0], "every") {
		return readWords(strings.ToLower(strings.Join(fields, " ")), zone)
	}
	if len(fields) == 6 {
		return readSeconds(fields, zone)
	}
	return readCron(strings.Join(fields, " "), zone)
}

func isZone(name string) bool {
	_, err := cron.Parse(cron.Spec{Cron: "@daily", Timezone: name})
	return err == nil
}

// readSeconds reads an expression that begins with seconds: those of the full minute need no more than five fields, and
// even steps through all of time are an interval.
func readSeconds(fields []string, zone string) (when, *refusal) {
	rest := strings.Join(fields[1:], " ")
	if strings.Trim(fields[0], "0") == "" {
		return readCron(rest, zone)
	}
	step := 1
	if text, stepped := strings.CutPrefix(fields[0], "*/"); stepped {
		var err error
		if step, err = strconv.Atoi(text); err != nil || step < 1 || 60%step != 0 {
			step = 0
		}
	} else if fields[0] != "*" {
		step = 0
	}
	if step == 0 || rest != "* * * * *" {
		return when{}, &refusal{"there are no seconds here, but for even steps", `leave the seconds away, or write every: 30s`}
	}
	return when{every: time.Duration(step) * time.Second}, nil
}

var (
	stepRE = regexp.MustCompile(`^every (?:(\d{1,4}) ?)?(s|sec|second|m|min|minute|h|hour)s?$`)
	dayRE  = regexp.MustCompile(`^every (day|weekday|sunday|monday|tuesday|wednesday|thursday|friday|saturday|sun|mon|tue|wed|thu|fri|sat)` +
		`(?: at (noon|midnight|(\d{1,2})(?::(\d{2}))? ?(am|pm)?))?(?: (?:in|on))?$`)
)

// readWords reads the plainest of fugit's sentences, each as fugit reads it.
func readWords(text, zone string) (when, *refusal) {
	if m := stepRE.FindStringSubmatch(text); m != nil {
		n := 1
		if m[1] != "" {
			n, _ = strconv.Atoi(m[1]) // digits
		}
		if w, ok := readStep(n, m[2][0], zone); ok {
			return w, nil
		}
		return when{}, &refusal{"fugit does not take it for even steps", "write it as a cron expression or as every:"}
	}
	if m := dayRE.FindStringSubmatch(text); m != nil {
		if hour, minute, ok := readTime(m[2], m[3], m[4], m[5]); ok {
			return readCron(fmt.Sprintf("%d %d * * %s", minute, hour, weekday(m[1])), zone)
		}
	}
	return when{}, &refusal{"this sentence is not among the plain ones that are understood", "write it as a cron expression"}
}

func readStep(n int, unit byte, zone string) (when, bool) {
	switch {
	case unit == 's' && n > 0 && 60%n == 0:
		return when{every: time.Duration(n) * time.Second}, true
	case unit == 'm' && n == 1:
		return when{cron: "* * * * *", zone: zone}, true
	case unit == 'm' && n > 0 && n < 60 && 60%n == 0:
		return when{cron: fmt.Sprintf("*/%d * * * *", n), zone: zone}, true
	case unit == 'h' && n == 1:
		return when{cron: "0 * * * *", zone: zone}, true
	case unit == 'h' && n > 0 && n < 24 && 24%n == 0:
		return when{cron: fmt.Sprintf("0 */%d * * *", n), zone: zone}, true
	}
	return when{}, false
}

func readTime(text, hourText, minuteText, half string) (hour, minute int, ok bool) {
	switch text {
	case "", "midnight":
		return 0, 0, true
	case "noon":
		return 12, 0, true
	}
	hour, _ = strconv.Atoi(hourText)     // digits
	minute, _ = strconv.Atoi(minuteText) // digits or nothing
	if half != "" {
		if hour < 1 || hour > 12 {
			return 0, 0, false
		}
		hour %= 12
		if half == "pm" {
			hour += 12
		}
	}
	return hour, minute, hour < 24 && minute < 60
}

func weekday(name string) string {
	switch name {
	case "day":
		return "*"
	case "weekday":
		return "1-5"
	}
	return name[:3]
}

var durationPartRE = regexp.MustCompile(`^(\d{1,6})\s*(w|d|h|m|s)\s*`)

// readEvery reads an interval of rufus-scheduler: 1h30m, 45s, 2d.
func readEvery(text string) (when, *refusal) {
	const hint = "write it like every: 1h30m"
	total := time.Duration(0)
	units := map[string]time.Duration{"w": 7 * 24 * time.Hour, "d": 24 * time.Hour, "h": time.Hour, "m": time.Minute, "s": time.Second}
	rest := strings.TrimSpace(text)
	for rest != "" {
		m := durationPartRE.FindStringSubmatch(rest)
		if m == nil {
			return when{}, &refusal{"not an interval that is understood", hint}
		}
		n, _ := strconv.Atoi(m[1]) // at most six digits
		unit := units[m[2]]
		if time.Duration(n) > (cron.MaxEvery-total)/unit {
			return when{}, &refusal{"longer than 366 days", "write it as a cron expression"}
		}
		total += time.Duration(n) * unit
		rest = rest[len(m[0]):]
	}
	if total < cron.MinEvery {
		return when{}, &refusal{"not an interval that is understood", hint}
	}
	return when{every: total}, nil
}

// duration writes d as the configuration does.
func duration(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	text := ""
	for _, unit := range []struct {
		of   time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if n := d / unit.of; n > 0 {
			text += strconv.FormatInt(int64(n), 10) + unit.name
			d -= n * unit.of
		}
	}
	return text
}

// scheduleFields are the fields of a schedule at that time.
func (c *converter) scheduleFields(w when) []field {
	fields := []field{{name: "every", value: duration(w.every)}}
	if w.cron != "" {
		fields = []field{{name: "cron", value: quote(w.cron)}}
		if w.zone != "" {
			fields = append(fields, field{name: "timezone", value: value(w.zone).scalar()})
		}
		c.zoneless = c.zoneless || w.zone == ""
	}
	return append(fields, field{name: "overlap", value: "allow"})
}
