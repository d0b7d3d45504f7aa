package cleanupjob

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/batch"
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/config/field"
	"github.com/tidemill/tidemill/internal/statement"
)

// CheckLive holds the rules of a job against the live database: tables, columns and their types, indexes, and whether
// conditions can be read. The error is about the check itself.
func CheckLive(ctx context.Context, pool *pgxpool.Pool, cfg *config.Config, job *config.Job) (field.Errors, error) {
	var now time.Time
	if err := pool.QueryRow(ctx, "SELECT now()").Scan(&now); err != nil {
		return nil, fmt.Errorf("ask for the database's time: %w", err)
	}
	var problems []*field.Error
	var described []*cleanupRule // those before
	for i, rule := range job.Spec.(*Config).Rules {
		found, err := checkCleanupRule(ctx, pool, job.Spec.(*Config), rule, &described, now, cfg.Location())
		if err != nil {
			return nil, err
		}
		for _, problem := range found {
			at := []string{"jobs", job.Name, "rules", "[" + strconv.Itoa(i) + "]", problem.field}
			problems = append(problems, cfg.Errorf(at, problem.hint, "%s", problem.message))
		}
	}
	if job.Spec.(*Config).Archive != ArchiveNone && cfg.Storage.URL == "" {
		problems = append(problems, cfg.Errorf([]string{"jobs", job.Name, "archive"}, "add storage: {url: \"file:///var/lib/tidemill\"}", "needs storage.url"))
	}
	return problems, nil
}

// checkCleanupRule returns all that is wrong with a rule: whoever makes one missing index wants to know of the others.
func checkCleanupRule(ctx context.Context, pool *pgxpool.Pool, def *Config, rule Rule, earlier *[]*cleanupRule, now time.Time, zone *time.Location) ([]*cleanupProblem, error) {
	described, err := describeCleanup(ctx, pool, rule, now, zone)
	if err != nil {
		return asCleanupProblem(nil, err)
	}
	before := *earlier
	*earlier = append(before, described)
	var problems []*cleanupProblem
	if def.Archive != ArchiveNone {
		err = described.archive(ctx, pool, before)
	}
	refused := err != nil
	if refused {
		if problems, err = asCleanupProblem(nil, err); err != nil {
			return nil, err
		}
	}
	if !def.AllowSeqScan {
		problems = append(problems, described.unindexed()...)
	}
	for _, part := range described.parts {
		walk, err := planCleanup(ctx, pool, described, part)
		if err != nil {
			return asCleanupProblem(problems, err) // about the rule, so that other parts would only repeat it
		}
		if walk.byBlocks() && !def.AllowSeqScan {
			problems = append(problems, walk.noIndex())
		}
		if refused {
			continue // the statement would say so again
		}
		// The whole statement is prepared, with foreign keys and all.
		if err := walk.prepare(ctx, pool); err != nil {
			return asCleanupProblem(problems, err)
		}
	}
	return problems, nil
}

// asCleanupProblem adds what the server says of the rule in err to the problems.
func asCleanupProblem(problems []*cleanupProblem, err error) ([]*cleanupProblem, error) {
	var problem *cleanupProblem
	switch {
	case errors.As(err, &problem):
		return append(problems, problem), nil
	case statement.Code(err) == insufficientPrivilege:
		return append(problems, &cleanupProblem{field: "table", message: oneLine(err.Error())}), nil
	case statement.Code(err) != "" && batch.Classify(err) == batch.Config:
		return append(problems, &cleanupProblem{field: "where", message: oneLine(err.Error())}), nil
	}
	return nil, err
}

const insufficientPrivilege = "42501"

func (w *cleanupWalk) prepare(ctx context.Context, pool *pgxpool.Pool) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	_, err = conn.Conn().PgConn().Prepare(ctx, "", w.query(nil), nil)
	return err
}

