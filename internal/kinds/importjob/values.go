package importjob

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/config/field"
	"github.com/tidemill/tidemill/internal/bulk"
	"github.com/tidemill/tidemill/internal/rowio"
	"github.com/tidemill/tidemill/internal/valuefmt"
)

// rowValues are the values of one record, in buffers that the next one uses again.
type rowValues struct {
	values [][]byte // in the order of the plan's columns; nil is NULL
	text   []byte   // of those that were converted

	altered rowAltered
}

// read picks and converts the values of a record. An empty field without quotes is NULL, an empty one in quotes is an
// empty text, as in PostgreSQL's own CSV. It returns the first value that is not written as its column says.
func (r *rowValues) read(plan *importPlan, fields []rowio.Field) *bulk.RowError {
	missing := rowio.Field{Kind: rowio.KindMissing}
	r.values, r.text, r.altered = r.values[:0], r.text[:0], rowAltered{}
	for i := range plan.columns {
		column := &plan.columns[i]
		field := &missing
		if column.field >= 0 {
			field = &fields[column.field]
		}
		rule := column.rule
		if rule == nil && field.Kind == rowio.KindJSON && field.Value[0] == '[' {
			rule = column.array
		}
		if rule != nil {
			if bad := r.convert(column, rule, field); bad != nil {
				return bad
			}
			r.hold(column.limit)
			continue
		}
		value := field.Value
		if len(value) == 0 {
			value = nil
			if field.Quoted {
				value = []byte{}
			}
		}
		r.values = append(r.values, value)
		r.hold(column.limit)
	}
	return nil
}

// hold counts the last value if the column keeps less of it.
func (r *rowValues) hold(limit *typeLimit) {
	if value := r.values[len(r.values)-1]; limit != nil && value != nil && limit.exceeds(value, limit.limit) {
		r.altered.rounded++
	}
}

func (r *rowValues) convert(column *planColumn, rule *valuefmt.Column, field *rowio.Field) *bulk.RowError {
	from := len(r.text)
	text, outcome, err := rule.Append(r.text, field.Value, stateOf(field))
	if err != nil {
		return &bulk.RowError{Code: rule.Code(), Column: column.name, Message: fmt.Sprintf("column %q: %s", column.name, err)}
	}
	if text == nil { // nothing was converted yet; nil would be NULL
		text = []byte{}
	}
	r.text = text
	r.altered.add(outcome)
	if outcome.Null {
		r.values = append(r.values, nil)
		return nil
	}
	// Values before this one stay in the old memory when the buffer moves.
	r.values = append(r.values, text[from:len(text):len(text)])
	return nil
}

func stateOf(field *rowio.Field) valuefmt.State {
	switch field.Kind {
	case rowio.KindString:
		return valuefmt.String
	case rowio.KindNumber, rowio.KindBool, rowio.KindJSON:
		return valuefmt.Value
	case rowio.KindNull:
		return valuefmt.Null
	case rowio.KindMissing:
		return valuefmt.Missing
	}
	if field.Quoted {
		return valuefmt.Quoted
	}
	return valuefmt.Bare
}

// arrayRule takes arrays of JSON into a column that is an array, where the definition says nothing else.
func arrayRule(column *bulk.Column) (*valuefmt.Column, error) {
	if column == nil || !strings.HasSuffix(column.TypeName, "[]") {
		return nil, nil
	}
	element := valuefmt.Format{}
	if strings.HasPrefix(column.TypeName, "json") {
		element.Type = valuefmt.JSON
	}
	return valuefmt.Rule{Format: valuefmt.Format{Type: valuefmt.Array, Element: &element}}.Compile()
}

// ruleOf is what happens to the values of a column; nil if nothing does.
func ruleOf(column Column) (*valuefmt.Column, error) {
	if !column.Trim && len(column.NullIf) == 0 && column.Default == nil && column.Type == "" {
		return nil, nil
	}
	return column.Compile()
}

// checkFormats finds columns of the table that can take no value of the type that the definition gives them.
func checkFormats(cfg *config.Config, job *config.Job, table *bulk.Table) []*field.Error {
	var problems []*field.Error
	for _, column := range job.Spec.(*Config).Columns {
		target := table.Column(column.Target)
		if target == nil || column.Type == "" || target.TypeOID != target.BaseOID { // of a domain only the name is known
			continue
		}
		at := []string{"jobs", job.Name, "columns", column.Target}
		switch {
		case misfits(column.Type, target.TypeName):
			problems = append(problems, cfg.Errorf(append(at, "type"), "", "column %q is of type %s, which takes no %s", target.Name, target.TypeName, column.Type))
		case column.Timezone != "" && strings.HasPrefix(target.TypeName, "timestamp") && strings.HasSuffix(target.TypeName, "without time zone"):
			problems = append(problems, cfg.Errorf(append(at, "timezone"), "remove it, or make the column a timestamptz",
				"column %q is of type %s, which keeps the time as the file has it", target.Name, target.TypeName))
		}
	}
	return problems
}

// misfits reports whether a column of the type takes no value of the format. Of types that PostgreSQL does not bring it knows
// nothing.
func misfits(format, typeName string) bool {
	isArray := strings.HasSuffix(typeName, "[]")
	switch valuefmt.Type(format) {
	case valuefmt.Array:
		return !isArray
	case valuefmt.JSON: // 5 is JSON, too
		return isArray
	}
	if isArray {
		return true
	}
	name, _, _ := strings.Cut(typeName, "(")
	word, _, _ := strings.Cut(name, " ")
	refused := map[valuefmt.Type][]string{
		valuefmt.Number:    {"date", "time", "timestamp", "uuid"},
		valuefmt.Boolean:   {"smallint", "integer", "bigint", "numeric", "real", "double", "date", "time", "timestamp", "uuid"},
		valuefmt.Date:      {"smallint", "integer", "bigint", "numeric", "real", "double", "boolean", "json", "jsonb", "time", "uuid"},
		valuefmt.Timestamp: {"smallint", "integer", "bigint", "numeric", "real", "double", "boolean", "json", "jsonb", "uuid"},
		valuefmt.Time:      {"smallint", "integer", "bigint", "numeric", "real", "double", "boolean", "json", "jsonb", "date", "timestamp", "uuid"},
	}
	return slices.Contains(refused[valuefmt.Type(format)], word)
}
