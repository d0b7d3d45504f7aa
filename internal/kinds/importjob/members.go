package importjob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/bulk"
	"github.com/tidemill/tidemill/internal/rowio"
	"github.com/tidemill/tidemill/internal/textin"
)

// listedMembers bounds the names that are kept of a file's members: where keys are ids there is one for each line.
const listedMembers = 100

// askEvery is how many bytes of a file are looked through between two words that the run is alive.
const askEvery = 64 << 20

// memberSearch looks through a file of NDJSON for members, as far as it must: to the last of those that are wanted.
type memberSearch struct {
	source *importSource
	alive  func(context.Context) error // nil: nobody waits
	lines  int64                       // that are objects
	found  []bool                      // by place in the names
	left   int                         // names that are not found yet
	others []string                    // that are not among the names
}

// memberNames are the names of the members to read. A line may have a member that no line before had, so that only the whole
// file says what it does not have.
func (s *importSource) memberNames(ctx context.Context, table *bulk.Table, alive func(context.Context) error) error {
	mapped := len(s.def.Columns) > 0
	s.addMapped()
	if !mapped {
		for _, column := range table.Columns {
			s.names = append(s.names, column.Name)
		}
	}
	search := &memberSearch{source: s, alive: alive, found: make([]bool, len(s.names)), left: len(s.names)}
	if err := search.run(ctx); err != nil {
		return err
	}
	if mapped {
		return search.checkMapped()
	}
	return search.keepFound(table)
}

func (s *importSource) addMapped() {
	for _, column := range s.def.Columns {
		if !slices.Contains(s.names, column.Field) { // one may fill several columns
			s.names = append(s.names, column.Field)
		}
	}
}

func (m *memberSearch) run(ctx context.Context) error {
	stream, err := m.source.text(0)
	if err != nil {
		return err
	}
	defer stream.Close()
	records := m.source.records(stream, m.source.first, 0)
	for asked := int64(0); m.left > 0; {
		record, err := records.Next()
		var damage *textin.DamageError
		if errors.Is(err, io.EOF) || errors.As(err, &damage) { // what is before the damage is imported
			return nil
		}
		if err != nil {
			return m.source.damaged(err)
		}
		if record.Err == nil {
			m.add(record)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if record.End-asked >= askEvery && m.alive != nil {
			asked = record.End
			if err := m.alive(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *memberSearch) add(record *rowio.Record) {
	m.lines++
	for i := range record.Fields {
		if record.Fields[i].Kind != rowio.KindMissing && !m.found[i] {
			m.found[i] = true
			m.left--
		}
	}
	for _, name := range record.Others {
		if len(m.others) < listedMembers && !slices.Contains(m.others, string(name)) {
			m.others = append(m.others, string(name))
		}
	}
}

// checkMapped refuses a mapping of which no line has a member: its column would be NULL in each row.
func (m *memberSearch) checkMapped() error {
	if m.lines == 0 || m.source.rejects { // of the lines that were corrected, any may lack what others had
		return nil
	}
	for _, column := range m.source.def.Columns {
		at := slices.Index(m.source.names, column.Field)
		switch {
		case m.found[at]:
			continue
		case column.Optional:
			m.source.lacking = append(m.source.lacking, column.Field)
			continue
		}
		return m.source.fail("none of its %d lines has the member %q, which column %s needs; they have: %s; %s",
			m.lines, column.Field, column.Target, shorten(m.have()), m.advice(column.Target, column.Field))
	}
	return nil
}

func (m *memberSearch) advice(column, field string) string {
	outer, _, dotted := strings.Cut(field, ".")
	if dotted && slices.Contains(m.have(), outer) {
		return fmt.Sprintf("a member within another is not reached by a dot: take %q whole into a column of type jsonb, or take it out with jq", outer)
	}
	return fmt.Sprintf("name another under columns, or, if files may lack it: `%s: {field: %q, optional: true}`", column, field)
}

// have are the names of the members that were seen.
func (m *memberSearch) have() []string {
	var names []string
	for i, name := range m.source.names {
		if m.found[i] {
			names = append(names, name)
		}
	}
	return append(names, m.others...)
}

// keepFound leaves the columns that no line has to the table: their defaults, and in an update what they hold.
func (m *memberSearch) keepFound(table *bulk.Table) error {
	var names []string
	for i, name := range m.source.names {
		if m.found[i] {
			names = append(names, name)
		}
	}
	m.source.names = names
	if len(names) > 0 {
		return nil
	}
	if len(m.others) == 0 {
		return m.source.fail("none of its lines has members; name them under columns")
	}
	return m.source.fail("none of its members is a column of the table %s.%s; they are: %s; name under columns which goes where",
		table.Schema, table.Name, shorten(m.others))
}

// unusedMembers counts, by their names, the members of imported lines that no column takes.
type unusedMembers struct {
	Names map[string]int64 `json:"names,omitempty"`
	More  int64            `json:"more,omitempty"` // of those that have no place in Names
}

func (u *unusedMembers) add(source *importSource, names [][]byte) {
	for _, name := range names {
		if source.rejects && string(name) == errorField {
			continue
		}
		// A name may be as long as a line.
		const longest = 100
		if len(name) > longest {
			name = []byte(strings.ToValidUTF8(string(name[:longest]), "") + "…")
		}
		_, known := u.Names[string(name)]
		switch {
		case !known && len(u.Names) >= listedMembers:
			u.More++
		case u.Names == nil:
			u.Names = map[string]int64{string(name): 1}
		default:
			u.Names[string(name)]++
		}
	}
}

func (u unusedMembers) clone() unusedMembers {
	u.Names = maps.Clone(u.Names)
	return u
}

func (u unusedMembers) empty() bool { return len(u.Names) == 0 }

// String names the members with their counts, those that come most often first.
func (u unusedMembers) String() string {
	names := slices.SortedFunc(maps.Keys(u.Names), func(a, b string) int {
		if n := u.Names[b] - u.Names[a]; n != 0 {
			return int(max(min(n, 1), -1))
		}
		return strings.Compare(a, b)
	})
	const shown = 10
	var parts []string
	for i, name := range names {
		if i == shown {
			parts = append(parts, fmt.Sprintf("and %d more names", len(names)-shown))
			break
		}
		parts = append(parts, fmt.Sprintf("%s (%d)", name, u.Names[name]))
	}
	if u.More > 0 {
		parts = append(parts, fmt.Sprintf("others (%d)", u.More))
	}
	return strings.Join(parts, ", ")
}
