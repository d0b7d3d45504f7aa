package cron

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Describe says in words when the schedule is due: "every day at 09:00, Asia/Tokyo".
func (s *Schedule) Describe() string {
	if s.cron == nil {
		return describeEvery(s.every)
	}
	c, zone := s.cron, ", "+s.zone.String()
	days := describeDays(c)
	if times := c.timesOfDay(); len(times) > 0 {
		return days + " at " + list(times, "and") + zone
	}
	if days == "every day" {
		return describeMinutes(c) + zone
	}
	return describeMinutes(c) + ", " + days + zone
}

func describeEvery(d time.Duration) string {
	for _, unit := range []struct {
		of   time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}} {
		if d%unit.of == 0 {
			return every(int(d/unit.of), unit.name)
		}
	}
	return "every " + d.String()
}

func every(n int, unit string) string {
	if n == 1 {
		return "every " + unit
	}
	return fmt.Sprintf("every %d %ss", n, unit)
}

// maxTimes of a day are listed one by one.
const maxTimes = 6

// timesOfDay lists what a schedule of few fixed times comes to.
func (c *cron) timesOfDay() []string {
	hours, minutes := c.hour.values(), c.minute.values()
	if !c.fixed() || len(hours)*len(minutes) > maxTimes {
		return nil
	}
	var times []string
	for _, hour := range hours {
		for _, minute := range minutes {
			times = append(times, fmt.Sprintf("%02d:%02d", hour, minute))
		}
	}
	return times
}

// describeMinutes says what happens within a day, for schedules with more times than can be listed.
func describeMinutes(c *cron) string {
	hours, minutes := c.hour.values(), c.minute.values()
	step, stepped := evenly(minutes, 60)
	hourStep, hourStepped := evenly(hours, 24)
	within := plural(minutes, "minute")
	switch {
	case step == 60 && hourStepped:
		return every(hourStep, "hour")
	case stepped && step < 60:
		within = every(step, "minute")
	case stepped:
		within = "every hour"
	case hourStep == 1:
		return within + " of every hour"
	case hourStepped:
		return every(hourStep, "hour") + " " + within
	}
	switch {
	case hourStep == 1:
		return within
	case stepped && isRun(hours):
		return fmt.Sprintf("%s from %02d:00 to %02d:%02d", within, hours[0], hours[len(hours)-1], minutes[len(minutes)-1])
	}
	return plural(minutes, "minute") + " of " + strings.TrimPrefix(plural(hours, "hour"), "at ")
}

// evenly reports whether values begin at 0 and divide the whole in equal steps; step is 0 if not.
func evenly(values []int, whole int) (step int, ok bool) {
	step = whole / len(values)
	for i, n := range values {
		if n != i*step {
			return 0, false
		}
	}
	if step*len(values) != whole {
		return 0, false
	}
	return step, true
}

func isRun(values []int) bool { return values[len(values)-1]-values[0] == len(values)-1 }

// plural writes "at minute 5", "at minutes 5 and 20".
func plural(values []int, unit string) string {
	if len(values) > 1 {
		unit += "s"
	}
	return "at " + unit + " " + list(ranges(values, strconv.Itoa), "and")
}

func describeDays(c *cron) string {
	allMonths, allDays, allWeekdays := len(c.month.values()) == 12, len(c.dom.values()) == 31, len(c.dow.values()) == 7
	both := c.dom.star || c.dow.star
	months := ""
	if !allMonths {
		months = " in " + describeMonths(c)
	}
	switch {
	case allDays && allWeekdays, !both && (allDays || allWeekdays):
		return "every day" + months
	case allDays:
		return describeWeekdays(c) + months
	case allWeekdays:
		return describeDates(c) // the months are in it
	case both:
		return describeDates(c) + " if it is " + list(weekdays(c), "or")
	}
	return describeDates(c) + ", and " + describeWeekdays(c) + months
}

// describeDates writes "on 29 February", "on days 1 and 15 of every month".
func describeDates(c *cron) string {
	days, months := c.dom.values(), c.month.values()
	if len(days) == 1 && len(months) == 1 {
		return fmt.Sprintf("on %d %s", days[0], time.Month(months[0]))
	}
	unit := "on day "
	if len(days) > 1 {
		unit = "on days "
	}
	of := "every month"
	if len(months) < 12 {
		of = describeMonths(c)
	}
	return unit + list(ranges(days, strconv.Itoa), "and") + " of " + of
}

func describeMonths(c *cron) string {
	return list(ranges(c.month.values(), func(n int) string { return time.Month(n).String() }), "and")
}

// describeWeekdays writes "every Monday and Friday", "Monday to Friday".
func describeWeekdays(c *cron) string {
	days := weekdays(c)
	if len(days) == 1 && strings.Contains(days[0], " to ") {
		return days[0]
	}
	return "every " + list(days, "and")
}

// weekdays begins the week with Monday, so that a weekend stays in one piece.
func weekdays(c *cron) []string {
	days := c.dow.values()
	if days[0] == 0 {
		days = append(days[1:], 7)
	}
	return ranges(days, func(n int) string { return time.Weekday(n % 7).String() })
}

// ranges writes three and more neighbours as one.
func ranges(values []int, name func(int) string) []string {
	var texts []string
	for i := 0; i < len(values); i++ {
		end := i
		for end+1 < len(values) && values[end+1] == values[end]+1 {
			end++
		}
		if end-i < 2 {
			texts = append(texts, name(values[i]))
			continue
		}
		texts = append(texts, name(values[i])+" to "+name(values[end]))
		i = end
	}
	return texts
}

func list(texts []string, word string) string {
	if len(texts) < 2 {
		return strings.Join(texts, "")
	}
	return strings.Join(texts[:len(texts)-1], ", ") + " " + word + " " + texts[len(texts)-1]
}
