package operate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/riverqueue/river/rivertype"

	"github.com/tidemill/tidemill/batch"
)

// Job is a River job as it is shown.
type Job struct {
	ID          int64                    `json:"id"`
	Kind        string                   `json:"kind"`
	State       rivertype.JobState       `json:"state"`
	Queue       string                   `json:"queue"`
	Priority    int                      `json:"priority"`
	Attempt     int                      `json:"attempt"`
	MaxAttempts int                      `json:"max_attempts"`
	Args        json.RawMessage          `json:"args"`
	Metadata    json.RawMessage          `json:"metadata"`
	Tags        []string                 `json:"tags"`
	Errors      []rivertype.AttemptError `json:"errors"`
	AttemptedBy []string                 `json:"attempted_by"`
	CreatedAt   time.Time                `json:"created_at"`
	ScheduledAt time.Time                `json:"scheduled_at"`
	AttemptedAt *time.Time               `json:"attempted_at"`
	FinalizedAt *time.Time               `json:"finalized_at"`
	IsRun       bool                     `json:"is_run"`
	Parent      int64                    `json:"parent,omitempty"` // the run that enqueued it
	Run         *batch.Info              `json:"run,omitempty"`    // by GetJob only
	Waits       string                   `json:"waits,omitempty"`  // as of a run; by GetJob only
}

func newJob(row *rivertype.JobRow) *Job {
	metadata, parent, isRun := publicMetadata(row.Metadata)
	return &Job{
		ID: row.ID, Kind: row.Kind, State: row.State, Queue: row.Queue, Priority: row.Priority,
		Attempt: row.Attempt, MaxAttempts: row.MaxAttempts, Args: row.EncodedArgs, Metadata: metadata,
		Tags: orEmpty(row.Tags), Errors: orEmpty(row.Errors), AttemptedBy: orEmpty(row.AttemptedBy),
		CreatedAt: row.CreatedAt, ScheduledAt: row.ScheduledAt, AttemptedAt: row.AttemptedAt, FinalizedAt: row.FinalizedAt,
		IsRun: isRun, Parent: parent,
	}
}

// orEmpty makes JSON say [] instead of null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// publicMetadata leaves out the key that marks a job as ours, and reports which run enqueued it, 0 if none did, and whether it
// has one itself.
func publicMetadata(raw []byte) (public json.RawMessage, parent int64, isRun bool) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(raw, &all); err != nil {
		return raw, 0, false // not an object: somebody else's, shown as it is
	}
	mark, marked := all["tidemill"]
	if !marked {
		return raw, 0, false
	}
	var ours struct {
		Parent int64
		Run    bool
	}
	isRun = json.Unmarshal(mark, &ours) != nil || ours.Parent == 0 || ours.Run
	delete(all, "tidemill")
	public, err := json.Marshal(all)
	if err != nil {
		return raw, ours.Parent, isRun
	}
	return public, ours.Parent, isRun
}

// NoJobError is the error for a job that is not there.
type NoJobError struct {
	ID     int64
	HasRun bool // the ledger outlives River's jobs: its run is there
}

func (e *NoJobError) Error() string { return fmt.Sprintf("job %d: no such job", e.ID) }

// GetJob returns one job with its run, if it has one; a *NoJobError if it is not there.
func GetJob(ctx context.Context, c *Cluster, id int64) (*Job, error) {
	row, err := c.Client.JobGet(ctx, id)
	if errors.Is(err, rivertype.ErrNotFound) {
		_, err := c.Ledger.Get(ctx, id)
		return nil, &NoJobError{ID: id, HasRun: err == nil}
	}
	if err != nil {
		return nil, fmt.Errorf("read job %d: %w", id, err)
	}
	found := newJob(row)
	if !found.IsRun {
		return found, nil
	}
	found.Run, err = c.Ledger.Get(ctx, id)
	if err != nil && !errors.Is(err, batch.ErrNoRun) {
		return nil, err
	}
	if found.Run != nil && found.Run.Waits != nil {
		found.Waits = *found.Run.Waits
	}
	return found, nil
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(line)
}
