package cleanupjob

import (
	"slices"
	"strings"
	"time"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/config/field"
	"github.com/tidemill/tidemill/internal/sqlparams"
)

const kindName = "cleanup"

// configKind deletes rows by rules of retention.
func configKind() config.Kind {
	return config.NewKind[Config](config.Kind{
		Name: kindName, Chunked: true, Params: config.NoParams,
		Doc: "Deletes rows that are old or expired, in short transactions that leave time to others. It resumes where it was stopped. `tidemill cleanup JOB --dry-run` counts.",
	}, fields())
}

// ArchiveNone is the value of Cleanup.Archive for rows that are not kept anywhere; the other is CSV.
const ArchiveNone = "none"

// Config is what a job of kind cleanup does.
type Config struct {
	Rules            []Rule        // are followed one after the other
	Batch            int           // rows of the first transaction
	MaxBatch         int           // most rows of a transaction
	Target           time.Duration // what a transaction is to take; its size is halved above one and a half of it and doubled below a half
	StatementTimeout time.Duration // no statement takes longer
	LockTimeout      time.Duration // no statement waits longer for a lock
	Pause            float64       // time between two transactions, as a share of the time that the first took
	AllowSeqScan     bool          // read whole tables where there is no index
	Archive          string        // ArchiveNone or CSV
}

// Rule says which rows of a table are due. Either OlderThan or Expired is set.
type Rule struct {
	Table     config.Table
	Column    string        // of type date, timestamp or timestamptz
	OlderThan time.Duration // the column is this much before the time at which the run was due
	Expired   bool          // the column is before that time
	Where     string        // a condition in SQL; empty: none
	Timezone  string        // of a column without one; empty: UTC for a timestamp, Config.Timezone for a date
}

// Age is how the configuration says which rows are due: "older_than: 30d" or "expired: true".
func (r Rule) Age() string {
	if r.Expired {
		return "expired: true"
	}
	return "older_than: " + field.FormatDuration(r.OlderThan)
}

const century = 100 * config.Year

// cleanupFields are the further fields of a job of kind cleanup.
func fields() field.Table[Config] {
	return field.Table[Config]{
		field.Row("rules", cleanupRules{field.Section[Rule]{Fields: cleanupRuleFields()}}, "", "What is deleted, one rule after the other.",
			func(c *Config) *[]Rule { return &c.Rules }).Require(),
		field.Row("batch", field.Integer[int]{Min: 1, Max: 100_000}, "500", "Rows that the first transaction looks at. Later ones look at more or fewer, so that each takes about `target`.",
			func(c *Config) *int { return &c.Batch }),
		field.Row("max_batch", field.Integer[int]{Min: 1, Max: 100_000}, "", "Most rows that one transaction looks at; not less than `batch`. More rows are deleted faster, and others notice it more.",
			func(c *Config) *int { return &c.MaxBatch }).Inherit("`500`, or `batch` if that is more; `10000` with `archive`, as each transaction writes a file"),
		field.Row("target", field.Duration{Min: time.Millisecond, Max: time.Minute}, "200ms", "How long a transaction should take: one that took half as much again is followed by one of half the size, one that took less than half by one of twice the size.",
			func(c *Config) *time.Duration { return &c.Target }),
		field.Row("statement_timeout", field.Duration{Min: 10 * time.Millisecond, Max: 10 * time.Minute}, "500ms", "Longest time of one statement; one that takes longer is undone and made again for fewer rows. Not less than `target`.",
			func(c *Config) *time.Duration { return &c.StatementTimeout }),
		field.Row("lock_timeout", field.Duration{Min: time.Millisecond, Max: time.Minute}, "200ms", "Longest wait for a lock. For locked rows of the table itself there is none: they are passed over, and looked at again at the end.",
			func(c *Config) *time.Duration { return &c.LockTimeout }),
		field.Row("pause", field.Ratio{}, "100%", "Rest between two transactions, as a share of the time that the first took; `100%` leaves half of the time to others.",
			func(c *Config) *float64 { return &c.Pause }),
		field.Row("allow_seq_scan", field.Boolean{}, "false", "Whether a table may be read as a whole, block by block, if no index begins with the column of a rule; and whether rows may be deleted from a table to which a foreign key refers that has no index.",
			func(c *Config) *bool { return &c.AllowSeqScan }),
		field.Row("archive", field.Choice{ArchiveNone, config.CSV}, ArchiveNone, "Whether rows are written to the storage, as CSV files, before they are deleted.",
			func(c *Config) *string { return &c.Archive }),
	}
}

