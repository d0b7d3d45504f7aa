package batch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// inOrder is a start among the runs of its job that follow one another, each changing what the one before left.
type inOrder struct {
	ledger *Ledger
	tx     pgx.Tx
	kind   string
	opts   StartOpts
}

// orderedRun is one of the job's runs, newest first.
type orderedRun struct {
	ID       int64
	Status   Status
	Identity []byte
	Started  *time.Time
	Live     bool
}

// find returns the newest run if it stands in for a new one, and otherwise the identity of the new one.
func (o *inOrder) find(ctx context.Context) (*Started, []byte, error) {
	last, err := o.last(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("start %s: look for the last run: %w", o.opts.Job, err)
	}
	if len(last) == 0 {
		return nil, o.opts.Identity, nil
	}
	newest := last[0]
	same := bytes.Equal(newest.Identity, o.opts.Identity) || len(last) == 2 && bytes.Equal(newest.Identity, o.after(last[1].ID))
	if same && !newest.Live && o.opts.Once && (newest.Status == Succeeded || newest.Status == SucceededWithRejects) {
		same, err = o.stands(ctx, newest)
	} else {
		same = same && newest.Live
	}
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("start %s: does what run %d did still stand: %w", o.opts.Job, newest.ID, err)
	case same:
		return &Started{ID: newest.ID, Existing: true, Status: newest.Status}, nil, nil
	}
	// A live run that others have followed cannot stand in for this one, but it has the identity.
	live, err := findRun(ctx, o.tx, o.ledger.schema.SQL(`SELECT id, status FROM {tidemill}.run WHERE identity = $1 AND finished_at IS NULL`), o.opts.Identity)
	if err != nil {
		return nil, nil, fmt.Errorf("start %s: look for the same run: %w", o.opts.Job, err)
	}
	if live != nil {
		return nil, o.after(newest.ID), nil
	}
	return nil, o.opts.Identity, nil
}

// after is the identity of the same work once more, after another run that is live beside it.
func (o *inOrder) after(run int64) []byte {
	return Identity(string(o.opts.Identity), "after", strconv.FormatInt(run, 10))
}

func (o *inOrder) last(ctx context.Context) ([]orderedRun, error) {
	rows, err := o.tx.Query(ctx, o.ledger.schema.SQL(`
		SELECT id, status, identity, started_at, finished_at IS NULL FROM {tidemill}.run WHERE job = $1 AND kind = $2 ORDER BY id DESC LIMIT 2`),
		o.opts.Job, o.kind)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[orderedRun])
}

// stands reports whether nothing has changed what the newest run left: no earlier run of the job was still at work beside it, and
// the caller sees it there.
func (o *inOrder) stands(ctx context.Context, newest orderedRun) (bool, error) {
	const looked = 1000 // runs before it, which no ledger has live that long
	var beside bool
	err := o.tx.QueryRow(ctx, o.ledger.schema.SQL(`
		SELECT EXISTS (SELECT FROM (SELECT started_at, finished_at FROM {tidemill}.run WHERE job = $1 AND kind = $2 AND id < $3 ORDER BY id DESC LIMIT $4) r
		 WHERE finished_at IS NULL OR started_at IS NOT NULL AND finished_at > $5)`), o.opts.Job, o.kind, newest.ID, looked, newest.Started).Scan(&beside)
	if err != nil || beside || o.opts.Stands == nil {
		return err == nil && !beside, err
	}
	return o.opts.Stands(ctx, o.tx)
}

// startInOrder is StartTx for runs that follow one another.
func (l *Ledger) startInOrder(ctx context.Context, o *inOrder, insert func(StartOpts) (*Started, error)) (*Started, error) {
	existing, identity, err := o.find(ctx)
	if err != nil || existing != nil {
		return existing, err
	}
	opts := o.opts
	opts.Identity = identity
	if opts.Unique {
		live, err := l.findLive(ctx, o.tx, opts.Job)
		if err != nil {
			return nil, fmt.Errorf("start %s: look for the live run: %w", opts.Job, err)
		}
		if live != nil {
			return nil, &LiveError{Job: opts.Job, ID: live.ID}
		}
	}
	return insert(opts)
}

var errInOrder = errors.New("InOrder needs an Identity")
