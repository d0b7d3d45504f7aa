package sqljob

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// Result is what is kept of a statement that succeeded.
type Result struct {
	Command      string `json:"command"`                 // PostgreSQL's command tag: UPDATE 12
	RowsAffected *int64 `json:"rows_affected,omitempty"` // by a statement that writes
	// Columns and Rows are absent if the statement returns no rows. A row has a value for each column: numbers, truth
	// values and JSON as such, timestamps as RFC 3339, bytea as \x and hexadecimal digits, everything else, and what JSON
	// has no number for, as PostgreSQL's text.
	Columns   []string          `json:"columns,omitzero"`
	Rows      []json.RawMessage `json:"rows,omitzero"`
	RowCount  *int64            `json:"row_count,omitempty"` // of all rows returned
	Truncated bool              `json:"truncated,omitempty"` // not all of them are in Rows
}

// maxSQLResult is how many bytes of Columns and Rows are kept, as JSON.
const maxSQLResult = 64 << 10

// sqlFormats asks for a form that no setting of the session changes, where the text's would.
func sqlFormats(fields []pgconn.FieldDescription) []int16 {
	formats := make([]int16, len(fields))
	for i, field := range fields {
		switch field.DataTypeOID {
		case pgtype.ByteaOID, pgtype.DateOID, pgtype.Float4OID, pgtype.Float8OID, pgtype.TimestampOID, pgtype.TimestamptzOID:
			formats[i] = pgtype.BinaryFormatCode
		}
	}
	return formats
}

// readSQLResult reads rows to the end and keeps the first of them. Those that it does not keep cost no memory.
func readSQLResult(rows *pgconn.ResultReader, types *pgtype.Map, zone *time.Location, maxRows int) (*Result, error) {
	k := keeper{types: types, zone: zone, maxRows: maxRows, room: maxSQLResult}
	var n int64
	var broken error
	for rows.NextRow() {
		if n == 0 {
			k.begin(rows.FieldDescriptions())
		}
		n++
		if broken == nil {
			broken = k.keep(rows.FieldDescriptions(), rows.Values())
		}
	}
	fields := rows.FieldDescriptions()
	tag, err := rows.Close()
	switch {
	case err != nil:
		return nil, err
	case broken != nil:
		return nil, broken
	}
	result := &Result{Command: tag.String()}
	if affected := tag.RowsAffected(); !tag.Select() && strings.HasSuffix(result.Command, " "+strconv.FormatInt(affected, 10)) {
		result.RowsAffected = &affected
	}
	if len(fields) == 0 && n == 0 {
		return result, nil
	}
	if n == 0 {
		k.begin(fields)
	}
	result.Columns, result.Rows, result.RowCount = k.columns, k.rows, &n
	result.Truncated = k.full || n > int64(len(k.rows))
	return result, nil
}

// keeper collects the first rows of a result.
type keeper struct {
	types   *pgtype.Map
	zone    *time.Location
	maxRows int

	room    int  // bytes that are left
	full    bool // a row, or the names of the columns, did not fit; the rows that are kept are the first
	columns []string
	rows    []json.RawMessage
}

func (k *keeper) begin(fields []pgconn.FieldDescription) {
	k.columns, k.rows = make([]string, len(fields)), []json.RawMessage{}
	for i, field := range fields {
		k.columns[i] = field.Name
		k.room -= len(quoteJSON(field.Name)) + 1
	}
	if k.room < 0 {
		k.columns, k.full = []string{}, true
	}
}

func (k *keeper) keep(fields []pgconn.FieldDescription, values [][]byte) error {
	if k.full || len(k.rows) >= k.maxRows {
		return nil
	}
	row := json.RawMessage{'['}
	for i, field := range fields {
		if i > 0 {
			row = append(row, ',')
		}
		if len(row) > k.room || len(values[i]) > maxSQLResult { // before a huge value is copied
			k.full = true
			return nil
		}
		value, err := k.value(field, values[i])
		if err != nil {
			return err
		}
		row = append(row, value...)
	}
	row = append(row, ']')
	if k.room -= len(row) + 1; k.room < 0 {
		k.full = true
		return nil
	}
	k.rows = append(k.rows, row)
	return nil
}

// riskyJSON is what type json may hold and jsonb, in which the result is kept, may refuse: the character NUL, half a
// surrogate pair, and a number of extreme size.
var riskyJSON = regexp.MustCompile(`\\u|[eE][+-]?\d{3}|\d{1000}`)

func (k *keeper) value(field pgconn.FieldDescription, data []byte) ([]byte, error) {
	if data == nil {
		return []byte("null"), nil
	}
	switch field.DataTypeOID {
	case pgtype.BoolOID:
		return strconv.AppendBool(nil, string(data) == "t"), nil
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.OIDOID, pgtype.NumericOID:
		if !json.Valid(data) { // NaN, Infinity
			return quoteJSON(string(data)), nil
		}
		return data, nil
	case pgtype.Float4OID, pgtype.Float8OID:
		return k.float(field, data)
	case pgtype.DateOID, pgtype.TimestampOID, pgtype.TimestamptzOID:
		return k.time(field, data)
	case pgtype.ByteaOID:
		return quoteJSON(`\x` + hex.EncodeToString(data)), nil
	case pgtype.JSONBOID, pgtype.JSONOID:
		if json.Valid(data) && (field.DataTypeOID == pgtype.JSONBOID || !riskyJSON.Match(data)) {
			return data, nil
		}
	}
	return quoteJSON(string(data)), nil
}

func (k *keeper) float(field pgconn.FieldDescription, data []byte) ([]byte, error) {
	var f float64
	if err := k.types.Scan(field.DataTypeOID, field.Format, data, &f); err != nil {
		return nil, err
	}
	bits := 64
	if field.DataTypeOID == pgtype.Float4OID {
		bits = 32
	}
	switch {
	case math.IsNaN(f):
		return []byte(`"NaN"`), nil
	case math.IsInf(f, 1):
		return []byte(`"Infinity"`), nil
	case math.IsInf(f, -1):
		return []byte(`"-Infinity"`), nil
	}
	return strconv.AppendFloat(nil, f, 'g', -1, bits), nil
}

func (k *keeper) time(field pgconn.FieldDescription, data []byte) ([]byte, error) {
	var t time.Time
	var infinity pgtype.InfinityModifier
	var layout string
	var err error
	switch field.DataTypeOID {
	case pgtype.DateOID:
		var v pgtype.Date
		err = k.types.Scan(field.DataTypeOID, field.Format, data, &v)
		t, infinity, layout = v.Time, v.InfinityModifier, time.DateOnly
	case pgtype.TimestampOID:
		var v pgtype.Timestamp
		err = k.types.Scan(field.DataTypeOID, field.Format, data, &v)
		t, infinity, layout = v.Time, v.InfinityModifier, "2006-01-02T15:04:05.999999"
	default:
		var v pgtype.Timestamptz
		err = k.types.Scan(field.DataTypeOID, field.Format, data, &v)
		t, infinity, layout = v.Time.In(k.zone), v.InfinityModifier, time.RFC3339Nano
	}
	if err != nil {
		return nil, err
	}
	if infinity != pgtype.Finite {
		return quoteJSON(infinity.String()), nil
	}
	return quoteJSON(t.Format(layout)), nil
}

// quoteJSON leaves <, > and & as they are: the result is data, not part of a page.
func quoteJSON(s string) []byte {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string has a JSON form, and a Builder takes it
	return []byte(strings.TrimSuffix(b.String(), "\n"))
}
