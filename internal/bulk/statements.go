package bulk

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// statements are the SQL texts of a writer. In those of the merge $1 and $2 bound the ordinals, and $3 is the layer
// where there is one. Nothing depends on the search path: tables are qualified, and so are the operators that keys are
// compared with.
type statements struct {
	copyDirect, copyStage   string
	createStage, listChecks string
	// keyExists takes the values of the match columns as text, in the order of the written columns.
	keyExists string
	// all and layer are the two sources of a merge; see source.
	all, layer mergeSQL
	// mergePlain is the update of the rows that are not in the array $3, which have a key each of their own. It returns how
	// many were inserted, and inserted or updated. Empty where rows cannot be merged so.
	mergePlain string
	// dropPlain leaves the rows of the array $1 in the stage.
	dropPlain string
	// layers counts the rows of the most frequent key.
	layers string
}

// mergeSQL moves rows from the stage into the table.
type mergeSQL struct {
	insert string // all rows of the source
	skip   string // those whose key is free
	// update returns how many rows it was given, inserted, and inserted or updated; the second is 0 for a
	// partitioned table, which cannot tell.
	update string
	// taken counts the distinct keys of the source and those of them that are in the table.
	taken string
	// dropTaken returns the ordinals of the rows that collide on the key; insert, run after it, leaves them out.
	dropTaken string
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// quoteAll lists the names, quoted and after a prefix such as "s.".
func quoteAll(prefix string, names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = prefix + quote(n)
	}
	return strings.Join(out, ", ")
}

// free returns name, with as many underscores as it takes to differ from all columns.
func free(name string, columns []string) string {
	for slices.Contains(columns, name) {
		name += "_"
	}
	return name
}

// builder has what the statements share.
type builder struct {
	w        *Writer
	table    string
	ord      string // quoted
	layer    string // quoted
	set      []string
	equals   map[string]string
	into     string // INSERT INTO ... (columns) SELECT expressions
	conflict string // ON CONFLICT (match)
}

func newBuilder(w *Writer) *builder {
	b := &builder{
		w:      w,
		table:  w.table.Ident(),
		ord:    quote(free("tidemill_ord", w.spec.Columns)),
		layer:  quote(free("tidemill_layer", w.spec.Columns)),
		set:    w.setColumns(),
		equals: map[string]string{},
	}
	for _, x := range w.table.matchIndexes(w.spec.Match) {
		for i, c := range x.Columns {
			b.equals[c] = x.Equals[i]
		}
	}
	b.into = b.insertInto()
	b.conflict = "ON CONFLICT (" + quoteAll("", w.spec.Match) + ")"
	return b
}

func newStatements(w *Writer) statements {
	b := newBuilder(w)
	st := statements{
		copyDirect:  b.copyFrom(b.table, slices.Concat(b.set, w.spec.Columns)),
		createStage: b.createStage(),
		listChecks:  b.listChecks(),
	}
	st.copyStage = fmt.Sprintf("COPY pg_temp.%s (%s, %s) FROM STDIN (ENCODING 'UTF8')", stageName, b.ord, quoteAll("", w.spec.Columns))
	st.all = mergeSQL{insert: b.insert(false)}
	if len(w.spec.Match) == 0 {
		return st
	}
	st.all = b.merge(false)
	st.layer = b.merge(true)
	st.layers = fmt.Sprintf("SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM pg_temp.%s s WHERE %s GROUP BY %s) k",
		stageName, b.within("s"), quoteAll("s.", w.spec.Match))
	st.keyExists = b.keyExists()
	if w.spec.OnConflict == Update && !w.table.HasInsertTriggers && w.table.Kind != 'p' {
		st.mergePlain = b.mergePlain()
		st.dropPlain = fmt.Sprintf("DELETE FROM pg_temp.%s WHERE %s <> ALL ($1::pg_catalog.int4[])", stageName, b.ord)
	}
	return st
}

func (b *builder) copyFrom(table string, columns []string) string {
	return fmt.Sprintf("COPY %s (%s) FROM STDIN (ENCODING 'UTF8')", table, quoteAll("", columns))
}

// createStage lets the server find the types: by name they would depend on the search path.
func (b *builder) createStage() string {
	return fmt.Sprintf("CREATE TEMP TABLE %s ON COMMIT DROP AS SELECT NULL::pg_catalog.int4 AS %s, %s FROM %s WITH NO DATA",
		stageName, b.ord, quoteAll("", b.w.spec.Columns), b.table)
}

