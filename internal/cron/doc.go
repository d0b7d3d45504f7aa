// Package cron says when work is due.
//
// A [Schedule] is a cron expression of five fields in a time zone, or an interval. It is made by [Parse] and asked with
// Next, Prev and Between; it holds no state and knows no clock.
//
// # Cron expressions
//
// The fields are minute (0-59), hour (0-23), day of the month (1-31), month (1-12 or jan-dec) and day of the week (0-7
// or sun-sat; 0 and 7 are Sunday). A field is a list of values, ranges (9-17), steps through a range (9-17/2) or through
// everything (*/15), and steps from a value on (5/15). @hourly, @daily or @midnight, @weekly, @monthly and @yearly or
// @annually stand for what they say.
//
// As in Vixie's cron a day is due if either of the two day fields has it, unless one of them begins with *: then both must.
//
// # Changes of the clock
//
// A schedule whose minute and hour fields do not begin with * names times of day. Each comes exactly once on each day of the
// calendar that it is due on: one that the clock skips comes at the first instant after the gap, one that the clock
// repeats comes the first time only. Several skipped times are one tick, at that instant. A date that a zone left out
// altogether, as 2011-12-30 in Pacific/Apia, has none.
//
// A schedule of which one does follows elapsed time: it is due whenever the clock reads a matching minute, so not while the
// clock skips them, and twice while it repeats them.
//
// An interval does not look at the clock: its ticks are the multiples of the interval since 1970-01-01T00:00:00Z, so no
// restart shifts them.
package cron
