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
func (c *converter) scheduleFields(w when) []member {
	fields := []member{{name: "every", value: duration(w.every)}}
	if w.cron != "" {
		fields = []member{{name: "cron", value: quote(w.cron)}}
		if w.zone != "" {
			fields = append(fields, member{name: "timezone", value: value(w.zone).scalar()})
		}
		c.zoneless = c.zoneless || w.zone == ""
	}
	return append(fields, member{name: "overlap", value: "allow"})
}
