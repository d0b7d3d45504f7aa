package importjob_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// anythingTables are the targets of a lane, each with constraints of its own; all have the same names of columns.
const anythingTables = `
CREATE SCHEMA LANE;
CREATE TABLE LANE.countries (code text PRIMARY KEY);
INSERT INTO LANE.countries VALUES ('gb'), ('de'), ('jp');
CREATE TABLE LANE.people (
	id int PRIMARY KEY, name varchar(12) NOT NULL, amount numeric(6,2) CHECK (amount >= 0), born date, seen timestamptz,
	country text REFERENCES LANE.countries, doc jsonb, raw bytea, tags text[], ok boolean, key uuid UNIQUE, ratio float8, n smallint,
	made timestamptz, changed timestamptz, CHECK (born < seen));
CREATE TABLE LANE.swallowed (LIKE LANE.people INCLUDING ALL);
CREATE FUNCTION LANE.swallow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.name = 'refuse' THEN
		RAISE EXCEPTION 'refused' USING ERRCODE = 'check_violation';
	END IF;
	RETURN CASE WHEN NEW.name <> 'swallow' THEN NEW END;
END $$;
CREATE TRIGGER swallow BEFORE INSERT ON LANE.swallowed FOR EACH ROW EXECUTE FUNCTION LANE.swallow();
CREATE TABLE LANE.parted (
	id int PRIMARY KEY, name varchar(12) NOT NULL, amount numeric(6,2), born date, seen timestamptz, country char(2), doc jsonb,
	raw bytea, tags text[], ok boolean, key uuid, ratio float8, n smallint, made timestamptz, changed timestamptz) PARTITION BY RANGE (id);
CREATE TABLE LANE.parted1 PARTITION OF LANE.parted FOR VALUES FROM (0) TO (20);
CREATE TABLE LANE.parted2 PARTITION OF LANE.parted FOR VALUES FROM (20) TO (50);
CREATE TYPE LANE.country AS ENUM ('gb', 'de', 'jp');
CREATE DOMAIN LANE.positive AS int CHECK (VALUE > 0);
CREATE TABLE LANE.odd (
	id text, name text NOT NULL, amount numeric, born interval, seen time, country LANE.country, doc json, raw bit(3), tags int[],
	ok LANE.positive, key inet, ratio real, n bigint, made timestamptz, changed timestamptz,
	length int GENERATED ALWAYS AS (length(name)) STORED,
	PRIMARY KEY (id, name), UNIQUE (key) DEFERRABLE INITIALLY DEFERRED, EXCLUDE (n WITH =));`

// anythingFile is a file and what it is imported into.
type anythingFile struct {
	table, definition string
	before            string // SQL
	twice             bool   // imported again at once
	content           []byte
}

// anythingMaker makes files; all its choices follow from the seed.
type anythingMaker struct {
	*rand.Rand
	odd   bool // the table
	clean bool // no field has what its column may not take
	next  int  // of a file of several chunks: the next id; such a file has new ids only, and common names
}

var anythingColumns = []string{"id", "name", "amount", "born", "seen", "country", "doc", "raw", "tags", "ok", "key", "ratio", "n"}

func makeAnything(seed uint64, lane string) anythingFile {
	m := &anythingMaker{Rand: rand.New(rand.NewPCG(seed, 1))}
	table := one(m, "people", "people", "swallowed", "parted", "odd")
	m.odd = table == "odd"
	f := anythingFile{table: lane + "." + table}
	ids := make([]string, m.IntN(12))
	for i := range ids {
		ids[i] = m.id()
	}
	f.before = fmt.Sprintf("TRUNCATE %s; INSERT INTO %[1]s (id, name) SELECT DISTINCT i, 'there' FROM unnest('{%s}'::int[]) i",
		f.table, strings.Join(ids, ","))
	form := m.form()
	m.clean = m.chance(30)
	if m.IntN(400) == 0 && table != "swallowed" && table != "parted" {
		m.next, form.columns = 100, anythingColumns[:2]
	}
	f.definition = "jobs:\n  " + lane + ":\n    kind: import\n    table: " + f.table + "\n    retry: {max_attempts: 2, backoff: constant, delay: 10ms}\n"
	for _, line := range m.fields(form, table) {
		f.definition += "    " + line + "\n"
	}
	f.content = m.file(form)
	f.twice = m.chance(15)
	return f
}

