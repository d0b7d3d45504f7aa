package config

import (
	"slices"
	"strings"
	"time"

	"github.com/tidemill/tidemill/internal/sqlparams"
)

const kindCleanup = "cleanup"

// CleanupKind deletes rows by rules of retention.
func CleanupKind() Kind {
	return NewKind[Cleanup](Kind{
		Name: kindCleanup, Chunked: true, Params: NoParams,
		Doc: "Deletes rows that are old or expired, in short transactions that leave time to others. It goes on where it was stopped. `tidemill cleanup JOB --dry-run` counts.",
	}, cleanupFields())
}

// ArchiveNone is the value of Cleanup.Archive for rows that are not kept anywhere; the other is CSV.
const ArchiveNone = "none"

// Cleanup is what a job of kind cleanup does.
type Cleanup struct {
	Rules            []CleanupRule // are followed one after the other
	Batch            int           // rows of the first transaction
	MaxBatch         int           // most rows of a transaction
	Target           time.Duration // what a transaction is to take; its size is halved above one and a half of it and doubled below a half
	StatementTimeout time.Duration // no statement takes longer
	LockTimeout      time.Duration // no statement waits longer for a lock
	Pause            float64       // time between two transactions, as a share of the time that the first took
	AllowSeqScan     bool          // read whole tables where there is no index
	Archive          string        // ArchiveNone or CSV
}

// CleanupRule says which rows of a table are due. Either OlderThan or Expired is set.
type CleanupRule struct {
	Table     Table
	Column    string        // of type date, timestamp or timestamptz
	OlderThan time.Duration // the column is this much before the time at which the run was due
	Expired   bool          // the column is before that time
	Where     string        // a condition in SQL; empty: none
	Timezone  string        // of a column without one; empty: UTC for a timestamp, Config.Timezone for a date
}

// Age is how the configuration says which rows are due: "older_than: 30d" or "expired: true".
func (r CleanupRule) Age() string {
	if r.Expired {
		return "expired: true"
	}
	return "older_than: " + formatDuration(r.OlderThan)
}

const century = 100 * year

// cleanupFields are the further fields of a job of kind cleanup.
func cleanupFields() object[Cleanup] {
	return object[Cleanup]{
		row("rules", cleanupRules{section[CleanupRule]{cleanupRuleFields()}}, "", "What is deleted, one rule after the other.",
			func(c *Cleanup) *[]CleanupRule { return &c.Rules }).needed(),
		row("batch", integer[int]{1, 100_000}, "500", "Rows that the first transaction looks at. Later ones look at more or fewer, so that each takes about `target`.",
			func(c *Cleanup) *int { return &c.Batch }),
		row("max_batch", integer[int]{1, 100_000}, "", "Most rows that one transaction looks at; not less than `batch`. More rows are deleted faster, and others notice it more.",
			func(c *Cleanup) *int { return &c.MaxBatch }).from("`500`, or `batch` if that is more; `10000` with `archive`, as each transaction writes a file"),
		row("target", duration{time.Millisecond, time.Minute}, "200ms", "How long a transaction should take: one that took half as much again is followed by one of half the size, one that took less than half by one of twice the size.",
			func(c *Cleanup) *time.Duration { return &c.Target }),
		row("statement_timeout", duration{10 * time.Millisecond, 10 * time.Minute}, "500ms", "Longest time of one statement; one that takes longer is undone and made again for fewer rows. Not less than `target`.",
			func(c *Cleanup) *time.Duration { return &c.StatementTimeout }),
		row("lock_timeout", duration{time.Millisecond, time.Minute}, "200ms", "Longest wait for a lock. For locked rows of the table itself there is none: they are passed over, and looked at again at the end.",
			func(c *Cleanup) *time.Duration { return &c.LockTimeout }),
		row("pause", ratio{}, "100%", "Rest between two transactions, as a share of the time that the first took; `100%` leaves half of the time to others.",
			func(c *Cleanup) *float64 { return &c.Pause }),
		row("allow_seq_scan", boolean{}, "false", "Whether a table may be read as a whole, block by block, if no index begins with the column of a rule; and whether rows may be deleted from a table to which a foreign key refers that has no index.",
			func(c *Cleanup) *bool { return &c.AllowSeqScan }),
		row("archive", choice{ArchiveNone, CSV}, ArchiveNone, "Whether rows are written to the storage, as CSV files, before they are deleted.",
			func(c *Cleanup) *string { return &c.Archive }),
	}
}

