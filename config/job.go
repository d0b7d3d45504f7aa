package config

import (
	"encoding/json"
	"time"
)

// Job is a named definition of work.
type Job struct {
	Name     string
	Kind     string // a built-in kind, or the River kind of a worker of the user's own program
	Queue    string // one of Config.Queues
	Priority int    // 1 to 4, 1 first
	Retry    Retry
	// OwnDelays tells that the job itself says something about the delays between its
	// attempts (backoff, delay, max_delay or jitter): only then do they go before those
	// that the program gave to the kind.
	OwnDelays bool
	Retention Retention
	Unique    bool // one live run at a time
	// Stall is how long a job that works in chunks may be without committing one; then the attempt has failed. Only
	// imports and kinds of the user's own have it.
	Stall time.Duration

	// Schedule is the one that is in the job, nil if there is none. It is in Config.Schedules too.
	Schedule *Schedule

	// Params are declared in the order of the file. Nil: a start may give any; empty, but not nil: none. See ResolveParams.
	Params []Param

	Then Then // what follows its runs

	Spec Spec            // of a built-in kind: what the job does, of the type that the kind has; nil for others
	Args json.RawMessage // of a kind of the user's own: a JSON object
}