// listChecks finds CHECK constraints that read nothing but written columns. A whole-row reference counts as column 0.
func (b *builder) listChecks() string {
	nums := make([]string, len(b.w.columns))
	for i, c := range b.w.columns {
		nums[i] = strconv.Itoa(int(c.Num))
	}
	return fmt.Sprintf(`SELECT conname::text, pg_get_constraintdef(oid) FROM pg_constraint
WHERE conrelid = %d AND contype = 'c' AND conkey <> '{}' AND conkey <@ '{%s}'::int2[] ORDER BY conname`,
		b.w.table.OID, strings.Join(nums, ","))
}

func (b *builder) insertInto() string {
	// Said always: COPY writes identity columns too, and without any the clause means nothing.
	names := slices.Concat(b.set, b.w.spec.Columns)
	values := strings.Repeat("pg_catalog.now(), ", len(b.set)) + quoteAll("s.", b.w.spec.Columns)
	for _, d := range b.w.spec.Trial.columns() {
		names, values = append(names, d.column), values+", "+d.sql
	}
	return fmt.Sprintf("INSERT INTO %s AS t (%s) OVERRIDING SYSTEM VALUE SELECT %s", b.table, quoteAll("", names), values)
}

// within bounds the ordinals of alias.
func (b *builder) within(alias string) string {
	return fmt.Sprintf("%s.%s >= $1 AND %s.%s < $2", alias, b.ord, alias, b.ord)
}

// source is the staged rows, as FROM item s and WHERE condition. A layer takes the first, second ... row of each key.
func (b *builder) source(layered bool) (from, where string) {
	if !layered {
		return "pg_temp." + stageName + " s", b.within("s")
	}
	return fmt.Sprintf("(SELECT i.*, row_number() OVER (PARTITION BY %s ORDER BY i.%s) AS %s FROM pg_temp.%s i WHERE %s) s",
		quoteAll("i.", b.w.spec.Match), b.ord, b.layer, stageName, b.within("i")), "s." + b.layer + " = $3"
}

// sameKey compares the match columns of two FROM items.
func (b *builder) sameKey(x, y string) string {
	out := make([]string, len(b.w.spec.Match))
	for i, c := range b.w.spec.Match {
		out[i] = fmt.Sprintf("%s.%s %s %s.%s", x, quote(c), b.equals[c], y, quote(c))
	}
	return strings.Join(out, " AND ")
}

func (b *builder) insert(layered bool) string {
	from, where := b.source(layered)
	return fmt.Sprintf("%s FROM %s WHERE %s ORDER BY %ss.%s", b.into, from, where, b.keyOrder(), b.ord)
}

// keyOrder makes all writers lock keys in the same order, so that two of them do not wait for each other.
func (b *builder) keyOrder() string {
	if len(b.w.spec.Match) == 0 {
		return ""
	}
	return quoteAll("s.", b.w.spec.Match) + ", "
}

func (b *builder) merge(layered bool) mergeSQL {
	from, where := b.source(layered)
	match := quoteAll("s.", b.w.spec.Match)
	exists := fmt.Sprintf("EXISTS (SELECT FROM %s t WHERE %s)", b.table, b.sameKey("t", "s"))
	m := mergeSQL{
		insert: b.insert(layered),
		skip:   b.insert(layered) + " " + b.conflict + " DO NOTHING",
		update: b.update(layered),
		taken: fmt.Sprintf("SELECT count(*), count(*) FILTER (WHERE %s) FROM (SELECT DISTINCT %s FROM %s WHERE %s) s",
			exists, match, from, where),
	}
	if layered { // the rows must stay: the layers of the later ones are counted from them
		m.dropTaken = fmt.Sprintf("SELECT s.%s FROM %s WHERE %s AND %s", b.ord, from, where, exists)
		m.insert = m.skip
		return m
	}
	m.dropTaken = fmt.Sprintf("DELETE FROM pg_temp.%[1]s d USING (SELECT s.%[2]s, row_number() OVER (PARTITION BY %[3]s ORDER BY s.%[2]s) > 1 OR %[4]s AS %[5]s"+
		" FROM %[6]s WHERE %[7]s) s WHERE s.%[5]s AND d.%[2]s = s.%[2]s RETURNING d.%[2]s",
		stageName, b.ord, match, exists, b.layer, from, where)
	return m
}

