package sqljob

import (
	"strings"
	"time"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/config/field"
	"github.com/tidemill/tidemill/internal/sqlparams"
)

const kindName = "sql"

// configKind runs a statement.
func configKind() config.Kind {
	return config.NewKind[Config](config.Kind{
		Name: kindName, Params: config.DeclaredParams, Doc: "Runs one SQL statement. `:name` in it stands for the param of that name, and is bound, never spliced.",
	}, fields())
}

// Config is what a job of kind sql does.
type Config struct {
	Statement string // one statement; :name stands for a param of the job, and is bound, never spliced
	Timeout   time.Duration
	MaxRows   int // returned rows that are kept
}

// sqlFields are the further fields of a job of kind sql.
func fields() field.Table[Config] {
	return field.Table[Config]{
		field.Row("statement", field.Text{Words: "SQL", Check: checkStatement}, "", "One statement: `CALL app.stats(:day)`. Each `:name` is declared in `params`, and each param is in the statement. In the slice of an array put a space after the colon: `a[low: high]`.",
			func(s *Config) *string { return &s.Statement }).Require(),
		field.Row("timeout", field.Duration{Min: time.Second, Max: 30 * field.Day}, "5m", "Longest time of one attempt.",
			func(s *Config) *time.Duration { return &s.Timeout }),
		field.Row("max_rows", field.Integer[int]{Min: 0, Max: 10_000}, "100", "As many of the rows that the statement returns are kept.",
			func(s *Config) *int { return &s.MaxRows }),
	}
}

// Check compares the names in the statement with the params.
func (s *Config) Check(d *config.Checker, j *config.Job, at field.Path) {
	d.CheckBound(s.Statement, "statement", j, at)
}

// Identity is the statement.
func (s *Config) Identity() (string, any) { return "SQL", s.Statement }

// Limits are the other fields.
func (s *Config) Limits() []any { return []any{s.Timeout, s.MaxRows} }

func checkStatement(s string) (problem, hint string) {
	if strings.TrimSpace(s) == "" {
		return "is no statement", "write it like CALL app.stats(:day)"
	}
	if _, _, err := sqlparams.Bind(s); err != nil {
		return "is not a statement: " + err.Error(), config.DollarHint(err)
	}
	return "", ""
}
