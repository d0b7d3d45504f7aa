package emailjob

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/rivertype"

	"github.com/tidemill/tidemill/migrations"
	"github.com/tidemill/tidemill/retry"
)

// The states of a claim; the migration says what they mean.
const (
	claimSending  = "sending"
	claimSent     = "sent"
	claimRefused  = "refused"
	claimDeferred = "deferred"
	claimUnknown  = "unknown"
)

// settleTimeout bounds the writing of what became of a mail, which is tried even when the attempt's time is up.
const settleTimeout = 10 * time.Second

// claim is what is known about a recipient.
type claim struct {
	run       int64
	state     string
	tries     int
	ended     *int
	messageID string
	detail    string
	firstAt   time.Time
}

// waived tells that a person, by retrying a run that had ended, took the risk of a second mail, or wants another try after
// a refusal. The attempt that ended the run may itself come again, when its process died before it could say so.
func (c claim) waived(job *rivertype.JobRow) bool {
	return c.run != job.ID || c.ended != nil && *c.ended < job.Attempt
}

// claims are the rows of message_claim.
type claims struct {
	pool   *pgxpool.Pool
	schema migrations.Schema
}

// load returns the key of a run's mail and what is known of its recipients. A run that takes the place of a failed one,
// whose River job was cleaned away, has the key of that one.
func (s *claims) load(ctx context.Context, run int64) (int64, map[string]claim, error) {
	key := run
	err := s.pool.QueryRow(ctx, s.schema.SQL(`
		WITH RECURSIVE chain (id, before) AS (
			SELECT id, retry_of FROM {tidemill}.run WHERE id = $1
			UNION ALL
			SELECT r.id, r.retry_of FROM chain c JOIN {tidemill}.run r ON r.id = c.before AND r.id < c.id
			 WHERE r.status IN ('failed', 'cancelled'))
		SELECT coalesce(min(id), $1) FROM chain`), run).Scan(&key)
	if err != nil {
		return 0, nil, fmt.Errorf("look for the run that this one resumes from: %w", err)
	}
	rows, err := s.pool.Query(ctx, s.schema.SQL(`
		SELECT recipient, run, state, tries, ended, message_id, coalesce(detail, ''), first_at
		  FROM {tidemill}.message_claim WHERE key = $1`), claimKey(key))
	if err != nil {
		return 0, nil, fmt.Errorf("read what was sent: %w", err)
	}
	found := map[string]claim{}
	var recipient string
	var c claim
	_, err = pgx.ForEachRow(rows, []any{&recipient, &c.run, &c.state, &c.tries, &c.ended, &c.messageID, &c.detail, &c.firstAt}, func() error {
		found[recipient] = c
		return nil
	})
	if err != nil {
		return 0, nil, fmt.Errorf("read what was sent: %w", err)
	}
	return key, found, nil
}

func claimKey(run int64) string { return strconv.FormatInt(run, 10) }

// errTaken is a claim that somebody else has changed: two attempts of one run are at work, and this one is the older.
var errTaken = errors.New("another attempt of this run is sending to the same recipient")

// put writes the state of a recipient in seen, the zero claim if there is none. sending counts a try; the others
// may be written by whoever made the last one, however late.
func (s *claims) put(ctx context.Context, key int64, recipient string, seen, next claim) (claim, error) {
	next.tries = seen.tries
	if next.state == claimSending {
		next.tries++
	}
	tag, err := s.pool.Exec(ctx, s.schema.SQL(`
		INSERT INTO {tidemill}.message_claim AS c (key, recipient, run, state, tries, message_id, detail, first_at)
		VALUES ($1, $2, $3, $4, $5, $6, nullif($7, ''), $8)
		ON CONFLICT (key, recipient) DO UPDATE
		   SET run = excluded.run, state = excluded.state, tries = excluded.tries, ended = NULL, detail = excluded.detail, updated_at = now()
		 WHERE c.tries = $9 AND (c.state <> 'sent' OR excluded.state = 'sent')`),
		claimKey(key), recipient, next.run, next.state, next.tries, next.messageID, next.detail, next.firstAt, seen.tries)
	if err != nil {
		return claim{}, fmt.Errorf("note that the mail to %s is %s: %w", recipient, next.state, err)
	}
	if tag.RowsAffected() == 0 {
		return claim{}, fmt.Errorf("mail to %s: %w", recipient, errTaken)
	}
	return next, nil
}

// settle is put for what the server has said, which no end of the attempt must lose: it would be unknown ever after.
func (s *claims) settle(ctx context.Context, key int64, recipient string, seen, next claim) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	policy := retry.Policy{MaxAttempts: 10, Delay: 200 * time.Millisecond, MaxDelay: 2 * time.Second}
	_, err := retry.Do(ctx, policy, func(ctx context.Context, _ int) (claim, error) {
		settled, err := s.put(ctx, key, recipient, seen, next)
		if errors.Is(err, errTaken) {
			return claim{}, retry.Permanent(err)
		}
		return settled, err
	})
	return err
}

// end notes with which attempt the run has ended: a later one is a person's wish.
func (s *claims) end(ctx context.Context, key int64, job *rivertype.JobRow) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	_, err := s.pool.Exec(ctx, s.schema.SQL(`
		UPDATE {tidemill}.message_claim SET ended = $3
		 WHERE key = $1 AND run = $2 AND state NOT IN ('sent', 'sending')`), claimKey(key), job.ID, job.Attempt)
	if err != nil {
		return fmt.Errorf("note the end of the run: %w", err)
	}
	return nil
}
