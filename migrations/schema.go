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

// SQL returns query with {tidemill} and {river} replaced by the quoted schema names. Every statement names its schema,
// because the search_path belongs to the user's own tables.
func (s Schema) SQL(query string) string {
	s = s.Defaults()
	return strings.NewReplacer(
		"{tidemill}", pgx.Identifier{s.Name}.Sanitize(),
		"{river}", pgx.Identifier{s.River}.Sanitize(),
	).Replace(query)
}