// Count is what a clean-up would do by one rule now.
type Count struct {
	Table  string `json:"table"`
	Column string `json:"column"`
	Before string `json:"before"` // as a value of the column
	Where  string `json:"where,omitempty"`
	Rows   int64  `json:"rows"` // that are due
	// Estimated: Rows is what the planner expects, because there are more than CountRows, or counting took too long.
	Estimated bool `json:"estimated"`
	// Indexes are those that the walk follows, one for each part of the table that has rows; empty: it is read block by
	// block.
	Indexes []string `json:"indexes"`
	// Effects are what deleting those rows does to rows of other tables, which are not among Rows.
	Effects []Effect `json:"effects"`
}

// CountRows is how many rows CountDue counts one by one.
const CountRows = 1_000_000

// countTimeout bounds the count of one rule.
const countTimeout = 15 * time.Second

// CountDue says what a run of the job would delete if it were due at that time. It deletes nothing and locks nothing.
// Rows that others refer to or have locked are among those counted.
func CountDue(ctx context.Context, pool *pgxpool.Pool, job *config.Job, due time.Time, zone *time.Location) ([]Count, error) {
	rules, err := describeCleanupRules(ctx, pool, job.Spec.(*Config), due, zone)
	if err != nil {
		return nil, err
	}
	var counts []Count
	for i, described := range rules {
		rule := described.Rule
		count := Count{Table: rule.Table.String(), Column: rule.Column, Before: described.cutoff, Where: rule.Where, Indexes: []string{}, Effects: []Effect{}}
		effects, err := described.effects(ctx, pool)
		if err != nil {
			return nil, fmt.Errorf("rule %d: look for foreign keys that cascade: %w", i+1, err)
		}
		count.Effects = append(count.Effects, effects...)
		for _, part := range described.parts {
			walk, err := planCleanup(ctx, pool, described, part)
			if err != nil {
				return nil, fmt.Errorf("rule %d: table %s: %w", i+1, rule.Table, err)
			}
			if !walk.byBlocks() {
				count.Indexes = append(count.Indexes, walk.index)
			}
		}
		if count.Rows, count.Estimated, err = described.count(ctx, pool); err != nil {
			return nil, fmt.Errorf("rule %d: count the rows of %s: %w", i+1, rule.Table, err)
		}
		counts = append(counts, count)
	}
	return counts, nil
}

func (r *cleanupRule) count(ctx context.Context, pool *pgxpool.Pool) (rows int64, estimated bool, err error) {
	// The root of the tree has all rows, and the alias of a walk.
	root := &cleanupWalk{rule: r, part: cleanupPart{ident: r.table.Ident()}}
	from := "FROM " + root.part.ident + " AS " + root.alias() + " WHERE " + root.before() + root.condition(true)
	err = bounded(ctx, pool, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, fmt.Sprintf("SELECT count(*) FROM (SELECT %s LIMIT %d) due", from, CountRows+1)).Scan(&rows)
	})
	switch {
	case err == nil && rows <= CountRows:
		return rows, false, nil
	case err != nil && (statement.Code(err) != statement.QueryCanceled || ctx.Err() != nil):
		return 0, false, err
	}
	atLeast := rows
	err = bounded(ctx, pool, func(tx pgx.Tx) error {
		var text string
		if err := tx.QueryRow(ctx, "EXPLAIN (FORMAT JSON) SELECT "+from).Scan(&text); err != nil {
			return err
		}
		var plan []struct{ Plan planNode }
		if err := json.Unmarshal([]byte(text), &plan); err != nil || len(plan) != 1 {
			return fmt.Errorf("read the plan: %w", errors.Join(err, errors.New(text)))
		}
		rows = int64(plan[0].Plan.Rows)
		return nil
	})
	return max(atLeast, rows), true, err
}

func bounded(ctx context.Context, pool *pgxpool.Pool, fn func(pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT set_config('statement_timeout', $1, true)`, fmt.Sprint(countTimeout.Milliseconds())); err != nil {
			return err
		}
		return fn(tx)
	})
}
