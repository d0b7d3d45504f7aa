package migrations

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Status is what a database has and what it lacks.
type Status struct {
	Steps        []Step
	RiverVersion int // highest applied migration of River
	RiverLatest  int // highest migration of River that this version brings
}

// Current reports whether nothing is pending.
func (s *Status) Current() bool { return s.RiverVersion >= s.RiverLatest && len(s.Pending()) == 0 }

// Pending are our steps that are not applied yet, in order.
func (s *Status) Pending() []Step {
	var pending []Step
	for _, step := range s.Steps {
		if step.AppliedAt.IsZero() {
			pending = append(pending, step)
		}
	}
	return pending
}

// ErrPending is wrapped by what Check returns for a database that lacks migrations.
var ErrPending = errors.New("the database lacks migrations")

func (s *Status) pendingError() error {
	var missing []string
	if s.RiverVersion < s.RiverLatest {
		missing = append(missing, fmt.Sprintf("River's %d to %d", s.RiverVersion+1, s.RiverLatest))
	}
	for _, step := range s.Pending() {
		missing = append(missing, step.String())
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrPending, strings.Join(missing, ", "))
}

// String is the name of the step's files.
func (s Step) String() string { return fmt.Sprintf("%03d_%s", s.Version, s.Name) }

// Locks are the tables, as people write them, that are locked while the step is applied, in that order.
func (s Step) Locks(schema Schema) []string {
	schema = schema.Defaults()
	names := strings.NewReplacer("{tidemill}", schema.Name, "{river}", schema.River)
	tables := []string{}
	for _, lock := range locksOf(s.up) {
		tables = append(tables, names.Replace(lock.Table))
	}
	return tables
}

// UnreleasedError is returned for a schema that was made by a version from before the first release. Its migrations had other
// numbers, and nothing leads from them to these.
type UnreleasedError struct {
	Schema Schema
	Step   Step // the one that no version knows which was released
}

func (e *UnreleasedError) Error() string {
	what := "its runs, jobs and schedules"
	if e.Schema.River != e.Schema.Name {
		what = "its runs and schedules"
	}
	return fmt.Sprintf("schema %s has migration %s of a version that was never released, and cannot be brought up to date; "+
		"delete it, with %s: DROP SCHEMA %s CASCADE; then run: tidemill migrate up",
		e.Schema.Name, e.Step, what, pgx.Identifier{e.Schema.Name}.Sanitize())
}

// unreleased compares the names of steps: numbers alone do not tell the old ones from ours.
func (m *migrator) unreleased(steps []Step, applied map[int]Step) error {
	for _, step := range steps {
		if was, ok := applied[step.Version]; ok && was.Name != step.Name {
			return &UnreleasedError{Schema: m.schema, Step: was}
		}
	}
	return nil
}
