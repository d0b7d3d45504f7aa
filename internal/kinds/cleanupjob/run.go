package cleanupjob

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/statement"
	"github.com/tidemill/tidemill/internal/storage"
	"github.com/tidemill/tidemill/retry"
	"github.com/tidemill/tidemill/workers/kind"
)

// cleanupRun is one attempt of a clean-up.
type cleanupRun struct {
	job     *config.Job
	deps    *kind.Deps
	storage *storage.Bucket
	run     *batch.Run
	log     *slog.Logger

	cursor  cleanupCursor
	rules   []*cleanupRule
	effects [][]Effect // of each rule
}

// cleanupCursor is what is committed with each chunk.
type cleanupCursor struct {
	Definition string         `json:"definition"`
	Due        time.Time      `json:"due"` // what the rules are held against
	Counts     []cleanupCount `json:"counts"`
	Rule       int            `json:"rule"`            // that is followed; after the last one the spans are looked at again
	Part       uint32         `json:"part,omitempty"`  // of its table
	Place      *cleanupPlace  `json:"place,omitempty"` // within the part; nil: not begun
	Spans      []cleanupSpan  `json:"spans,omitempty"`
	Size       int            `json:"size"` // rows of the next chunk
	Statements int64          `json:"statements"`
	Longest    time.Duration  `json:"longest"` // of the statements
	Files      int64          `json:"files,omitempty"`
	Bytes      int64          `json:"bytes,omitempty"`
}

// cleanupCount is what became of the rows of one rule so far.
type cleanupCount struct {
	Deleted int64  `json:"deleted"`
	Kept    int64  `json:"kept,omitempty"`
	Skipped int64  `json:"skipped,omitempty"`
	Why     string `json:"why,omitempty"`
}

func (c cleanupCursor) clone() cleanupCursor {
	c.Counts, c.Spans = slices.Clone(c.Counts), slices.Clone(c.Spans)
	return c
}

func (c *cleanupRun) work(ctx context.Context, due time.Time) error {
	if err := c.begin(ctx, due); err != nil {
		return err
	}
	for c.cursor.Rule < len(c.rules) {
		rule := c.rules[c.cursor.Rule]
		for _, part := range rule.parts {
			if part.oid < c.cursor.Part {
				continue
			}
			if err := c.walkPart(ctx, rule, part); err != nil {
				return err
			}
			c.cursor.Part, c.cursor.Place = part.oid+1, nil
		}
		c.cursor.Rule, c.cursor.Part, c.cursor.Place = c.cursor.Rule+1, 0, nil
	}
	for len(c.cursor.Spans) > 0 {
		if err := c.walkSpan(ctx, c.cursor.Spans[0]); err != nil {
			return err
		}
	}
	return c.run.Finish(ctx, batch.Finish{Result: c.result()})
}

// begin reads the cursor and looks at all tables, so that what is wrong with one is known before anything is deleted.
func (c *cleanupRun) begin(ctx context.Context, due time.Time) error {
	def := c.job.Spec.(*Config)
	found, err := c.run.Cursor(&c.cursor)
	if err != nil {
		return retry.Permanent(err)
	}
	if found && c.cursor.Definition != c.job.Hash() {
		return kind.Changed(c.job)
	}
	if !found {
		// Rows must not go early because a start named a time to come.
		if err := c.deps.Pool.QueryRow(ctx, `SELECT least($1::timestamptz, now())`, due).Scan(&due); err != nil {
			return err
		}
		c.cursor = cleanupCursor{Definition: c.job.Hash(), Due: due, Counts: make([]cleanupCount, len(def.Rules)), Size: def.Batch}
	}
	c.cursor.Size = min(c.cursor.Size, def.MaxBatch)
	if c.rules, err = describeCleanupRules(ctx, c.deps.Pool, def, c.cursor.Due, c.deps.Location); err != nil {
		return cleanupError(err)
	}
	c.effects = make([][]Effect, len(c.rules))
	for i, rule := range c.rules {
		if problems := rule.unindexed(); len(problems) > 0 && !def.AllowSeqScan {
			return cleanupError(problems[0])
		}
		if c.effects[i], err = rule.effects(ctx, c.deps.Pool); err != nil {
			return fmt.Errorf("rule %d: look for foreign keys that cascade: %w", i+1, err)
		}
	}
	if found {
		return nil
	}
	for _, rule := range c.rules {
		for _, part := range rule.parts {
			if _, err := c.plan(ctx, rule, part); err != nil {
				return err
			}
		}
	}
	return nil
}

// cleanupError marks what no other try fixes.
func cleanupError(err error) error {
	var problem *cleanupProblem
	if errors.As(err, &problem) || batch.Classify(err) == batch.Config {
		return retry.Permanent(err)
	}
	return err
}

// walkPart goes through a part from the cursor's place to its end.
func (c *cleanupRun) walkPart(ctx context.Context, rule *cleanupRule, part cleanupPart) error {
	walk, err := c.plan(ctx, rule, part)
	if err != nil || walk == nil {
		return err
	}
	from := cleanupPlace{}
	// An index may have come or gone since the place was written; the two kinds of place mean nothing to each other.
	if place := c.cursor.Place; place != nil && c.cursor.Part == part.oid && (place.At == "") == walk.byBlocks() {
		from = *place
	}
	from, found, err := walk.seek(ctx, c.deps.Pool, from)
	if err != nil || !found {
		return err
	}
	return c.walk(ctx, &cleanupStretch{walk: walk, from: from, rule: c.cursor.Rule})
}

