package cron

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// MinEvery and MaxEvery bound an interval, which is of whole seconds.
const (
	MinEvery = time.Second
	MaxEvery = 366 * 24 * time.Hour
)

// Spec says what a schedule is: one of Cron and Every.
type Spec struct {
	Cron     string        // five fields, or @daily and the like
	Every    time.Duration // MinEvery to MaxEvery, whole seconds
	Timezone string        // IANA name, in which Cron is read and times are returned; empty: UTC
}

// SpecError is what is wrong with a [Spec].
type SpecError struct {
	Field   string // cron, every, timezone; empty: the spec as a whole
	Column  int    // within Field's text, in characters from 1; 0: all of it
	Message string
	Hint    string // what to do; may be empty
}

// Error gives the problem on one line:
//
//	cron: column 3: hour 25 is not in 0-23
func (e *SpecError) Error() string {
	var b strings.Builder
	if e.Field != "" {
		b.WriteString(e.Field + ": ")
	}
	if e.Column > 0 {
		fmt.Fprintf(&b, "column %d: ", e.Column)
	}
	b.WriteString(e.Message)
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

// Schedule is a series of instants, the ticks. It is immutable, and safe for use by several goroutines.
type Schedule struct {
	cron  *cron // nil: every
	every time.Duration
	zone  *time.Location
}

// Parse reads a spec. The error is a [*SpecError]; a schedule that never comes due, as one for 30 February, is one, too.
func Parse(spec Spec) (*Schedule, error) {
	zone, err := parseZone(spec.Timezone)
	if err != nil {
		return nil, err
	}
	switch {
	case spec.Cron != "" && spec.Every != 0:
		return nil, &SpecError{Message: "cron and every exclude each other", Hint: "give one of them"}
	case spec.Cron != "":
		c, err := parseCron(spec.Cron)
		if err != nil {
			return nil, err
		}
		return &Schedule{cron: c, zone: zone}, nil
	case spec.Every == 0:
		return nil, &SpecError{Message: "a schedule needs cron or every", Hint: `write cron: "0 9 * * *" or every: 1h`}
	case spec.Every < MinEvery || spec.Every > MaxEvery:
		return nil, &SpecError{Field: "every", Message: fmt.Sprintf("%s is not from 1s to 366d", spec.Every)}
	case spec.Every%time.Second != 0:
		return nil, &SpecError{Field: "every", Message: fmt.Sprintf("%s is not of whole seconds", spec.Every)}
	}
	return &Schedule{every: spec.Every, zone: zone}, nil
}

func parseZone(name string) (*time.Location, error) {
	name = cmp.Or(name, "UTC")
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" { // Local is another zone on each machine
		return nil, &SpecError{Field: "timezone", Message: fmt.Sprintf("%q is not a time zone", name), Hint: "write an IANA name, like Asia/Tokyo or UTC"}
	}
	return zone, nil
}

// Next is the first tick after t, in the time zone of the schedule. For a t outside the years 1 to 9999 it is the zero
// time.
func (s *Schedule) Next(t time.Time) time.Time {
	switch {
	case !known(t):
		return time.Time{}
	case s.cron != nil:
		return s.cron.next(t.In(s.zone))
	}
	return s.tick(s.count(t) + 1)
}

// Prev is the last tick before t, in the time zone of the schedule. For a t outside the years 1 to 9999 it is the zero
// time.
func (s *Schedule) Prev(t time.Time) time.Time {
	switch {
	case !known(t):
		return time.Time{}
	case s.cron != nil:
		return s.cron.prev(t.In(s.zone))
	}
	n := s.count(t)
	if s.tick(n).Equal(t) {
		n--
	}
	return s.tick(n)
}

// known keeps arithmetic away from the ends of its range.
func known(t time.Time) bool { return t.Year() >= 1 && t.Year() <= 9999 }

// Between returns the ticks after from and up to to, which is included; the first max of them, in order.
func (s *Schedule) Between(from, to time.Time, max int) []time.Time {
	var ticks []time.Time
	for t := s.Next(from); len(ticks) < max && !t.IsZero() && !t.After(to); t = s.Next(t) {
		ticks = append(ticks, t)
	}
	return ticks
}

// String gives the schedule in the notation of the configuration, for logs: 0 9 * * * Asia/Tokyo.
func (s *Schedule) String() string {
	if s.cron != nil {
		return s.cron.String() + " " + s.zone.String()
	}
	return "every " + shortDuration(s.every)
}

// shortDuration leaves out the units that are zero.
func shortDuration(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}

// count is how many intervals fit between the epoch and t, rounded down also before the epoch.
func (s *Schedule) count(t time.Time) int64 {
	n, every := t.Unix(), int64(s.every/time.Second)
	if n < 0 {
		n -= every - 1
	}
	return n / every
}

func (s *Schedule) tick(n int64) time.Time {
	return time.Unix(n*int64(s.every/time.Second), 0).In(s.zone)
}

// Location is the time zone in which the schedule is read.
func (s *Schedule) Location() *time.Location { return s.zone }
