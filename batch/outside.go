package batch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// OutsideOpts says how Begin enters a run of code that Tidemill does not run.
type OutsideOpts struct {
	Metadata any           // a JSON object for people to see; nil for none
	Timeout  time.Duration // after which a run that has not ended is taken for lost and failed; default 24 hours
}

// triggerOutside is the trigger of runs that are not ours to work.
const triggerOutside = "outside"

// Outside is a run in the ledger of code that runs elsewhere: a cron script, a task of another system. It has no River job,
// and its end is what the code says, or its timeout. The SQL functions run_begin, run_finish and run_fail are the same for
// other languages.
type Outside struct {
	// ID is that of the run.
	ID     int64
	ledger *Ledger
}

// Begin enters a run of that name. It is visible to others at once, whatever transaction the work itself uses.
func (l *Ledger) Begin(ctx context.Context, name string, opts OutsideOpts) (*Outside, error) {
	if opts.Timeout == 0 {
		opts.Timeout = 24 * time.Hour
	}
	metadata := []byte("{}")
	if opts.Metadata != nil {
		var err error
		if metadata, err = l.storableJSON(ctx, opts.Metadata); err != nil {
			return nil, fmt.Errorf("begin run %s: metadata: %w", name, err)
		}
	}
	o := &Outside{ledger: l}
	err := l.pool.QueryRow(ctx, l.schema.SQL(`SELECT {tidemill}.run_begin($1, $2, $3)`), name, json.RawMessage(metadata), opts.Timeout).Scan(&o.ID)
	if err != nil {
		return nil, fmt.Errorf("begin run %s: %w", name, err)
	}
	return o, nil
}

// Finish says that the run has succeeded; result is kept for people to see, nil for none. Saying it again does nothing.
func (o *Outside) Finish(ctx context.Context, result any) error {
	encoded, err := o.ledger.optionalJSON(ctx, result)
	if err != nil {
		return fmt.Errorf("finish run %d: result: %w", o.ID, err)
	}
	if _, err := o.ledger.pool.Exec(ctx, o.ledger.schema.SQL(`SELECT {tidemill}.run_finish($1, $2)`), o.ID, encoded); err != nil {
		return fmt.Errorf("finish run %d: %w", o.ID, err)
	}
	return nil
}

// Fail says that the run has failed, and why.
func (o *Outside) Fail(ctx context.Context, reason error, result any) error {
	if reason == nil {
		reason = errors.New("no reason was given")
	}
	encoded, err := o.ledger.optionalJSON(ctx, result)
	if err != nil {
		return fmt.Errorf("fail run %d: result: %w", o.ID, err)
	}
	_, err = o.ledger.pool.Exec(ctx, o.ledger.schema.SQL(`SELECT {tidemill}.run_fail($1, $2, $3)`), o.ID, o.ledger.storable(ctx, reason.Error()), encoded)
	if err != nil {
		return fmt.Errorf("fail run %d: %w", o.ID, err)
	}
	return nil
}

func (l *Ledger) optionalJSON(ctx context.Context, value any) (any, error) {
	if value == nil {
		return nil, nil
	}
	return l.storableJSON(ctx, value)
}
