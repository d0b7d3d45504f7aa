package bulk

import (
	"fmt"
	"unicode/utf8"
)

// Batch is a reusable buffer of rows in COPY text format. It is not safe for concurrent use, but another Batch of the
// same [Writer] can be filled while this one is written. See [Writer.NewBatch] for who may fill it.
type Batch struct {
	columns []*Column
	checks  []check
	match   []bool
	update  bool // mode Update

	buf   []byte
	rows  []rowEnd
	tried int // calls of Append since Reset

	keys            *keyFilter // nil: there are no possible duplicates
	generation      int        // of keys when the first row was added
	maybeDuplicates []int      // rows whose key was perhaps appended before
	hashes          []uint64   // of the keys of all rows, where together needs them
	closed          bool       // together has been called
	// incomplete: a row that is no possible duplicate may have the key of one before it.
	incomplete bool

	// window bounds the rows of the next Write; 0 = all. It shrinks when bad rows are dense and cannot be located at
	// once, so that not the whole rest is sent again and again for a few rows.
	window int
}

type rowEnd struct {
	end   int // offset in buf after the row
	index int // which call of Append it came from
}

type check struct {
	kind    kind
	limit   int
	notNull bool
	dates   bool // values hold dates
}

// NewBatch returns an empty batch for rows of this writer. All batches of a writer are to be filled by one goroutine,
// best one after the other in the order in which they will be written; that may be another goroutine than the one that
// calls Write.
func (w *Writer) NewBatch() *Batch {
	b := w.bareBatch()
	b.update = w.spec.OnConflict == Update
	if !w.staged || b.update {
		b.keys = w.keys
	}
	return b
}

// bareBatch returns a batch that does not look for possible duplicates.
func (w *Writer) bareBatch() *Batch {
	return &Batch{columns: w.columns, checks: w.checks, match: w.isMatch}
}

// class marks the bytes that COPY text format escapes, and those that need a closer look.
var class = [256]uint8{0: isNUL, '\\': isEscaped, '\t': isEscaped, '\n': isEscaped, '\r': isEscaped}

const (
	isNUL = 1 << iota
	isEscaped
)

// Append encodes one row; the values are in the order of Spec.Columns, nil is NULL. The values are copied. It returns
// nil if the row was added. A row that the table certainly refuses is not added: Code says why, 22000 that the number
// of values is wrong.
func (b *Batch) Append(values [][]byte) *RowError {
	index := b.tried
	b.tried++
	if len(values) != len(b.columns) {
		return &RowError{Row: len(b.rows), Code: "22000",
			Message: fmt.Sprintf("the row has %d values, expected %d", len(values), len(b.columns))}
	}
	buf := b.buf
	for i, v := range values {
		if i > 0 {
			buf = append(buf, '\t')
		}
		c := &b.checks[i]
		if v == nil {
			if c.notNull {
				return b.refuseNull(i)
			}
			buf = append(buf, '\\', 'N')
			continue
		}
		code := refuse(c.kind, c.limit, v)
		if code == "" && c.dates && unclearDate(v) != nil {
			code = codeBadDatetime
		}
		if code == "" {
			buf, code = escape(buf, v)
		}
		if code != "" {
			b.buf = buf[:len(b.buf)] // the grown buffer is worth keeping
			return b.refuse(i, code, v)
		}
	}
	b.look(values)
	b.buf = append(buf, '\n')
	b.rows = append(b.rows, rowEnd{len(b.buf), index})
	return nil
}

// escape appends v in COPY text format. The code is not empty if v is not text.
func escape(buf, v []byte) (out []byte, code string) {
	var seen, high uint8
	for _, c := range v {
		seen |= class[c]
		high |= c
	}
	if seen&isNUL != 0 || high >= utf8.RuneSelf && !utf8.Valid(v) {
		return buf, codeBadEncoding
	}
	if seen == 0 {
		return append(buf, v...), ""
	}
	for _, c := range v {
		switch c {
		case '\\':
			buf = append(buf, '\\', '\\')
		case '\t':
			buf = append(buf, '\\', 't')
		case '\n':
			buf = append(buf, '\\', 'n')
		case '\r':
			buf = append(buf, '\\', 'r')
		default:
			buf = append(buf, c)
		}
	}
	return buf, ""
}

func (b *Batch) refuse(i int, code string, v []byte) *RowError {
	c := b.columns[i]
	if _, bad := escape(nil, v); bad != "" {
		code = bad // what is not text is nothing else either
	}
	return &RowError{Row: len(b.rows), Code: code, Column: c.Name, Message: refusal(code, c, v)}
}

func (b *Batch) refuseNull(i int) *RowError {
	c := b.columns[i]
	why := "is empty (NULL) and must not be"
	if b.match[i] {
		why = "is empty (NULL) but part of the match key"
	}
	return &RowError{Row: len(b.rows), Code: codeNotNull, Column: c.Name, Message: fmt.Sprintf("column %q %s", c.Name, why)}
}

// Len is the number of rows.
func (b *Batch) Len() int { return len(b.rows) }

// Size is the number of encoded bytes.
func (b *Batch) Size() int { return len(b.buf) }

// Index returns which call of Append since Reset added the row: 0 for the first call. Refused rows count too.
func (b *Batch) Index(row int) int { return b.rows[row].index }

// Reset removes all rows and keeps the memory.
func (b *Batch) Reset() {
	b.buf, b.rows, b.tried, b.window = b.buf[:0], b.rows[:0], 0, 0
	b.maybeDuplicates, b.incomplete = b.maybeDuplicates[:0], false
	b.hashes, b.closed = b.hashes[:0], false
}

// offset is where the row begins in buf.
func (b *Batch) offset(row int) int {
	if row == 0 {
		return 0
	}
	return b.rows[row-1].end
}

// field decodes column i of a row; nil is NULL.
func (b *Batch) field(row, i int) []byte {
	line := b.buf[b.offset(row) : b.rows[row].end-1]
	for ; i > 0; i-- { // a tab is always a separator: those in values are escaped
		k := 0
		for line[k] != '\t' {
			k++
		}
		line = line[k+1:]
	}
	out := []byte{}
	for k := 0; k < len(line) && line[k] != '\t'; k++ {
		c := line[k]
		if c == '\\' {
			k++
			switch line[k] {
			case 'N':
				return nil
			case 't':
				c = '\t'
			case 'n':
				c = '\n'
			case 'r':
				c = '\r'
			default:
				c = line[k]
			}
		}
		out = append(out, c)
	}
	return out
}
