package bulk

import (
	"slices"

	"github.com/jackc/pgx/v5"
)

// Table describes a target as the catalog has it. See [Describe].
type Table struct {
	Schema, Name string
	OID          uint32
	// Kind is pg_class.relkind: 'r' table, 'p' partitioned table, 'v' view, 'm' materialized view, 'f' foreign table.
	Kind byte
	// Columns are in the order of the table, without dropped ones.
	Columns []Column
	// UniqueIndexes are the valid btree ones.
	UniqueIndexes []UniqueIndex
	// HasInsertTriggers: enabled BEFORE INSERT row triggers of the user exist, here or on a partition. They can change
	// and swallow rows.
	HasInsertTriggers bool
	// HasUpdateTriggers is the same for BEFORE UPDATE.
	HasUpdateTriggers bool
	// HasInsertRules: a rule rewrites INSERT or UPDATE. COPY ignores such rules.
	HasInsertRules bool
	// RLS: row-level security is active for the role that asked.
	RLS bool
	// Role is who asked. GrantTemp is what lets it create temporary tables; empty if it may.
	Role, GrantTemp string
}

// Column of a table.
type Column struct {
	Name string
	// Num is pg_attribute.attnum.
	Num int16
	// TypeOID is the declared type, BaseOID the type under it if that is a domain, else the same.
	TypeOID, BaseOID uint32
	// BaseMod is the type modifier that goes with BaseOID; -1 if there is none.
	BaseMod int32
	// TypeName is the type as format_type writes it, for messages.
	TypeName string
	NotNull  bool
	// Exact: texts are equal only if their characters are. It needs a deterministic collation and a database in UTF-8;
	// of no meaning for types other than text, varchar and char.
	Exact bool
	// HasDefault: the column fills itself when it is not written (default, identity, default of a domain).
	HasDefault bool
	// Generated: computed from other columns (GENERATED ALWAYS AS (expression)).
	Generated bool
	// IdentityAlways: GENERATED ALWAYS AS IDENTITY.
	IdentityAlways bool
}

// UniqueIndex of a table.
type UniqueIndex struct {
	Name string
	// Names are the names of the index and of its parts on partitions, as error messages of the server have them.
	Names []string
	// Columns are the key columns in the order of the index; incomplete if Expression is set.
	Columns []string
	// Equals has the equality operator for each of Columns, in the form OPERATOR(schema.=).
	Equals     []string
	Partial    bool
	Expression bool
	Deferrable bool
	// Special: a collation or an operator class that is not the column's own, so that what is equal for the index may
	// differ from what is equal for the column.
	Special bool
}

// unusable says why ON CONFLICT cannot rest on the index; "" if it can.
func (x *UniqueIndex) unusable() string {
	switch {
	case x.Partial:
		return "is partial (it has a WHERE clause)"
	case x.Expression:
		return "is on an expression"
	case x.Deferrable:
		return "is deferrable"
	case x.Special:
		return "has a collation or operator class of its own"
	}
	return ""
}

// covers reports whether the key columns are exactly these, in any order.
func (x *UniqueIndex) covers(columns []string) bool {
	if x.Expression || len(x.Columns) != len(columns) {
		return false
	}
	for _, c := range columns {
		if !slices.Contains(x.Columns, c) {
			return false
		}
	}
	return true
}

// Column returns the column of that name, or nil.
func (t *Table) Column(name string) *Column {
	for i := range t.Columns {
		if t.Columns[i].Name == name {
			return &t.Columns[i]
		}
	}
	return nil
}

// Ident is the quoted, schema-qualified name.
func (t *Table) Ident() string { return pgx.Identifier{t.Schema, t.Name}.Sanitize() }

// matchIndexes are the usable unique indexes on exactly these columns.
func (t *Table) matchIndexes(columns []string) []*UniqueIndex {
	var found []*UniqueIndex
	for i := range t.UniqueIndexes {
		if x := &t.UniqueIndexes[i]; x.covers(columns) && x.unusable() == "" {
			found = append(found, x)
		}
	}
	return found
}
