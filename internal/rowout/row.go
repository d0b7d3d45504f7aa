package rowout

import (
	"bytes"
	"fmt"
	"slices"
)

// Rows encodes the messages of one COPY. It belongs to one goroutine.
type Rows interface {
	// Append adds the record of a message to dst and returns it. row is false for a message that is none. defused counts
	// the cells that were changed because a spreadsheet would take them for formulas.
	Append(dst, message []byte) (out []byte, row bool, defused int, err error)
	// Values returns the first n values of a row, in the text form of the server; nil for a message that is none.
	Values(message []byte, n int) ([]Value, error)
}

// Value is a value of a row.
type Value struct {
	Text string
	Null bool
}

// malformed is an error about what the server sent, which no server in order does.
func malformed(message []byte) error {
	return fmt.Errorf("COPY sent a row that cannot be read: %.100q", message)
}

// CSVOpts say how CSV is written. The COPY must have FORMAT csv and the same Delimiter and Null.
type CSVOpts struct {
	Delimiter byte
	Null      string
	CRLF      bool
	// Hidden are the columns at the front that the file does not have.
	Hidden int
	// Defuse has, for each column of the COPY, whether its texts may be taken for formulas; nil: none.
	Defuse []bool
}

// CSV is Rows of CSV.
type CSV struct {
	opts CSVOpts
	// look is the number of columns that must be looked at: up to the last that is hidden or may be defused.
	look int
	end  string
}

// NewCSV returns a CSV.
func NewCSV(opts CSVOpts) *CSV {
	c := &CSV{opts: opts, look: opts.Hidden, end: "\n"}
	for i, defuse := range opts.Defuse {
		if defuse {
			c.look = max(c.look, i+1)
		}
	}
	if opts.CRLF {
		c.end = "\r\n"
	}
	return c
}

// Header appends the record that names the columns.
func (c *CSV) Header(dst []byte, names []string) []byte {
	for i, name := range names {
		if i > 0 {
			dst = append(dst, c.opts.Delimiter)
		}
		dst = c.appendCell(dst, name, len(names) == 1)
	}
	return append(dst, c.end...)
}

// appendCell quotes what COPY would quote.
func (c *CSV) appendCell(dst []byte, text string, alone bool) []byte {
	quote := text == c.opts.Null || alone && text == `\.`
	for i := range len(text) {
		switch text[i] {
		case c.opts.Delimiter, '"', '\r', '\n':
			quote = true
		}
	}
	if !quote {
		return append(dst, text...)
	}
	dst = append(dst, '"')
	for i := range len(text) {
		if text[i] == '"' {
			dst = append(dst, '"')
		}
		dst = append(dst, text[i])
	}
	return append(dst, '"')
}

// formula tells of each byte whether a spreadsheet takes a cell that begins with it for a formula.
var formula = func() (t [256]bool) {
	for _, c := range "=+-@\t\r" {
		t[c] = true
	}
	return t
}()

// Append implements Rows.
func (c *CSV) Append(dst, message []byte) ([]byte, bool, int, error) {
	if len(message) == 0 || message[len(message)-1] != '\n' {
		return dst, false, 0, malformed(message)
	}
	line := message[:len(message)-1]
	begin := len(dst)
	done, defused := 0, 0 // of line; what is before done is in dst, or hidden
	delimiter, hidden, look := c.opts.Delimiter, c.opts.Hidden, c.look
	for at, column := 0, 0; column < look; column++ {
		// The end of the field. Most are short and without quotes, so the bytes are looked at one by one.
		end := at
		if at < len(line) && line[at] == '"' {
			if end = c.quotedEnd(line, at); end < 0 {
				return dst[:begin], false, 0, malformed(message)
			}
		} else {
			for end < len(line) && line[end] != delimiter {
				end++
			}
		}
		if end == len(line) && column+1 < look {
			return dst[:begin], false, 0, malformed(message)
		}
		switch {
		case column < hidden:
			done = min(end+1, len(line))
		case at < end && c.opts.Defuse[column] && c.isFormula(line[at:end]):
			content := at
			if line[at] == '"' {
				content++
			}
			dst = append(append(dst, line[done:content]...), '\'')
			done = content
			defused++
		}
		at = end + 1
	}
	dst = append(dst, line[done:]...)
	return append(dst, c.end...), true, defused, nil
}

// isFormula looks at a field that is not empty.
func (c *CSV) isFormula(field []byte) bool {
	if field[0] == '"' {
		return formula[field[1]]
	}
	return formula[field[0]] && string(field) != c.opts.Null
}

// quotedEnd returns where the delimiter behind a field in quotes stands, or the end of the line; -1 if it does not end.
func (c *CSV) quotedEnd(line []byte, at int) int {
	for at++; ; {
		i := bytes.IndexByte(line[at:], '"')
		if i < 0 {
			return -1
		}
		at += i + 1
		if at == len(line) || line[at] == c.opts.Delimiter {
			return at
		}
		if line[at] != '"' {
			return -1
		}
		at++
	}
}

// fieldEnd is quotedEnd for any field.
func (c *CSV) fieldEnd(line []byte, at int) int {
	if at < len(line) && line[at] == '"' {
		return c.quotedEnd(line, at)
	}
	if i := bytes.IndexByte(line[at:], c.opts.Delimiter); i >= 0 {
		return at + i
	}
	return len(line)
}

// Values implements Rows.
func (c *CSV) Values(message []byte, n int) ([]Value, error) {
	if len(message) == 0 || message[len(message)-1] != '\n' {
		return nil, malformed(message)
	}
	line := message[:len(message)-1]
	values := make([]Value, 0, n)
	for at := 0; len(values) < n; {
		end := c.fieldEnd(line, at)
		if end < 0 {
			return nil, malformed(message)
		}
		values = append(values, c.value(line[at:end]))
		if end == len(line) {
			break
		}
		at = end + 1
	}
	if len(values) < n {
		return nil, malformed(message)
	}
	return values, nil
}

func (c *CSV) value(field []byte) Value {
	if len(field) == 0 || field[0] != '"' {
		return Value{Text: string(field), Null: string(field) == c.opts.Null}
	}
	text := slices.Clone(field[1 : len(field)-1])
	out := text[:0]
	for i := 0; i < len(text); i++ {
		out = append(out, text[i])
		if text[i] == '"' {
			i++
		}
	}
	return Value{Text: string(out)}
}
