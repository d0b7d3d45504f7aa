package cron

import "time"

// A reading is what a clock shows, as the seconds from 1970-01-01 00:00 to it on a clock that is never changed. An
// expression matches readings; a zone says which instants have a reading, and that may be one, several or none.
type reading = int64

const (
	daySeconds = 24 * 60 * 60
	// searchDays bounds the search for a day. The rarest is 29 February on a certain day of the week, which is away for 40
	// years when a century has no leap day.
	searchDays = 60 * 366
)

// span is a stretch of time in which a zone keeps its offset.
type span struct {
	start, end int64 // instants in seconds of Unix; end is not included
	offset     int64
}

const (
	firstInstant = -1 << 60
	lastInstant  = 1 << 60
	quarter      = 15 * 60
)

func spanAt(t time.Time) span {
	_, offset := t.Zone()
	s := span{firstInstant, lastInstant, int64(offset)}
	start, end := t.ZoneBounds()
	if !start.IsZero() {
		s.start = start.Unix()
	}
	if !end.IsZero() {
		s.end = end.Unix()
	}
	// After its tables Go's ZoneBounds has each year end after 365 days, so that on the last of a leap year the end has
	// gone by. No change of a clock is known to come on that day, nor on any other than at a full quarter of an hour.
	if now := t.Unix(); s.end <= now {
		s.end = now + quarter - (now%quarter+quarter)%quarter
	}
	return s
}

func (c *cron) next(after time.Time) time.Time {
	if c.fixed() {
		return c.nextFixed(after)
	}
	zone := after.Location()
	from := after.Unix() + 1 // the first second that may be it
	for {
		s := spanAt(time.Unix(from, 0).In(zone))
		r, ok := c.readingFrom(from + s.offset)
		if !ok {
			return time.Time{}
		}
		if at := r - s.offset; at < s.end {
			return time.Unix(at, 0).In(zone)
		}
		from = s.end
	}
}

func (c *cron) prev(before time.Time) time.Time {
	if c.fixed() {
		return c.prevFixed(before)
	}
	zone := before.Location()
	to := lastBefore(before)
	for {
		s := spanAt(time.Unix(to, 0).In(zone))
		r, ok := c.readingUpTo(to + s.offset)
		if !ok {
			return time.Time{}
		}
		if at := r - s.offset; at >= s.start {
			return time.Unix(at, 0).In(zone)
		}
		to = s.start - 1
	}
}

// lastBefore is the last whole second before t.
func lastBefore(t time.Time) int64 {
	if t.Nanosecond() > 0 {
		return t.Unix()
	}
	return t.Unix() - 1
}

// nextFixed relies on that readings in order have instants in order. All that the clock has gone by are in the past, so
// the search begins after what it shows.
func (c *cron) nextFixed(after time.Time) time.Time {
	zone := after.Location()
	from := after.Unix() + spanAt(after).offset + 1
	for {
		r, ok := c.readingFrom(from)
		if !ok {
			return time.Time{}
		}
		if at, ok := instantOf(r, zone); ok && at > after.Unix() {
			return time.Unix(at, 0).In(zone)
		}
		from = r + 1
	}
}

// prevFixed begins with the greatest reading that the clock has shown, which is greater than what it shows if it was put
// back.
func (c *cron) prevFixed(before time.Time) time.Time {
	zone := before.Location()
	last := lastBefore(before)
	s := spanAt(time.Unix(last, 0).In(zone))
	to := last + s.offset
	if s.start > firstInstant {
		earlier := spanAt(time.Unix(s.start-1, 0).In(zone))
		to = max(to, s.start-1+earlier.offset)
	}
	for {
		r, ok := c.readingUpTo(to)
		if !ok {
			return time.Time{}
		}
		if at, ok := instantOf(r, zone); ok && at <= last {
			return time.Unix(at, 0).In(zone)
		}
		to = r - 1
	}
}

// instantOf is the first instant at which a clock shows r, or, if it skips r, the first after the gap. It is false for a
// date that the zone leaves out.
func instantOf(r reading, zone *time.Location) (int64, bool) {
	s := spanAt(time.Unix(r-2*daySeconds, 0).In(zone)) // no offset and no change of one is as long
	for r >= s.end+s.offset {
		later := spanAt(time.Unix(s.end, 0).In(zone))
		if first := later.start + later.offset; r < first {
			day := dayOf(r)
			return later.start, day == dayOf(s.end-1+s.offset) || day == dayOf(first)
		}
		s = later
	}
	return r - s.offset, true
}

// dayOf is the number of the day of a reading, from 1970-01-01.
func dayOf(r reading) int64 {
	if r < 0 {
		r -= daySeconds - 1
	}
	return r / daySeconds
}

// readingFrom is the first reading from r on that the expression matches.
func (c *cron) readingFrom(r reading) (reading, bool) {
	day := dayOf(r)
	minute := int((r - day*daySeconds + 59) / 60) // of the day, rounded up
	for range searchDays {
		if skip := c.skipMonth(day, 1); skip != 0 {
			day, minute = day+skip, 0
			continue
		}
		if c.matchesDay(day) {
			if m := c.minuteFrom(minute); m >= 0 {
				return day*daySeconds + int64(m)*60, true
			}
		}
		day, minute = day+1, 0
	}
	return 0, false
}

// readingUpTo is the last reading up to r that the expression matches.
func (c *cron) readingUpTo(r reading) (reading, bool) {
	day := dayOf(r)
	minute := int((r - day*daySeconds) / 60)
	for range searchDays {
		if skip := c.skipMonth(day, -1); skip != 0 {
			day, minute = day+skip, 24*60-1
			continue
		}
		if c.matchesDay(day) {
			if m := c.minuteUpTo(minute); m >= 0 {
				return day*daySeconds + int64(m)*60, true
			}
		}
		day, minute = day-1, 24*60-1
	}
	return 0, false
}

// minuteFrom is the first matching minute of a day from m on, -1 if there is none.
func (c *cron) minuteFrom(m int) int {
	hour := m / 60
	if c.hour.has(hour) {
		if minute := c.minute.from(m % 60); minute >= 0 {
			return hour*60 + minute
		}
	}
	if hour = c.hour.from(hour + 1); hour < 0 {
		return -1
	}
	return hour*60 + c.minute.from(0)
}

// minuteUpTo is the last matching minute of a day up to m, -1 if there is none.
func (c *cron) minuteUpTo(m int) int {
	hour := m / 60
	if c.hour.has(hour) {
		if minute := c.minute.upTo(m % 60); minute >= 0 {
			return hour*60 + minute
		}
	}
	if hour = c.hour.upTo(hour - 1); hour < 0 {
		return -1
	}
	return hour*60 + c.minute.upTo(59)
}

func (c *cron) matchesDay(day int64) bool {
	date := dateOf(day)
	if !c.month.has(int(date.Month())) {
		return false
	}
	dom, dow := c.dom.has(date.Day()), c.dow.has(int(date.Weekday()))
	if c.dom.star || c.dow.star {
		return dom && dow
	}
	return dom || dow
}

// skipMonth is how many days lead out of a month that never matches, in that direction; 0 for one that does.
func (c *cron) skipMonth(day, direction int64) int64 {
	date := dateOf(day)
	if c.month.has(int(date.Month())) {
		return 0
	}
	if direction < 0 {
		return -int64(date.Day())
	}
	first := time.Date(date.Year(), date.Month()+1, 1, 0, 0, 0, 0, time.UTC)
	return first.Unix()/daySeconds - day
}

func dateOf(day int64) time.Time { return time.Unix(day*daySeconds, 0).UTC() }