func one[T any](m *anythingMaker, of ...T) T { return of[m.IntN(len(of))] }

func (m *anythingMaker) chance(percent int) bool { return m.IntN(100) < percent }

func (m *anythingMaker) id() string { return strconv.Itoa(m.IntN(49)) }

// anythingForm is how a file is written.
type anythingForm struct {
	json               bool
	header, mark       bool
	delimiter, quote   string
	eol                string
	columns            []string
	encoding, compress string
	comment            bool
}

func (m *anythingMaker) form() anythingForm {
	form := anythingForm{
		json: m.chance(20), header: m.chance(85), mark: m.chance(15), delimiter: one(m, ",", ",", ";", "\t", "|"),
		quote: one(m, `"`, `"`, `"`, `'`), eol: one(m, "\n", "\n", "\r\n", "\r"),
		encoding: one(m, "utf-8", "utf-8", "utf-8", "utf-16le", "utf-16be", "shift_jis", "euc-jp", "iso-8859-1", "windows-1252"),
		compress: one(m, "none", "none", "none", "gzip", "zstd"),
		columns:  anythingColumns,
	}
	form.comment = !form.json && m.chance(15)
	if m.chance(60) {
		form.columns = anythingColumns[:2+m.IntN(len(anythingColumns)-1)]
	}
	if m.chance(10) {
		form.columns = slices.Clone(form.columns)
		m.Shuffle(len(form.columns), func(i, j int) { form.columns[i], form.columns[j] = form.columns[j], form.columns[i] })
	}
	return form
}

// fields are lines of a definition that fits the form, or nearly.
func (m *anythingMaker) fields(form anythingForm, table string) []string {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if m.chance(30) || !form.mark && form.encoding != "utf-8" && m.chance(80) {
		add("encoding: %s", form.encoding)
	} else if m.chance(5) {
		add("encoding: %s", one(m, "utf-8", "utf-16le", "shift_jis", "euc-jp", "windows-1252"))
	}
	if m.chance(20) {
		add("compression: %s", form.compress)
	} else if m.chance(3) {
		add("compression: %s", one(m, "none", "gzip", "zstd"))
	}
	if form.json {
		add("format: ndjson")
	} else {
		if !form.header {
			add("header: false")
		}
		if m.chance(40) {
			add("delimiter: %q", form.delimiter)
		}
		if m.chance(20) || form.quote == "'" {
			add("quote: %q", form.quote)
		}
		if form.comment {
			add(`comment: "#"`)
		}
		if m.chance(25) {
			add("ragged: pad")
		}
	}
	switch {
	case !form.header && !form.json:
		var columns []string
		for i, c := range form.columns {
			columns = append(columns, fmt.Sprintf("%s: %d", c, i+1))
		}
		add("columns: {%s}", strings.Join(columns, ", "))
	case m.chance(70):
		var columns []string
		for _, c := range form.columns {
			if slices.Contains([]string{"id", "name", "key"}, c) || m.chance(85) {
				columns = append(columns, c+": "+m.column(c))
			}
		}
		add("columns: {%s}", strings.Join(columns, ", "))
	}
	if m.chance(80) {
		match := "[id]"
		switch {
		case table == "odd":
			match = "[id, name]"
		case table != "parted" && slices.Contains(form.columns, "key") && m.chance(20):
			match = "[key]"
		}
		if !slices.Contains(form.columns, "id") || !slices.Contains(form.columns, "name") {
			return out
		}
		add("match: %s", match)
		add("on_conflict: %s", one(m, "skip", "update", "error"))
	}
	if m.chance(30) {
		add("set: {made: now on insert, changed: now on change}")
	}
	if m.chance(20) {
		add("max_record: 1KiB")
	}
	if m.chance(15) {
		add("mode: atomic")
	} else if m.chance(20) {
		add("writers: %d", 2+m.IntN(3))
	}
	add("reject_limit: %s", one(m, "{rows: 1000000}", "{rows: 1000000}", "{rows: 1000000}", "{rows: 1000000}", "{rows: 1000000, ratio: 10%}", "{rows: 2}"))
	return out
}