func cleanupRuleFields() object[CleanupRule] {
	return object[CleanupRule]{
		row("table", tableName{}, "", "The table. Of a partitioned one, each partition is gone through.",
			func(r *CleanupRule) *Table { return &r.Table }).needed(),
		row("column", text{words: "name", check: checkCleanupColumn}, "", "Column of type `timestamptz`, `timestamp` or `date` that tells the age. It needs an index that begins with it. Rows in which it is NULL stay.",
			func(r *CleanupRule) *string { return &r.Column }).needed(),
		row("older_than", duration{time.Second, century}, "", "Rows are due whose column is this much before the time at which the run was due: `30d`. Give this or `expired`.",
			func(r *CleanupRule) *time.Duration { return &r.OlderThan }),
		row("expired", boolean{}, "false", "Rows are due whose column is before the time at which the run was due.",
			func(r *CleanupRule) *bool { return &r.Expired }),
		row("where", text{words: "condition in SQL", check: checkWhere}, "", "Only rows for which this is true: `status = 'done'`.",
			func(r *CleanupRule) *string { return &r.Where }),
		row("timezone", text{words: "IANA name", check: checkTimezone}, "", "In which time zone a column of type `timestamp` or `date` was written. A day is past when its last moment is.",
			func(r *CleanupRule) *string { return &r.Timezone }).from("`UTC` for a `timestamp`, as Rails, Django and Prisma write it; the top-level `timezone` for a `date`"),
	}
}

// cleanupRules is a list of at least one rule.
type cleanupRules struct{ each section[CleanupRule] }

// read keeps an item that has problems, so that the others keep their number.
func (t cleanupRules) read(d *decoder, v value, into *[]CleanupRule) {
	if !d.is(v, listNode, "a list of rules, such as [{table: app.logs, column: created_at, older_than: 30d}]") {
		return
	}
	if len(v.node.items) == 0 {
		d.fail(v, "write it like [{table: app.logs, column: created_at, older_than: 30d}]", "is an empty list")
		return
	}
	out := make([]CleanupRule, len(v.node.items))
	for i := range v.node.items {
		t.each.reset(d, &out[i])
		t.each.read(d, v.item(i), &out[i])
	}
	*into = out
}

func (t cleanupRules) shape() shape {
	each := t.each.shape()
	return shape{
		words:  "list of mappings",
		schema: map[string]any{"type": "array", "minItems": 1, "items": each.schema},
		keys:   "[]",
		fields: each.fields,
	}
}

func checkCleanupColumn(s string) (problem, hint string) {
	if problem := identProblem(s); problem != "" {
		return problem, "give the name of a column"
	}
	return "", ""
}

func checkWhere(s string) (problem, hint string) {
	if strings.TrimSpace(s) == "" {
		return "is no condition", "write it like \"status = 'done'\", or remove it"
	}
	if _, _, err := sqlparams.Bind(s); dollarHint(err) != "" { // the rest is for the server to judge
		return "is no condition: " + err.Error(), dollarHint(err)
	}
	return "", ""
}

// A transaction that is over within few milliseconds is noticed by nobody, even on a machine with few cores; one that writes a
// file should be worth it.
const (
	maxBatch        = 500
	maxArchiveBatch = 10_000
)

// Check looks for what does not fit together.
func (c *Cleanup) Check(d *Checker, _ *Job, at path) {
	if c.MaxBatch == 0 {
		c.MaxBatch = max(maxBatch, c.Batch)
		if c.Archive != ArchiveNone {
			c.MaxBatch = max(maxArchiveBatch, c.Batch)
		}
	}
	for i, r := range c.Rules {
		item := at.join("rules", index(i))
		if !d.sure(item, "older_than", "expired") {
			continue
		}
		switch {
		case r.OlderThan == 0 && !r.Expired:
			d.problem(item, "add older_than: 30d, or expired: true", "does not say which rows are due")
		case r.OlderThan != 0 && r.Expired:
			d.problem(item.join("expired"), "remove it, or older_than", "is given beside older_than")
		}
		if same := slices.Index(c.Rules[:i], r); same >= 0 {
			d.problem(item, "remove it", "is the same as rule %d", same+1)
		}
	}
	if c.Batch > c.MaxBatch && d.sure(at, "batch", "max_batch") {
		d.problem(at.join("max_batch"), "", "max_batch %d is less than batch %d", c.MaxBatch, c.Batch)
	}
	if c.Target > c.StatementTimeout && d.sure(at, "target", "statement_timeout") {
		d.problem(at.join("statement_timeout"), "", "statement_timeout %s is less than target %s", formatDuration(c.StatementTimeout), formatDuration(c.Target))
	}
}

type cleanupDefinition struct {
	Rules   []CleanupRule // in their order: a run that goes on counts them
	Archive string
}

// Identity is the rules, and whether what they delete is kept.
func (c *Cleanup) Identity() (string, any) {
	return "Cleanup", cleanupDefinition{Rules: c.Rules, Archive: c.Archive}
}

// Limits are the other fields.
func (c *Cleanup) Limits() []any {
	return []any{c.Batch, c.MaxBatch, c.Target, c.StatementTimeout, c.LockTimeout, c.Pause, c.AllowSeqScan}
}