// update writes the last row of each key. Only rows that differ are touched.
func (b *builder) update(layered bool) string {
	from, where := b.source(layered)
	match := quoteAll("s.", b.w.spec.Match)
	inserted := "xmax = 0" // an updated row carries its lock
	if b.w.table.Kind == 'p' {
		inserted = "NULL::pg_catalog.bool" // partitioned tables have no system columns
	}
	differs := ""
	if !b.w.table.HasInsertTriggers { // they may change what is compared
		differs = "WHERE " + b.differs() + " "
	}
	return fmt.Sprintf("WITH s AS MATERIALIZED (SELECT DISTINCT ON (%[1]s) s.* FROM %[2]s WHERE %[3]s ORDER BY %[1]s, s.%[4]s DESC), "+
		"m AS (%[5]s FROM s %[9]sORDER BY %[1]s %[6]s %[7]s RETURNING %[8]s AS %[4]s) "+
		"SELECT (SELECT count(*) FROM s), count(*) FILTER (WHERE m.%[4]s), count(*) FROM m",
		match, from, where, b.ord, b.into, b.conflict, b.doUpdate(), inserted, differs)
}

// mergePlain is update without a look for other rows of the same key.
func (b *builder) mergePlain() string {
	return fmt.Sprintf("WITH m AS (%s FROM pg_temp.%s s WHERE %s AND s.%[4]s <> ALL ($3::pg_catalog.int4[]) AND %[5]s ORDER BY %[6]s %[7]s %[8]s"+
		" RETURNING xmax = 0 AS %[4]s) SELECT count(*) FILTER (WHERE m.%[4]s), count(*) FROM m",
		b.into, stageName, b.within("s"), b.ord, b.differs(), quoteAll("s.", b.w.spec.Match), b.conflict, b.doUpdate())
}

// differs is false for a row that is in the table as it should be. ON CONFLICT would find that out, too, but lock the row,
// which is as good as writing it.
func (b *builder) differs() string {
	is, was := b.compared("s."), b.compared("t.")
	same := ""
	if is != nil {
		same = fmt.Sprintf(" AND (%s) IS NOT DISTINCT FROM (%s)", strings.Join(was, ", "), strings.Join(is, ", "))
	}
	return fmt.Sprintf("NOT EXISTS (SELECT FROM %s t WHERE %s%s)", b.table, b.sameKey("t", "s"), same)
}

// compared are the columns that are not in the key, as they are compared.
func (b *builder) compared(prefix string) (out []string) {
	for i, c := range b.w.columns {
		if !b.w.isMatch[i] {
			out = append(out, comparable(c, prefix+quote(c.Name)))
		}
	}
	return out
}

func (b *builder) doUpdate() string {
	var set []string
	for i, c := range b.w.columns {
		if !b.w.isMatch[i] {
			set = append(set, fmt.Sprintf("%s = excluded.%s", quote(c.Name), quote(c.Name)))
		}
	}
	was, is := b.compared("t."), b.compared("excluded.")
	if set == nil {
		return "DO NOTHING" // nothing but the key: it is there as it should be
	}
	for _, c := range b.w.spec.SetOnChange {
		set = append(set, quote(c)+" = pg_catalog.now()")
	}
	return fmt.Sprintf("DO UPDATE SET %s WHERE (%s) IS DISTINCT FROM (%s)",
		strings.Join(set, ", "), strings.Join(was, ", "), strings.Join(is, ", "))
}

// comparable is an expression that differs when the value does. Types without equality, those for which different
// values are equal (citext, interval) and those whose operators may not be in the search path are compared as text.
func comparable(c *Column, expr string) string {
	switch c.BaseOID {
	case oidBool, oidInt2, oidInt4, oidInt8, oidFloat4, oidFloat8, oidNumeric, oidDate, oidTime, oidTimestamp, oidTimestamptz,
		oidUUID, oidBytea, oidJSONB:
		return expr
	case oidText, oidVarchar, oidBPChar:
		return expr + ` COLLATE pg_catalog."C"`
	}
	return expr + `::pg_catalog.text COLLATE pg_catalog."C"`
}

func (b *builder) keyExists() string {
	var parts []string
	for i, c := range b.w.columns {
		if b.w.isMatch[i] {
			value := fmt.Sprintf("$%d", len(parts)+1)
			if n := maxLength(c); n > 0 && c.BaseOID == oidVarchar {
				value += fmt.Sprintf("::pg_catalog.varchar(%d)", n) // drops the blanks that the table drops
			}
			parts = append(parts, fmt.Sprintf("t.%s %s %s", quote(c.Name), b.equals[c.Name], value))
		}
	}
	return fmt.Sprintf("SELECT EXISTS (SELECT FROM %s t WHERE %s)", b.table, strings.Join(parts, " AND "))
}
