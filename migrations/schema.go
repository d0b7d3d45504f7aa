package migrations

import (
	"cmp"
	"strings"

	"github.com/jackc/pgx/v5"
)

// DefaultSchema is where Tidemill's tables, and River's unless told otherwise, live.
const DefaultSchema = "tidemill"

// Schema says where the tables are. The zero value means everything in DefaultSchema.
type Schema struct {
	Name  string // of Tidemill's own tables; default DefaultSchema
	River string // of River's tables; default Name
}

// Defaults returns s with its empty fields filled.
func (s Schema) Defaults() Schema {
	name := cmp.Or(s.Name, DefaultSchema)
	return Schema{Name: name, River: cmp.Or(s.River, name)}
}

// SQL returns query with {tidemill} and {river} replaced by the quoted schema names, {tidemill:text} and {river:text} by
// literals of the bare names, and {river_job:text} by a literal of the quoted name of River's table. Every statement names
// its schema, because the search_path belongs to the user's own tables.
func (s Schema) SQL(query string) string {
	s = s.Defaults()
	return strings.NewReplacer(
		"{tidemill}", pgx.Identifier{s.Name}.Sanitize(),
		"{river}", pgx.Identifier{s.River}.Sanitize(),
		"{tidemill:text}", literal(s.Name),
		"{river:text}", literal(s.River),
		"{river_job:text}", literal(pgx.Identifier{s.River, "river_job"}.Sanitize()),
	).Replace(query)
}

// literal quotes text for standard_conforming_strings, the server's default since 9.1.
func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
