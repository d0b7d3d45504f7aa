package bulk

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/suggest"
)

// Conflict says what becomes of a row whose match key is in the table already.
type Conflict uint8

const (
	// Skip keeps the row that is there; the new one counts as duplicate. Of several new rows the first wins.
	Skip Conflict = iota
	// Update changes the row that is there, if anything differs. Of several new rows the last wins.
	Update
	// Error rejects the new row with code 23505.
	Error
)

// Spec is what to write into a table.
type Spec struct {
	// Columns are the written columns, in the order of the values of [Batch.Append].
	Columns []string
	// Match are the key columns, a subset of Columns with a unique index on exactly them. Empty: every row is inserted,
	// a collision is a rejected row.
	Match      []string
	OnConflict Conflict
	// SetOnInsert are set to the time of the transaction when a row is inserted, SetOnChange also when an update
	// really changes a row. None of them may be in Columns.
	SetOnInsert, SetOnChange []string
	// Trial is of rows that will be taken back; nil for others.
	Trial *Trial
}

// maxWritten leaves room for the ordinal in the staging table: PostgreSQL allows 1600 columns.
const maxWritten = 1599

// Problem is a reason why a table cannot be written as a Spec says.
type Problem struct {
	Field   string // "table", or the field of Spec: "columns", "match", "set_on_insert", "set_on_change"
	Column  string // may be empty
	Message string
	Hint    string // what to do; may be empty
}

func (p Problem) String() string {
	s := p.Field + ": " + p.Message
	if p.Hint != "" {
		s += " (" + p.Hint + ")"
	}
	return s
}

// Check compares s with the table and returns all problems; none means that [NewWriter] accepts it.
func (t *Table) Check(s Spec) []Problem {
	if p := t.checkKind(); p != nil {
		return p // the rest would only repeat it in other words
	}
	problems := append(t.checkTemp(), t.checkColumns(s)...)
	problems = append(problems, t.checkUnwritten(s)...)
	problems = append(problems, t.checkSet("set_on_insert", s.SetOnInsert, s)...)
	problems = append(problems, t.checkSet("set_on_change", s.SetOnChange, s)...)
	return append(problems, t.checkMatch(s)...)
}

func (t *Table) checkKind() []Problem {
	kinds := map[byte]string{'v': "a view", 'm': "a materialized view", 'f': "a foreign table"}
	if what, ok := kinds[t.Kind]; ok {
		return []Problem{{Field: "table", Message: t.Ident() + " is " + what, Hint: "name a table"}}
	}
	if t.RLS {
		return []Problem{{
			Field:   "table",
			Message: t.Ident() + " has row-level security that applies to this role, and COPY does not work under it",
			Hint:    "connect as the owner of the table or as a role with BYPASSRLS",
		}}
	}
	if t.HasInsertRules {
		return []Problem{{
			Field:   "table",
			Message: t.Ident() + " has rules on INSERT or UPDATE, which COPY ignores and ON CONFLICT refuses",
			Hint:    "replace the rules by triggers",
		}}
	}
	return nil
}

// checkTemp asks for what most writes need sooner or later: a table in which rows wait that cannot be copied at once.
func (t *Table) checkTemp() []Problem {
	if t.GrantTemp == "" {
		return nil
	}
	return []Problem{{
		Field:   "table",
		Message: fmt.Sprintf("role %q may not create temporary tables in this database, and an import needs one", t.Role),
		Hint:    t.GrantTemp,
	}}
}

func (t *Table) checkColumns(s Spec) []Problem {
	if len(s.Columns) == 0 {
		return []Problem{{Field: "columns", Message: "no columns to write"}}
	}
	var problems []Problem
	add := func(column, message, hint string) {
		problems = append(problems, Problem{"columns", column, message, hint})
	}
	if n := len(s.Columns); n > maxWritten {
		add("", fmt.Sprintf("%d columns are written, and an import can write %d", n, maxWritten), "leave one out")
	}
	for i, name := range s.Columns {
		c := t.Column(name)
		switch {
		case slices.Contains(s.Columns[:i], name):
			add(name, fmt.Sprintf("column %q is written twice", name), "")
		case c == nil:
			problems = append(problems, t.unknown("columns", name))
		case c.Generated:
			add(name, fmt.Sprintf("column %q is computed from other columns and cannot be written", name), "leave it out")
		case c.IdentityAlways && len(s.Match) > 0 && s.OnConflict == Update && !slices.Contains(s.Match, name):
			add(name, fmt.Sprintf("column %q is GENERATED ALWAYS AS IDENTITY and cannot be updated", name), "leave it out, or match on it")
		}
	}
	return problems
}