// column says what becomes of the fields of a column.
func (m *anythingMaker) column(name string) string {
	forms := map[string][]string{
		"amount": {"type: number", `type: number, grouping: ","`, `type: number, decimal: ",", grouping: "."`, `type: number, default: 1`},
		"born":   {"type: date", "type: date, layout: [iso, dd.MM.yyyy, excel]"},
		"seen":   {"type: timestamp", "type: timestamp, timezone: Asia/Tokyo", "type: timestamp, layout: [unix, iso]"},
		"doc":    {"type: json", `type: json, default: "{}"`},
		"tags":   {"type: array", `type: array, separator: ","`, `type: array, separator: "|", element: {type: number}`},
		"ok":     {"type: boolean", `type: boolean, true_if: [t, "on", "1"], false_if: ["false"]`},
		"ratio":  {"type: number"},
		"n":      {"type: number, default: 7", `trim: true, default: "3"`},
		"name":   {`null_if: ["-", "NULL", ""], default: nobody`},
	}[name]
	if len(forms) > 0 && m.chance(30) {
		return "{field: " + name + ", " + one(m, forms...) + "}"
	}
	return one(m, name, name, "{field: "+name+", trim: true}", "{field: "+name+`, null_if: ["-", "NULL", ""]}`)
}

// file writes records, and damages the text, its bytes, and what they are compressed to.
func (m *anythingMaker) file(form anythingForm) []byte {
	if m.chance(3) {
		return m.noise(m.IntN(3000))
	}
	rows := m.IntN(40)
	switch {
	case m.next > 0:
		rows = 60_000
	case m.chance(2): // more take too long where each second one collides with another
		rows = 200 + m.IntN(600)
	}
	text := []byte(m.text(form, rows))
	var other []byte
	if m.chance(20) {
		other = []byte(m.text(m.form(), 5))
	}
	if m.chance(60) {
		text = m.damage(text, other)
	}
	text = m.encode(text, form)
	if m.chance(15) {
		text = m.damage(text, other)
	}
	if form.compress == "none" {
		return text
	}
	text = m.compress(text, form.compress)
	if m.chance(20) {
		text = m.damage(text, other)
	}
	return text
}

func (m *anythingMaker) text(form anythingForm, rows int) string {
	var b strings.Builder
	if form.comment {
		b.WriteString("# by hand" + form.eol)
	}
	if form.header && !form.json {
		b.WriteString(strings.Join(form.columns, form.delimiter) + form.eol)
	}
	for range rows {
		if form.comment && m.chance(10) {
			b.WriteString("#" + m.strange() + form.eol)
		}
		if form.json {
			m.object(&b, form.columns)
		} else {
			m.record(&b, form)
		}
		b.WriteString(form.eol)
	}
	text := b.String()
	if m.chance(20) {
		text = strings.TrimSuffix(text, form.eol)
	}
	return text
}

func (m *anythingMaker) record(b *strings.Builder, form anythingForm) {
	for i, c := range form.columns {
		if i > 0 {
			b.WriteString(form.delimiter)
		}
		value, null := m.value(c)
		switch {
		case null:
		case value == "" || m.chance(5) || strings.ContainsAny(value, form.delimiter+form.quote+"\r\n"):
			b.WriteString(form.quote + strings.ReplaceAll(value, form.quote, form.quote+form.quote) + form.quote)
		default:
			b.WriteString(value)
		}
	}
	if m.chance(1) {
		b.WriteString(form.delimiter)
	}
}

