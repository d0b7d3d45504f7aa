package importjob

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/config/field"
	"github.com/tidemill/tidemill/internal/bulk"
	"github.com/tidemill/tidemill/internal/rowio"
	"github.com/tidemill/tidemill/internal/valuefmt"
)

// importPlan says which field of a record goes into which column, and how.
type importPlan struct {
	spec    bulk.Spec
	width   int // fields of a record
	columns []planColumn
	unused  []string // fields that go nowhere
	lacking []string // optional fields that the file does not have
}

type planColumn struct {
	name  string
	field int              // -1: the file does not have it
	rule  *valuefmt.Column // nil: values go as they are
	array *valuefmt.Column // of a column without rule that is an array: takes arrays of JSON; nil: it is none
	limit *typeLimit       // nil: the column keeps all of a value, or refuses it
}

// planImport maps the head of a file (the header's names, or as many empty names as there are fields) to the table.
func planImport(def *Config, table *bulk.Table, head []string) (*importPlan, error) {
	plan := &importPlan{width: len(head), spec: importSpec(def)}
	columns := def.Columns
	if at := slices.Index(head, ""); at >= 0 && len(columns) == 0 && def.Header && def.Format != config.NDJSON {
		return nil, fmt.Errorf("field %d of the file's header has no name; give it one, or name under columns the fields that you want; the header is: %s",
			at+1, shorten(head))
	}
	if len(columns) == 0 {
		columns = implied(def, table, head)
	}
	for _, column := range columns {
		field, err := fieldOf(def, column, head)
		if err != nil {
			return nil, err
		}
		rule, err := ruleOf(column)
		if err != nil {
			return nil, err
		}
		array, err := arrayRule(table.Column(column.Target))
		if err != nil {
			return nil, err
		}
		if field < 0 {
			plan.lacking = append(plan.lacking, cmp.Or(column.Field, fmt.Sprint(column.Number)))
		}
		target := table.Column(column.Target)
		plan.columns = append(plan.columns, planColumn{column.Target, field, rule, array, limitOf(target)})
		plan.spec.Columns = append(plan.spec.Columns, column.Target)
	}
	for i, name := range head {
		if name != "" && !slices.ContainsFunc(plan.columns, func(c planColumn) bool { return c.field == i }) {
			plan.unused = append(plan.unused, name)
		}
	}
	return plan, nil
}

// implied is the mapping of a definition without columns: each field into the column of its name, or without a header
// into the table's columns in their order.
func implied(def *Config, table *bulk.Table, head []string) []Column {
	var columns []Column
	if def.Header {
		for _, name := range head {
			columns = append(columns, Column{Target: name, Field: name})
		}
		return columns
	}
	for _, column := range table.Columns {
		if !column.Generated {
			columns = append(columns, Column{Target: column.Name, Number: len(columns) + 1})
		}
	}
	return columns
}

func fieldOf(def *Config, column Column, head []string) (int, error) {
	if !def.Header {
		if column.Number > len(head) && column.Optional {
			return -1, nil
		}
		if column.Number < 1 || column.Number > len(head) {
			return 0, fmt.Errorf("column %s reads field %d, but the file's first record has %d fields", column.Target, column.Number, len(head))
		}
		return column.Number - 1, nil
	}
	at := slices.Index(head, column.Field)
	if at < 0 && column.Optional {
		return -1, nil
	}
	if at < 0 {
		similar := ""
		if name := rowio.SimilarName(head, column.Field); name != "" {
			similar = fmt.Sprintf("did you mean %q? ", name)
		}
		return 0, fmt.Errorf("the file has no field %q, which column %s needs; %sits header is: %s; if files may lack it: `%[2]s: {field: %[1]q, optional: true}`",
			column.Field, column.Target, similar, shorten(head))
	}
	if slices.Contains(head[at+1:], column.Field) {
		return 0, fmt.Errorf("the file's header has the field %q twice; rename one of them", column.Field)
	}
	return at, nil
}

// shorten lists a header without flooding the screen when it is no header at all.
func shorten(names []string) string {
	text := strings.ToValidUTF8(strings.Join(names, ", "), "\uFFFD")
	if runes := []rune(text); len(runes) > 200 {
		return string(runes[:200]) + "…"
	}
	return text
}

func importSpec(def *Config) bulk.Spec {
	spec := bulk.Spec{Match: def.Match}
	switch def.OnConflict {
	case Skip:
		spec.OnConflict = bulk.Skip
	case Update:
		spec.OnConflict = bulk.Update
	default:
		spec.OnConflict = bulk.Error
	}
	for _, rule := range def.Set {
		if rule.When == OnInsert {
			spec.SetOnInsert = append(spec.SetOnInsert, rule.Column)
		} else {
			spec.SetOnChange = append(spec.SetOnChange, rule.Column)
		}
	}
	return spec
}

// CheckLive holds a definition against the live database, for config check.
func CheckLive(ctx context.Context, db *pgxpool.Pool, cfg *config.Config, job *config.Job) (field.Errors, error) {
	def := job.Spec.(*Config)
	table, err := bulk.Describe(ctx, db, def.Table.Schema, def.Table.Name)
	if errors.Is(err, bulk.ErrNoTable) {
		return []*field.Error{cfg.Errorf([]string{"jobs", job.Name, "table"}, "", "%s", err)}, nil
	}
	if err != nil {
		return nil, err
	}
	spec := importSpec(def)
	for _, column := range def.Columns {
		spec.Columns = append(spec.Columns, column.Target)
	}
	if len(def.Columns) == 0 {
		// The header decides; what can be checked now is the rest.
		for _, column := range table.Columns {
			if !column.Generated && !slices.Contains(spec.SetOnInsert, column.Name) && !slices.Contains(spec.SetOnChange, column.Name) {
				spec.Columns = append(spec.Columns, column.Name)
			}
		}
	}
	var problems []*field.Error
	for _, problem := range table.Check(spec) {
		path := []string{"jobs", job.Name}
		switch problem.Field {
		case "set_on_insert", "set_on_change":
			path = append(path, "set", problem.Column)
		case "columns":
			path = append(path, "columns", problem.Column)
		default:
			path = append(path, problem.Field)
		}
		problems = append(problems, cfg.Errorf(path, problem.Hint, "%s", problem.Message))
	}
	return append(problems, checkFormats(cfg, job, table)...), nil
}