// checkUnwritten looks for columns that would stay NULL and must not. With triggers nobody knows: they may fill them.
func (t *Table) checkUnwritten(s Spec) []Problem {
	if t.HasInsertTriggers {
		return nil
	}
	var problems []Problem
	for i := range t.Columns {
		c := &t.Columns[i]
		if !c.NotNull || c.HasDefault || c.Generated || s.writes(c.Name) {
			continue
		}
		problems = append(problems, Problem{"columns", c.Name,
			fmt.Sprintf("column %q is NOT NULL, has no default and is not written", c.Name), "write it, or give it a default"})
	}
	return problems
}

func (t *Table) checkSet(field string, names []string, s Spec) []Problem {
	var problems []Problem
	for i, name := range names {
		c := t.Column(name)
		switch {
		case c == nil:
			problems = append(problems, t.unknown(field, name))
		case slices.Contains(names[:i], name):
			problems = append(problems, Problem{field, name, fmt.Sprintf("column %q is listed twice", name), ""})
		case slices.Contains(s.Columns, name):
			problems = append(problems, Problem{field, name, fmt.Sprintf("column %q is written from the input too", name), "choose one of the two"})
		case c.Generated:
			problems = append(problems, Problem{field, name, fmt.Sprintf("column %q is computed from other columns and cannot be written", name), ""})
		case kindOf(c) != kindDate && kindOf(c) != kindTimestamp:
			problems = append(problems, Problem{field, name,
				fmt.Sprintf("column %q has type %s and cannot hold a time", name, c.TypeName), "use timestamptz, timestamp or date"})
		}
	}
	return problems
}

func (t *Table) checkMatch(s Spec) []Problem {
	if len(s.Match) == 0 {
		return nil
	}
	var problems []Problem
	misnamed := false // then it cannot be known which index is meant
	for i, name := range s.Match {
		switch {
		case t.Column(name) == nil:
			problems, misnamed = append(problems, t.unknown("match", name)), true
		case slices.Contains(s.Match[:i], name):
			problems, misnamed = append(problems, Problem{"match", name, fmt.Sprintf("column %q is listed twice", name), ""}), true
		case !slices.Contains(s.Columns, name):
			problems = append(problems, Problem{"match", name, fmt.Sprintf("match column %q is not written", name), "add it to the columns"})
		}
	}
	if misnamed || len(t.matchIndexes(s.Match)) > 0 {
		return problems
	}
	list := strings.Join(s.Match, ", ")
	for i := range t.UniqueIndexes {
		if x := &t.UniqueIndexes[i]; x.covers(s.Match) {
			return append(problems, Problem{"match", "", fmt.Sprintf("unique index %q on (%s) %s and cannot serve as match key", x.Name, list, x.unusable()),
				"create a plain unique index on these columns"})
		}
	}
	return append(problems, Problem{"match", "", fmt.Sprintf("there is no unique index on exactly (%s)", list), t.matchHint(s)})
}

// matchHint names the keys that could be used.
func (t *Table) matchHint(s Spec) string {
	var keys []string
	for i := range t.UniqueIndexes {
		x := &t.UniqueIndexes[i]
		if x.unusable() == "" {
			keys = append(keys, "("+strings.Join(x.Columns, ", ")+")")
		}
	}
	quoted := make([]string, len(s.Match))
	for i, m := range s.Match {
		quoted[i] = quote(m)
	}
	create := fmt.Sprintf("create one: CREATE UNIQUE INDEX ON %s (%s)", t.Ident(), strings.Join(quoted, ", "))
	if keys == nil {
		return create
	}
	return "keys that exist: " + strings.Join(keys, ", ") + "; or " + create
}

func (t *Table) unknown(field, name string) Problem {
	p := Problem{Field: field, Column: name, Message: fmt.Sprintf("table %s has no column %q", t.Ident(), name)}
	var similar []string
	for i := range t.Columns {
		if mayMean(t.Columns[i].Name, name) {
			similar = append(similar, fmt.Sprintf("%q", t.Columns[i].Name))
		}
	}
	if similar != nil {
		p.Hint = "did you mean " + strings.Join(similar, " or ") + "?"
	}
	return p
}

// mayMean reports whether name was perhaps meant by got. Of names of one or two letters only case may differ.
func mayMean(name, got string) bool {
	_, near := suggest.Distance(got, name)
	return near && (min(len(name), len(got)) > 2 || strings.EqualFold(name, got))
}

// writes reports whether the column gets a value on insert.
func (s *Spec) writes(name string) bool {
	return slices.Contains(s.Columns, name) || slices.Contains(s.SetOnInsert, name) || slices.Contains(s.SetOnChange, name)
}
