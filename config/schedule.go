package config

import (
	"encoding/json"
	"time"
)

// What happens to ticks of a [Schedule] that came due while nobody was there to start them.
const (
	CatchUpLatest = "latest" // one run for the newest of them
	CatchUpAll    = "all"    // one run for each
	CatchUpNone   = "none"   // nothing
)

// What a tick of a [Schedule] does while a run of its job is live.
const (
	OverlapSkip  = "skip"  // nothing
	OverlapQueue = "queue" // it waits for the run to end; one tick may wait
	OverlapAllow = "allow" // it starts another run
)

// Schedule starts a job again and again. Exactly one of Cron and Every is set.
type Schedule struct {
	Name string
	Job  string // name of one of Config.Jobs, of any kind but import

	Cron     string        // five fields, or @daily and the like
	Every    time.Duration // whole seconds, 1s to 366d
	Timezone string        // IANA name, in which Cron is read

	CatchUp       string        // CatchUpLatest, CatchUpAll or CatchUpNone
	CatchUpWindow time.Duration // how old a tick may be to be caught up; at least a minute
	Overlap       string        // OverlapSkip, OverlapQueue or OverlapAllow; not the last for a job that is unique
	Jitter        time.Duration // each run begins up to this much after its tick

	// Params is what each run is given: a JSON object that the job takes, or nil.
	Params json.RawMessage
}
