package config

import (
	"regexp"
	"strings"

	"github.com/tidemill/tidemill/config/field"
)

const maxIdent = 63 // bytes, by PostgreSQL

// identRE are the identifiers that PostgreSQL takes without quotes as they are.
var identRE = regexp.MustCompile(`^[a-z_\x{80}-\x{10ffff}][a-z0-9_$\x{80}-\x{10ffff}]*$`)

// TableName is schema.table or table. As in SQL a part may be in double quotes; a
// part with capitals must, because SQL would fold it to lower case.
type TableName struct{}

func (TableName) Read(d *field.Checker, v field.Value, into *Table) {
	s, known, ok := d.Text(v)
	if !ok {
		return
	}
	if !known {
		into.Name = s
		return
	}
	parts, problem, hint := splitTable(s)
	switch {
	case problem != "":
		d.InvalidValue(v, hint, "%s", problem)
	case len(parts) > 2:
		d.InvalidValue(v, "write schema.table; the database is that of database.url", "has more than two parts")
	case len(parts) == 2:
		*into = Table{Schema: parts[0], Name: parts[1]}
	default:
		*into = Table{Name: parts[0]}
	}
}

func (TableName) Meta() field.Meta {
	return field.Meta{
		Words:  "`table` or `schema.table`",
		Schema: map[string]any{"type": "string", "minLength": 1},
	}
}

// splitTable takes the parts of a dotted name apart and removes their quotes.
func splitTable(s string) (parts []string, problem, hint string) {
	const form = "write schema.table or table"
	for rest := s; ; {
		var part string
		if strings.HasPrefix(rest, `"`) {
			var closed bool
			if part, rest, closed = cutQuoted(rest); !closed {
				return nil, "has a quote that is not closed", form
			}
		} else {
			end := strings.IndexByte(rest, '.')
			if end < 0 {
				end = len(rest)
			}
			part, rest = rest[:end], rest[end:]
			if part != "" && !identRE.MatchString(part) {
				return nil, "is not a table name", `put a part with capitals, spaces or other characters in double quotes: '"My Schema"."T"'`
			}
		}
		if problem := CheckIdentifier(part); problem != "" {
			return nil, "has a part that " + problem, form
		}
		parts = append(parts, part)
		if rest == "" {
			return parts, "", ""
		}
		if !strings.HasPrefix(rest, ".") {
			return nil, "is not a table name", form
		}
		rest = rest[1:]
	}
}

// cutQuoted takes a quoted identifier off the front; a doubled quote in it is one.
func cutQuoted(s string) (part, rest string, closed bool) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] != '"':
			b.WriteByte(s[i])
		case i+1 < len(s) && s[i+1] == '"':
			b.WriteByte('"')
			i++
		default:
			return b.String(), s[i+1:], true
		}
	}
	return "", "", false
}

// CheckIdentifier tells why s cannot be an identifier even in quotes; "" when it can.
func CheckIdentifier(s string) string {
	switch {
	case s == "":
		return "is empty"
	case len(s) > maxIdent:
		return "is longer than the 63 bytes of a PostgreSQL name"
	case strings.ContainsRune(s, 0):
		return "holds a NUL character"
	}
	return ""
}

// Table names a table. The parts are as the catalog has them, without quotes.
type Table struct {
	Schema string // empty: found by the search path
	Name   string
}

// String writes the table as the configuration would, quoted where needed.
func (t Table) String() string {
	quote := func(s string) string {
		if identRE.MatchString(s) {
			return s
		}
		return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
	}
	if t.Schema == "" {
		return quote(t.Name)
	}
	return quote(t.Schema) + "." + quote(t.Name)
}

// The formats of a file.
const (
	CSV    = "csv"
	NDJSON = "ndjson"
)
