package kind

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/config/field"
)

// RiverPrefix begins the names of the kinds where River has them, so that they never meet those of a user's program.
const RiverPrefix = "tidemill."

// Kind is what a kind of job brings: its fields in tidemill.yaml, its workers, and how people see it. Only [config.Kind] and
// Register are required.
type Kind struct {
	config.Kind

	// Register adds the workers of the kind. It is called once, and only if a job of the configuration is of the kind.
	Register func(context.Context, *river.Workers, *Deps) error

	// RiverKinds are the names under which River knows the workers; default [RiverPrefix] and the name. A start of a job inserts the
	// last one.
	RiverKinds []string

	// CheckLive checks a job against the live database for "config check". It returns what is wrong with the job; the error is about the
	// check itself.
	CheckLive func(context.Context, *pgxpool.Pool, *config.Config, *config.Job) (field.Errors, error)

	// NotesLive returns what people should know about a job that CheckLive found nothing wrong with.
	NotesLive func(context.Context, *pgxpool.Pool, *config.Job) ([]string, error)

	// Describe says what people want to know of a run beyond its counters. The run may be live.
	Describe func(*batch.Info) Description

	// DryRun says what a run would do now, and does nothing.
	DryRun func(context.Context, *pgxpool.Pool, *config.Config, *config.Job, time.Time) (*Report, error)

	// Loop works beside the jobs until ctx ends, in each worker whose configuration has a job of the kind.
	Loop func(context.Context, *Deps)

	// Demo are the fields of a job, in YAML on one line such as {seconds: 2}, that "demo" runs; empty: none.
	Demo string

	Input  *Input  // of a kind whose jobs take a file
	Output *Output // of a kind whose runs write a file
	Mail   *Mail   // of a kind that sends mail
}

// River returns the names under which River knows the workers.
func (k Kind) River() []string {
	if len(k.RiverKinds) == 0 {
		return []string{RiverPrefix + k.Name}
	}
	return k.RiverKinds
}

// Find returns the kind of that name, as the configuration has it.
func Find(kinds []Kind, name string) (Kind, bool) {
	return find(kinds, func(k Kind) bool { return k.Name == name })
}

// FindRiver returns the kind that River knows by that name, as a run has it.
func FindRiver(kinds []Kind, name string) (Kind, bool) {
	return find(kinds, func(k Kind) bool { return slices.Contains(k.River(), name) })
}

func find(kinds []Kind, is func(Kind) bool) (Kind, bool) {
	if i := slices.IndexFunc(kinds, is); i >= 0 {
		return kinds[i], true
	}
	return Kind{}, false
}

// Configs are the kinds as the configuration has them, for [config.Opts].
func Configs(kinds []Kind) []config.Kind {
	out := make([]config.Kind, len(kinds))
	for i, k := range kinds {
		out[i] = k.Kind
	}
	return out
}

// Parallel is a [config.Spec] whose jobs may hold more than one connection of the pool at a time.
type Parallel interface{ Parallel() bool }

// Description is what people want to know of a run beyond its counters.
type Description struct {
	// Kept says what stays of a run that was cancelled, such as "what was written is kept".
	Kept    string
	NoRows  bool      // the run reads no rows, so that none read says nothing
	Notes   []string  // what was done to the data
	Expires time.Time // when the file of the run is deleted; zero: it has none
}

// Report is a table for people, and the same for programs.
type Report struct {
	JSON    any
	Columns []string
	// Rows have a string, an int64 or an [About] for each column.
	Rows  [][]any
	Notes []string
	Empty string // in place of a table without rows
}

// About is an estimate.
type About int64