func (m *anythingMaker) object(b *strings.Builder, columns []string) {
	b.WriteByte('{')
	first := true
	for _, c := range columns {
		value, null := m.value(c)
		if null && m.chance(50) {
			continue
		}
		if !first {
			b.WriteString(", ")
		}
		first = false
		raw, _ := json.Marshal(value) // a string always marshals
		if json.Valid([]byte(value)) && m.chance(70) && !strings.ContainsAny(value, "\r\n") {
			raw = []byte(value)
		}
		if null {
			raw = []byte("null")
		}
		fmt.Fprintf(b, "%q: %s", c, raw)
	}
	b.WriteByte('}')
}

// value is one that the column takes, or, unless the file is clean, now and then one that it may not.
func (m *anythingMaker) value(column string) (value string, null bool) {
	switch {
	case m.next > 0 && column == "id":
		m.next++
		return strconv.Itoa(m.next), false
	case m.next > 0:
		return one(m, "Ada", "Grace", "山田"), false
	case m.chance(10) && column != "id" && column != "name":
		return "", true
	case m.clean:
	case m.chance(4):
		return m.strange(), false
	case m.chance(1):
		return "", true
	}
	small := strconv.Itoa(m.IntN(9))
	if m.odd {
		switch column {
		case "born":
			return small + " days", false
		case "seen":
			return "1" + small + ":30", false
		case "raw":
			return one(m, "101", "000"), false
		case "tags":
			return one(m, "{}", "{1,2}", "{"+small+",NULL}"), false
		case "ok":
			return "1" + small, false
		case "key":
			return "10." + m.id() + ".0." + m.id(), false
		case "n":
			return strconv.Itoa(m.IntN(1_000_000)), false
		}
	}
	switch column {
	case "id":
		return m.id(), false
	case "name":
		return one(m, "Ada", "Grace "+small, "Zoë", "Jörg Müller", "山田太郎", "鈴木", "Doe, Jane", `say "hi"`, "two\nlines", "it's", "swallow", "refuse"), false
	case "amount":
		return small + "." + small, false
	case "born":
		return "199" + small + "-0" + one(m, "1", "2", "9") + "-1" + small, false
	case "seen":
		return "202" + small + "-01-0" + one(m, "1", "2", "9") + "T1" + small + ":00:00Z", false
	case "country":
		return one(m, "gb", "de", "jp"), false
	case "doc":
		return one(m, `{"a": [1, {"b": null}]}`, "[]", small, `"text"`), false
	case "raw":
		return one(m, `\x`, `\x00ff`, "plain"), false
	case "tags":
		return one(m, "{}", "{a,b}", `{"x y",NULL}`), false
	case "ok":
		return one(m, "t", "false", "1", "on"), false
	case "key":
		return fmt.Sprintf("%08x-0000-4000-8000-%012x", m.Uint32(), m.IntN(5)), false
	case "ratio":
		return one(m, small, "1e"+small, "-0.5", "NaN"), false
	}
	return small, false
}

func (m *anythingMaker) strange() string {
	return one(m, "", " ", "-", "NULL", "\x00", "a\x00b", `\N`, `\.`, `\`, `\x0`, `\xzz`, "NaN", "-1", "1e999", "1e-999", strings.Repeat("9", 50), "0x10",
		"99999999999", "32768", "infinity", "-infinity", "2026-02-30", "0000-00-00", "4714-11-24 BC", "24:00:00", "294277-01-01", "now", "{", "{a,b", `{"a"`,
		"{{1,2},{3}}", "[1:0]={}", "null", `{"a":"\u0000"}`, `{"a":1e400}`, `"\ud800"`, strings.Repeat("[", 300), "é", "e\u0301", "\u2028", "\u00a0", "\ufeff", "\ufffe",
		"🦀", "\xff\xfe", "\xc3", "\xed\xa0\x80", strings.Repeat("x", 13), strings.Repeat("長", 300), strings.Repeat("y", 2000), "\r", "\n", "\r\n", "\t", `"`, `""`, "'",
		`a"b`, ",", ";", "#", "=1+1", "swallow", "refuse", "xx", "true", "1_000", "١")
}
