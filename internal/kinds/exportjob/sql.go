package exportjob

import (
	"strconv"
	"strings"

	"github.com/tidemill/tidemill/config"
)

// keyLiteral writes a value of a key into a statement, for COPY takes no values beside it.
func keyLiteral(text, typ string) string { return literal([]byte(text), typ) }

// copySQL is the COPY of the rows for which the condition holds, in order; limit 0 is none, and so is an empty condition.
func (p *exportPlan) copySQL(limit int, condition string) string {
	tail := " FROM " + p.walk.From()
	if condition != "" {
		tail += " WHERE " + condition
	}
	if len(p.key) > 0 {
		tail += " ORDER BY " + p.walk.Order("q")
	}
	if limit > 0 {
		tail += " LIMIT " + strconv.Itoa(limit)
	}
	names := make([]string, len(p.columns))
	for i, c := range p.columns {
		names[i] = "q." + quoteName(c.Name)
	}
	if p.ex.Format == config.NDJSON {
		object := "row_to_json(q.*)" // q alone would be a column of that name
		if p.hidden > 0 {
			object = "(SELECT row_to_json(r.*) FROM (SELECT " + strings.Join(names[p.hidden:], ", ") + ") r)"
		}
		var list strings.Builder
		for _, name := range p.walk.Names("q") {
			list.WriteString(name + "::text, ")
		}
		return "COPY (SELECT " + list.String() + object + tail + ") TO STDOUT (FORMAT binary)"
	}
	return "COPY (SELECT " + strings.Join(names, ", ") + tail + ") TO STDOUT"
}
