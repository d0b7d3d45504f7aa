package periodic

import "github.com/tidemill/tidemill/internal/cron"

// Spec says when a schedule is due: one of Cron, five fields as cron has them or @daily and the like, and Every, whole seconds;
// and the Timezone in which Cron is read, an IANA name, UTC if empty.
//
// As in Vixie's cron a day is due if either of the two day fields has it, unless one of them has a *. A schedule without a *
// in its minute and hour fields comes exactly once on each day: what the clock skips comes at the first instant after the
// gap, what it repeats comes the first time. One with a * there follows elapsed time. An interval is aligned to
// 1970-01-01T00:00:00Z, so no restart shifts it.
type Spec = cron.Spec

// Schedule is the series of instants that a Spec means.
type Schedule = cron.Schedule

// SpecError is what is wrong with a Spec.
type SpecError = cron.SpecError

// Parse reads a Spec. The error is a [*SpecError]; a schedule that never comes due, as one for 30 February, is one, too.
func Parse(spec Spec) (*Schedule, error) { return cron.Parse(spec) }
