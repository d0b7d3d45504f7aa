package kind

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/tidemill/tidemill/config"
)

// Args are the arguments of a job of a built-in kind that is not an import: the name of its definition, and what the
// start gave. Whoever starts one, in whatever language, writes these.
type Args struct {
	Job    string          `json:"job"`
	Params json.RawMessage `json:"params,omitempty"` // an object
	// ScheduledFor is when the run was due, in the time zone in which that was said; absent: when it was started.
	ScheduledFor *time.Time `json:"scheduled_for,omitempty"`
	// Previous is the tick of the schedule before that, whatever became of it.
	Previous *time.Time `json:"previous,omitempty"`
	// CaughtUp tells that the run was started late, because nobody was there in time.
	CaughtUp bool `json:"caught_up,omitempty"`
}

// Payload is what a program of the user's gets, as a request's body or on a command's standard input.
type Payload struct {
	ID           string         `json:"id"`  // the same for all attempts, and no other run's
	Run          string         `json:"run"` // its number, for people
	Job          string         `json:"job"`
	Params       map[string]any `json:"params"`
	Attempt      int            `json:"attempt"`
	ScheduledFor string         `json:"scheduled_for"`      // RFC 3339
	Previous     string         `json:"previous,omitempty"` // RFC 3339
	CaughtUp     bool           `json:"caught_up,omitempty"`
}

func (a Args) Payload(row *rivertype.JobRow, params map[string]any, due time.Time) Payload {
	h := Payload{
		ID: UniqueID(row), Run: strconv.FormatInt(row.ID, 10), Job: a.Job, Params: params, Attempt: row.Attempt, ScheduledFor: due.Format(time.RFC3339),
		CaughtUp: a.CaughtUp,
	}
	if h.Params == nil {
		h.Params = map[string]any{}
	}
	if a.Previous != nil {
		h.Previous = a.Previous.Format(time.RFC3339)
	}
	return h
}

// UniqueID is what receivers know a run by, who drop what they have done already. Its number would not do: after a failover
// that lost some of the log, or from a backup, the database gives numbers out again. The moment at which the row was
// inserted stays with it over all attempts, and is another one for the next of that number.
func UniqueID(row *rivertype.JobRow) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %d %s", row.ID, row.CreatedAt.UnixMicro(), row.Kind))
	sum[6] = sum[6]&0x0f | 0x80 // a UUID of version 8, which is whatever its maker likes
	sum[8] = sum[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// Jobs finds the definition of a configured job.
type Jobs func(name string) (*config.Job, bool)

// Clock tells the time by which jobs are due: the database's, since machines disagree. Nil is this machine's.
type Clock func() time.Time

func (c Clock) Now() time.Time {
	if c == nil {
		return time.Now()
	}
	return c()
}

// unknownPause is how long a job that is unknown here waits for another worker, unless the client has a plugin that knows better.
const unknownPause = 5 * time.Second

// UnknownJobError is what an attempt ends with whose job is not in the configuration of its worker: the definition may have reached
// the database before it reached this process. To River it is a snooze.
type UnknownJobError struct {
	Job  string
	Kind string // as the configuration has it
}

func (e *UnknownJobError) Error() string {
	return fmt.Sprintf("job %q of kind %s is not in this worker's configuration", e.Job, e.Kind)
}

func (e *UnknownJobError) Unwrap() error { return river.JobSnooze(unknownPause) }

// Find returns the definition of a job of that kind, or what Work must return without one.
func (jobs Jobs) Find(name, kind string) (*config.Job, error) {
	if def, ok := jobs(name); ok && def.Kind == kind {
		return def, nil
	}
	return nil, &UnknownJobError{Job: name, Kind: kind}
}

// Due is when the run was due: what its start says, or when it was started.
func (a Args) Due(row *rivertype.JobRow, zone *time.Location) time.Time {
	if a.ScheduledFor != nil {
		return *a.ScheduledFor
	}
	return row.CreatedAt.In(zone)
}
