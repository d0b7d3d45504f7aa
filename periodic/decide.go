package periodic

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// What to do about ticks that came due while nobody was there to fire them.
const (
	CatchUpLatest = "latest" // one run for the newest of them
	CatchUpAll    = "all"    // one run for each
	CatchUpNone   = "none"   // nothing
)

// onTime is how late a tick may be and still be one that was not missed: a restart or a busy database is no outage.
const onTime = time.Minute

// allowance is how late a tick of the schedule may be. Where nobody was there when it came due it is no more than one interval:
// what is due again by then was missed.
func allowance(schedule *Schedule, tick, since time.Time) time.Duration {
	if !tick.Before(since) {
		return onTime
	}
	if next := schedule.Next(tick); !next.IsZero() {
		return min(onTime, next.Sub(tick))
	}
	return onTime
}

// listed is how many ticks of one schedule are dealt with one by one when there are very many; older ones share a row, and
// are missed.
const listed = 1000

// item is what fire gets for one schedule.
type item struct {
	Schedule string          `json:"schedule"`
	Spec     json.RawMessage `json:"spec"`
	Was      time.Time       `json:"was"`
	Next     *time.Time      `json:"next"`
	Ticks    []itemTick      `json:"ticks"`
}

type itemTick struct {
	Work   work   `json:"work"`
	Missed bool   `json:"missed,omitempty"`
	Reason string `json:"reason,omitempty"`
	Ticks  int    `json:"ticks,omitempty"`
}

// work is what a run learns of its tick; the fields are in the arguments of its job.
type work struct {
	ScheduledFor time.Time  `json:"scheduled_for"`      // in the schedule's time zone
	Previous     *time.Time `json:"previous,omitempty"` // tick before, whatever became of it
	CaughtUp     bool       `json:"caught_up,omitempty"`
}

// decide says what to do with the ticks of a schedule that are due at now, of which row.NextAt is the first; since is from
// when on a process was there without a break. Nothing but its arguments plays a part.
func decide(now, since time.Time, row dueRow, schedule *Schedule) item {
	out := item{Schedule: row.Name, Spec: row.Spec, Was: row.NextAt}
	if next := schedule.Next(now); !next.IsZero() {
		out.Next = &next
	}
	// The first tick is in the database; it may be none of the schedule's, which is no reason to lose it.
	due := []time.Time{}
	for t := schedule.Prev(now.Add(time.Nanosecond)); t.After(row.NextAt) && len(due) < listed; t = schedule.Prev(t) {
		due = append(due, t)
	}
	slices.Reverse(due)
	switch {
	case len(due) < listed:
		due = append([]time.Time{row.NextAt.In(schedule.Location())}, due...)
	default:
		older, last := countBetween(schedule, row.NextAt, due[0])
		out.Ticks = append(out.Ticks, itemTick{
			Work: work{ScheduledFor: last.In(schedule.Location())}, Missed: true, Ticks: older,
			Reason: fmt.Sprintf("only the newest %d missed ticks are looked at", listed),
		})
	}
	window := time.Duration(row.Window * float64(time.Second))
	for i, t := range due {
		tick := itemTick{Work: work{ScheduledFor: t}}
		if previous := schedule.Prev(t); !previous.IsZero() {
			tick.Work.Previous = &previous
		}
		if late := now.Sub(t); late > allowance(schedule, t, since) {
			tick.Reason = whyMissed(row.CatchUp, late, window, i == len(due)-1)
			tick.Missed = tick.Reason != ""
			tick.Work.CaughtUp = !tick.Missed
		}
		out.Ticks = append(out.Ticks, tick)
	}
	return out
}

// whyMissed returns why a late tick is not caught up, or "".
func whyMissed(catchUp string, late, window time.Duration, newest bool) string {
	switch {
	case catchUp == CatchUpNone:
		return "catch_up is none"
	case late > window:
		return "it is older than catch_up_window"
	case catchUp == CatchUpLatest && !newest:
		return "a later tick was due"
	}
	return ""
}

// countBetween counts the ticks from first, included, to before end, and returns the last of them. It stops at a million.
func countBetween(schedule *Schedule, first, end time.Time) (n int, last time.Time) {
	n, last = 1, first
	for t := schedule.Next(first); !t.IsZero() && t.Before(end) && n < 1_000_000; t = schedule.Next(t) {
		n, last = n+1, t
	}
	return n, last
}
