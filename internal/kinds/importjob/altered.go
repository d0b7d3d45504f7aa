package importjob

import (
	"fmt"
	"strings"

	"github.com/tidemill/tidemill/internal/valuefmt"
)

// Altered counts what a definition does to the values of a file, in rows that were not rejected: where the table does
// not have what the file says.
type Altered struct {
	Trimmed int64 `json:"trimmed,omitempty"` // values, by trim
	NullIf  int64 `json:"null_if,omitempty"` // values that were taken for nothing, by null_if
	Default int64 `json:"default,omitempty"` // empty values that became the default
	Padded  int64 `json:"padded,omitempty"`  // records, by ragged: pad
	Rounded int64 `json:"rounded,omitempty"` // values of which the column's type keeps less, such as numeric(10,2) of 1.234
}

func (a Altered) plus(b Altered) Altered {
	return Altered{a.Trimmed + b.Trimmed, a.NullIf + b.NullIf, a.Default + b.Default, a.Padded + b.Padded, a.Rounded + b.Rounded}
}

// String is empty if nothing was altered.
func (a Altered) String() string {
	var parts []string
	for _, part := range []struct {
		n             int64
		one, more, by string
	}{
		{a.Trimmed, "value was", "values were", "trimmed (trim)"},
		{a.NullIf, "value was", "values were", "taken for nothing (null_if)"},
		{a.Default, "empty value", "empty values", "got the default (default)"},
		{a.Padded, "record was", "records were", "padded or cut (ragged: pad)"},
		{a.Rounded, "value was", "values were", "rounded or cut by the type of the column"},
	} {
		what := part.more
		if part.n == 1 {
			what = part.one
		}
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s %s", part.n, what, part.by))
		}
	}
	return strings.Join(parts, ", ")
}

// rowAltered is that of one row, small, as there is one for each row of a chunk.
type rowAltered struct {
	trimmed, nullIf, filled, rounded uint16
	padded                           bool
}

func (r *rowAltered) add(o valuefmt.Outcome) {
	if o.Trimmed {
		r.trimmed++
	}
	if o.NullIf {
		r.nullIf++
	}
	if o.Default {
		r.filled++
	}
}

// altered counts rows of the chunk, from one up to another, but those that the table has refused.
func (c *importChunk) altered(from, to int, refused map[int]bool) Altered {
	var sum Altered
	for i := from; i < to; i++ {
		if refused[i] {
			continue
		}
		row := c.rows[i].altered
		sum.Trimmed += int64(row.trimmed)
		sum.NullIf += int64(row.nullIf)
		sum.Default += int64(row.filled)
		sum.Rounded += int64(row.rounded)
		if row.padded {
			sum.Padded++
		}
	}
	return sum
}