func cleanupRuleFields() field.Table[Rule] {
	return field.Table[Rule]{
		field.Row("table", config.TableName{}, "", "The table. Of a partitioned one, each partition is gone through.",
			func(r *Rule) *config.Table { return &r.Table }).Require(),
		field.Row("column", field.Text{Words: "name", Check: checkCleanupColumn}, "", "Column of type `timestamptz`, `timestamp` or `date` that tells the age. It needs an index that begins with it. Rows in which it is NULL stay.",
			func(r *Rule) *string { return &r.Column }).Require(),
		field.Row("older_than", field.Duration{Min: time.Second, Max: century}, "", "Rows are due whose column is this much before the time at which the run was due: `30d`. Give this or `expired`.",
			func(r *Rule) *time.Duration { return &r.OlderThan }),
		field.Row("expired", field.Boolean{}, "false", "Rows are due whose column is before the time at which the run was due.",
			func(r *Rule) *bool { return &r.Expired }),
		field.Row("where", field.Text{Words: "condition in SQL", Check: checkWhere}, "", "Only rows for which this is true: `status = 'done'`.",
			func(r *Rule) *string { return &r.Where }),
		field.Row("timezone", field.Text{Words: "IANA name", Check: config.CheckTimezone}, "", "In which time zone a column of type `timestamp` or `date` was written. A day is past when its last moment is.",
			func(r *Rule) *string { return &r.Timezone }).Inherit("`UTC` for a `timestamp`, as Rails, Django and Prisma write it; the top-level `timezone` for a `date`"),
	}
}

// cleanupRules is a list of at least one rule.
type cleanupRules struct{ each field.Section[Rule] }

// Read keeps an item that has problems, so that the others keep their number.
func (t cleanupRules) Read(d *field.Checker, v field.Value, into *[]Rule) {
	if !d.Is(v, field.ListNode, "a list of rules, such as [{table: app.logs, column: created_at, older_than: 30d}]") {
		return
	}
	if len(v.Node.Items) == 0 {
		d.ProblemAt(v, "write it like [{table: app.logs, column: created_at, older_than: 30d}]", "is an empty list")
		return
	}
	out := make([]Rule, len(v.Node.Items))
	for i := range v.Node.Items {
		t.each.Reset(d, &out[i])
		t.each.Read(d, v.Item(i), &out[i])
	}
	*into = out
}

func (t cleanupRules) Meta() field.Meta {
	each := t.each.Meta()
	return field.Meta{
		Words:  "list of mappings",
		Schema: map[string]any{"type": "array", "minItems": 1, "items": each.Schema},
		Keys:   "[]",
		Fields: each.Fields,
	}
}

func checkCleanupColumn(s string) (problem, hint string) {
	if problem := config.CheckIdentifier(s); problem != "" {
		return problem, "give the name of a column"
	}
	return "", ""
}

func checkWhere(s string) (problem, hint string) {
	if strings.TrimSpace(s) == "" {
		return "is no condition", "write it like \"status = 'done'\", or remove it"
	}
	if _, _, err := sqlparams.Bind(s); config.DollarHint(err) != "" { // the rest is for the server to judge
		return "is no condition: " + err.Error(), config.DollarHint(err)
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
func (c *Config) Check(d *config.Checker, _ *config.Job, at field.Path) {
	if c.MaxBatch == 0 {
		c.MaxBatch = max(maxBatch, c.Batch)
		if c.Archive != ArchiveNone {
			c.MaxBatch = max(maxArchiveBatch, c.Batch)
		}
	}
	for i, r := range c.Rules {
		item := at.Join("rules", field.Index(i))
		if !d.Checkable(item, "older_than", "expired") {
			continue
		}
		switch {
		case r.OlderThan == 0 && !r.Expired:
			d.Problem(item, "add older_than: 30d, or expired: true", "does not say which rows are due")
		case r.OlderThan != 0 && r.Expired:
			d.Problem(item.Join("expired"), "remove it, or older_than", "is given beside older_than")
		}
		if same := slices.Index(c.Rules[:i], r); same >= 0 {
			d.Problem(item, "remove it", "is the same as rule %d", same+1)
		}
	}
	if c.Batch > c.MaxBatch && d.Checkable(at, "batch", "max_batch") {
		d.Problem(at.Join("max_batch"), "", "max_batch %d is less than batch %d", c.MaxBatch, c.Batch)
	}
	if c.Target > c.StatementTimeout && d.Checkable(at, "target", "statement_timeout") {
		d.Problem(at.Join("statement_timeout"), "", "statement_timeout %s is less than target %s", field.FormatDuration(c.StatementTimeout), field.FormatDuration(c.Target))
	}
}

type cleanupDefinition struct {
	Rules   []Rule // in their order: a run that continues counts them
	Archive string
}

// Identity is the rules, and whether what they delete is kept.
func (c *Config) Identity() (string, any) {
	return "Cleanup", cleanupDefinition{Rules: c.Rules, Archive: c.Archive}
}

// Limits are the other fields.
func (c *Config) Limits() []any {
	return []any{c.Batch, c.MaxBatch, c.Target, c.StatementTimeout, c.LockTimeout, c.Pause, c.AllowSeqScan}
}
