package exportjob

import (
	"fmt"
	"strings"

	"github.com/tidemill/tidemill/config"
)

// from is the source as an item of FROM. The line end is for a query that ends in a comment.
func (p *exportPlan) from() string { return "(" + strings.TrimRight(p.source, "; \t\r\n") + "\n) q" }

// keyNames are the key columns as SQL has them.
func (p *exportPlan) keyNames() []string {
	names := make([]string, len(p.key))
	for i, k := range p.key {
		names[i] = "q." + quoteName(p.columns[k].Name)
	}
	return names
}

// isNull is true for key column i where it is NULL; IS NULL is also true for a row of NULLs, which has its place in the order.
func (p *exportPlan) isNull(i int) string {
	if p.columns[p.key[i]].category == "C" {
		return p.keyNames()[i] + " IS NOT DISTINCT FROM NULL"
	}
	return p.keyNames()[i] + " IS NULL"
}

// bound is a comparison of whole keys, which an index on the columns can serve.
func (p *exportPlan) bound(operator string, values []string) string {
	literals := make([]string, len(values))
	for i, value := range values {
		literals[i] = literal([]byte(value), p.columns[p.key[i]].Type)
	}
	names := p.keyNames()[:len(values)]
	if len(values) == 1 {
		return names[0] + " " + operator + " " + literals[0]
	}
	return "(" + strings.Join(names, ", ") + ") " + operator + " (" + strings.Join(literals, ", ") + ")"
}

// tail is what follows FROM.
func (p *exportPlan) tail(limit int, conditions []string) string {
	var tail strings.Builder
	if len(conditions) > 0 {
		tail.WriteString(" WHERE " + strings.Join(conditions, " AND "))
	}
	if len(p.key) > 0 {
		tail.WriteString(" ORDER BY " + strings.Join(p.keyNames(), p.nulls+", ") + p.nulls)
	}
	if limit > 0 {
		fmt.Fprintf(&tail, " LIMIT %d", limit)
	}
	return tail.String()
}

// copySQL is the COPY of the rows for which all conditions hold, in order; limit 0 is none.
func (p *exportPlan) copySQL(limit int, conditions ...string) string {
	tail := p.tail(limit, conditions)
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
		for _, name := range p.keyNames() {
			list.WriteString(name + "::text, ")
		}
		return "COPY (SELECT " + list.String() + object + " FROM " + p.from() + tail + ") TO STDOUT (FORMAT binary)"
	}
	return "COPY (SELECT " + strings.Join(names, ", ") + " FROM " + p.from() + tail + ") TO STDOUT"
}
