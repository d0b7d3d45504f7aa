package retry

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// PluginOpts configures a Plugin. The zero value is ready.
type PluginOpts struct {
	// Default is for jobs that have no policy of their own and whose worker has no NextRetry.
	Default Policy
	// Own returns the policy that a job has of its own, if it has one. It is called from several goroutines.
	Own func(*rivertype.JobRow) (Policy, bool)
	// Clock is what due times are counted from; default time.Now. Where machines disagree about the time, let it be the
	// database's, and River's, too.
	Clock func() time.Time
}

// Plugin brings policies and marked errors to the jobs of a River client. Give it to the client twice:
//
//	retries := retry.NewPlugin(retry.PluginOpts{Default: policy})
//	river.Config{Plugins: []rivertype.Plugin{retries}, RetryPolicy: retries, …}
//
// A job whose worker returns an error marked Permanent is discarded at once. For the others the first of these decides when
// to try again:
//
//  1. the job's own policy, from PluginOpts.Own
//  2. the worker's NextRetry
//  3. PluginOpts.Default
//
// A delay asked for by After takes the place of the policy's. A NextRetry that is not written with Policy.Next goes before
// all of this: River asks it first, and nobody else unless it returns the zero time.
type Plugin struct {
	river.PluginDefaults

	opts PluginOpts
}

var (
	_ river.ClientRetryPolicy    = (*Plugin)(nil)
	_ rivertype.Plugin           = (*Plugin)(nil)
	_ rivertype.WorkerMiddleware = (*Plugin)(nil)
)

// NewPlugin returns a Plugin.
func NewPlugin(opts PluginOpts) *Plugin { return &Plugin{opts: opts} }

// Work notes on the job's row what NextRetry must know; River calls it around each attempt.
func (p *Plugin) Work(ctx context.Context, job *rivertype.JobRow, doInner func(context.Context) error) (err error) {
	ended := false
	defer func() {
		if ended && err == nil {
			return
		}
		var n note // of a panic, too
		n.Policy = p.own(job)
		n.After, _ = Hint(err)
		n.Ahead = p.ahead()
		n.write(job)
		if IsPermanent(err) {
			job.MaxAttempts = job.Attempt // River discards a job whose attempt was its last
		}
	}()
	err = doInner(ctx)
	ended = true
	return err
}

// NextRetry is River's question for jobs whose worker does not answer it.
func (p *Plugin) NextRetry(job *rivertype.JobRow) time.Time {
	n := readNote(job)
	n.Policy, n.Ahead = p.own(job), p.ahead() // noted already, unless no attempt got as far as Work
	return p.opts.Default.next(job.Attempt, n)
}

// ahead is how far the clock of due times is ahead of this machine's. A millisecond counts: River takes a due time that is
// past for a mistake, and follows a policy of its own instead.
func (p *Plugin) ahead() time.Duration {
	if p.opts.Clock == nil {
		return 0
	}
	return p.opts.Clock().Sub(time.Now().Round(0))
}

func (p *Plugin) own(job *rivertype.JobRow) *Policy {
	if p.opts.Own == nil {
		return nil
	}
	own, ok := p.opts.Own(job)
	if !ok {
		return nil
	}
	return &own
}

// note is what Work has to say to Next. River calls them one after the other with the same row and with nothing else in
// common, so it is written into the metadata of the row in memory; the database never sees it.
type note struct {
	Policy *Policy       `json:"policy,omitempty"`
	After  time.Duration `json:"after,omitempty"` // nanoseconds
	Ahead  time.Duration `json:"ahead,omitempty"` // of the clock of due times before this machine's
}

const noteKey = "tidemill_retry"

// write puts n in place of any earlier note. Metadata that is no object stays as it is, without a note.
func (n note) write(job *rivertype.JobRow) {
	noted := bytes.Contains(job.Metadata, []byte(noteKey))
	if n == (note{}) && !noted {
		return
	}
	all := map[string]json.RawMessage{}
	if len(job.Metadata) > 0 && json.Unmarshal(job.Metadata, &all) != nil || all == nil {
		return
	}
	value, err := json.Marshal(n)
	if err != nil {
		return
	}
	all[noteKey] = value
	if metadata, err := json.Marshal(all); err == nil {
		job.Metadata = metadata
	}
}

func readNote(job *rivertype.JobRow) note {
	if !bytes.Contains(job.Metadata, []byte(noteKey)) {
		return note{}
	}
	var all struct {
		Note note `json:"tidemill_retry"`
	}
	if json.Unmarshal(job.Metadata, &all) != nil {
		return note{}
	}
	return all.Note
}