// walkSpan looks again at what was passed over, for the last time.
func (c *cleanupRun) walkSpan(ctx context.Context, span cleanupSpan) error {
	drop := func() { c.cursor.Spans = slices.Delete(c.cursor.Spans, 0, 1) }
	rule := c.rules[span.Rule]
	i := slices.IndexFunc(rule.parts, func(p cleanupPart) bool { return p.oid == span.Part })
	if i < 0 {
		drop() // with its table
		return nil
	}
	walk, err := c.plan(ctx, rule, rule.parts[i])
	if err != nil {
		return err
	}
	if walk == nil || (span.To.At == "") != walk.byBlocks() {
		drop() // the next run meets these rows again
		return nil
	}
	if err := c.walk(ctx, &cleanupStretch{walk: walk, from: span.From, until: &span.To, rule: span.Rule, again: true}); err != nil {
		return err
	}
	drop()
	return nil
}

// plan is planCleanup with its refusal; nil for a part that is gone.
func (c *cleanupRun) plan(ctx context.Context, rule *cleanupRule, part cleanupPart) (*cleanupWalk, error) {
	walk, err := planCleanup(ctx, c.deps.Pool, rule, part)
	switch {
	case statement.Code(err) == undefinedTable && c.gone(ctx, part):
		return nil, nil
	case err != nil:
		return nil, cleanupError(fmt.Errorf("table %s: %w", rule.Table, err))
	case walk.byBlocks() && !c.job.Spec.(*Config).AllowSeqScan:
		return nil, retry.Permanent(walk.noIndex())
	}
	return walk, nil
}

const undefinedTable = "42P01"

// gone reports whether a part was dropped, as old partitions are.
func (c *cleanupRun) gone(ctx context.Context, part cleanupPart) bool {
	var there bool
	err := c.deps.Pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_class WHERE oid = $1)`, part.oid).Scan(&there)
	return err == nil && !there
}

// cleanupStretch is what one walk is to go through.
type cleanupStretch struct {
	walk  *cleanupWalk
	from  cleanupPlace
	until *cleanupPlace // nil: to the end of the part
	rule  int
	again bool // it was walked before; what cannot be deleted now is not looked at another time
}

// walk commits chunk after chunk until the stretch is done.
func (c *cleanupRun) walk(ctx context.Context, s *cleanupStretch) error {
	size := c.cursor.Size
	for sought := ""; ; {
		part, err := c.chunk(ctx, s, size)
		if err != nil && kind.IsStop(err) {
			c.committed(part)
			return err
		}
		var smaller *smallerError
		switch {
		case err == nil:
		case errors.As(err, &smaller) && smaller.size < size:
			c.log.DebugContext(ctx, "clean-up continues with fewer rows", "table", s.walk.part.ident, "rows", smaller.size, "error", smaller.err)
			size = smaller.size
			continue
		case statement.Code(err) == statement.QueryCanceled && ctx.Err() == nil && size > 1:
			size /= 2
			continue
		case statement.Code(err) == statement.QueryCanceled && ctx.Err() == nil && sought != s.from.At && !s.walk.byBlocks():
			// Even one row takes too long to find: dead ones are in the way.
			sought = s.from.At
			from, found, err := s.walk.seek(ctx, c.deps.Pool, s.from)
			if err != nil || !found {
				return err
			}
			s.from = from
			continue
		case statement.Code(err) == statement.QueryCanceled && ctx.Err() == nil:
			return fmt.Errorf("table %s: the next row is not found within statement_timeout %s; VACUUM the table, and look for transactions that were left open: %w",
				s.walk.rule.Table, c.job.Spec.(*Config).StatementTimeout, err)
		case statement.Code(err) == undefinedTable && c.gone(ctx, s.walk.part):
			return nil
		default:
			return cleanupError(fmt.Errorf("table %s: %w", s.walk.rule.Table, err))
		}
		c.committed(part)
		s.from, size = part.found.next, part.cursor.Size
		if part.found.end {
			return nil
		}
		if err := rest(ctx, time.Duration(float64(part.took)*c.job.Spec.(*Config).Pause)); err != nil {
			return err
		}
	}
}

func (c *cleanupRun) committed(part *cleanupChunk) {
	if part.cursor.Definition == "" { // the run was to stop before it did anything
		return
	}
	c.cursor = part.cursor
	c.deps.OnChunk(c.job.Name, part.counters)
}

// rest leaves time to others.
func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *cleanupRun) result() Result {
	r := Result{
		Rules: make([]RuleResult, len(c.rules)), Statements: c.cursor.Statements,
		LongestMS: float64(c.cursor.Longest.Microseconds()) / 1000,
	}
	for i, rule := range c.rules {
		count := c.cursor.Counts[i]
		r.Rules[i] = RuleResult{
			Table: rule.Table.String(), Column: rule.Column, Before: rule.cutoff,
			Deleted: count.Deleted, Kept: count.Kept, Skipped: count.Skipped, Why: count.Why, Effects: c.effects[i],
		}
	}
	if c.cursor.Files > 0 {
		r.Archive = &Archive{Folder: c.folder(), Files: c.cursor.Files, Bytes: c.cursor.Bytes}
	}
	return r
}
