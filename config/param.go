package config

import "encoding/json"

// The types of a [Param].
const (
	TextParam      = "text"
	IntegerParam   = "integer"
	NumberParam    = "number"
	BooleanParam   = "boolean"
	DateParam      = "date"      // 2006-01-02
	TimestampParam = "timestamp" // RFC 3339
	UUIDParam      = "uuid"
	JSONParam      = "json"
)

// ScheduledFor is the default of a date or timestamp that is the due time of the run.
const ScheduledFor = "scheduled_for"

// Param is a declared param of a job.
type Param struct {
	Name string
	Type string
	Doc  string
	// Default is the JSON of the value for a start that gives none, or the JSON text of ScheduledFor; null is no value;
	// nil: the param must be given.
	Default json.RawMessage
}
