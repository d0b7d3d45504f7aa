package rowout

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// CSVOpts say how CSV is written.
type CSVOpts struct {
	// Columns is how many the COPY has.
	Columns int
	// Hidden are the columns at the front that the file does not have.
	Hidden    int
	Delimiter byte
	// Null stands for NULL; a text that is the same is put in quotes.
	Null string
	CRLF bool
	// Defuse has, for each column of the COPY, whether its texts may be taken for formulas; nil: none.
	Defuse []bool
}

// CSV is Rows of CSV, made of a COPY in text format with its usual delimiter and NULL. What it writes is what COPY with
// FORMAT csv would, but for formulas; the server writes text format with a fifth less work.
type CSV struct {
	opts    CSVOpts
	end     string
	classes [256]class
	// delimiters are eight of it.
	delimiters uint64
	text       []byte // of one field, used again
}

// class is what a byte means in a field of text format.
type class byte

const (
	plain     class = 0
	separator class = 1 << iota
	escape
	quoted // makes quotes necessary
)

// NewCSV returns a CSV.
func NewCSV(opts CSVOpts) *CSV {
	c := &CSV{opts: opts, end: "\n", delimiters: uint64(opts.Delimiter) * everyByte}
	if opts.CRLF {
		c.end = "\r\n"
	}
	c.classes[opts.Delimiter], c.classes['"'] = quoted, quoted // line ends are escaped
	c.classes['\\'] |= escape
	c.classes['\t'] = separator // also if it is the delimiter: a tab within a field is escaped
	return c
}

// Header appends the record that names the columns.
func (c *CSV) Header(dst []byte, names []string) []byte {
	for i, name := range names {
		if i > 0 {
			dst = append(dst, c.opts.Delimiter)
		}
		dst = c.appendText(dst, []byte(name), false)
	}
	return append(dst, c.end...)
}

// appendText quotes what COPY would quote.
func (c *CSV) appendText(dst, text []byte, defuse bool) []byte {
	quote := string(text) == c.opts.Null || c.opts.Columns-c.opts.Hidden == 1 && string(text) == `\.`
	for _, b := range text {
		if b == c.opts.Delimiter || b == '"' || b == '\r' || b == '\n' {
			quote = true
			break
		}
	}
	if quote {
		dst = append(dst, '"')
	}
	if defuse {
		dst = append(dst, '\'')
	}
	if !quote {
		return append(dst, text...)
	}
	for i := bytes.IndexByte(text, '"'); i >= 0; i = bytes.IndexByte(text, '"') {
		dst = append(append(dst, text[:i+1]...), '"')
		text = text[i+1:]
	}
	return append(append(dst, text...), '"')
}

// formula reports for each byte whether a spreadsheet takes a cell that begins with it for a formula.
var formula = func() (t [256]bool) {
	for _, c := range "=+-@\t\r" {
		t[c] = true
	}
	return t
}()

// runs reports whether a spreadsheet would run a text. Numbers and phone numbers it shows: digits after one sign, with what stands
// between groups of them. Two numbers with an operator between are a sum already.
func runs(text []byte) bool {
	if len(text) == 0 || !formula[text[0]] {
		return false
	}
	if text[0] != '+' && text[0] != '-' {
		return true
	}
	digits := false
	for i, c := range text[1:] {
		switch {
		case c >= '0' && c <= '9':
			digits = true
		case c == '.' || c == ',' || c == ' ':
		case text[0] == '+' && (c == '(' || c == ')') && i > 0: // +49 (0) 30 12345; a hyphen would be a difference
		default:
			return true
		}
	}
	return !digits
}

// null is NULL in text format. A text that looks like it has its backslash escaped.
const null = `\N`

// Append implements Rows.
func (c *CSV) Append(dst, message []byte) ([]byte, bool, int, error) {
	if len(message) == 0 || message[len(message)-1] != '\n' {
		return dst, false, 0, malformed(message)
	}
	line := message[:len(message)-1]
	begin, defused, column := len(dst), 0, 0
	var marks uint64 // of special bytes from base on, those before at left out
	base := -64
	for at := 0; ; column++ {
		end, found := len(line), plain
		for {
			if marks == 0 {
				if base += 64; base >= len(line) {
					break
				}
				marks = c.special(line[base:min(base+64, len(line))])
				continue
			}
			i := base + bits.TrailingZeros64(marks)
			marks &= marks - 1
			k := c.classes[line[i]]
			if k == separator {
				end = i
				break
			}
			found |= k
		}
		if column >= c.opts.Hidden {
			if column > c.opts.Hidden {
				dst = append(dst, c.opts.Delimiter)
			}
			field := line[at:end]
			defuse := column < len(c.opts.Defuse) && c.opts.Defuse[column]
			switch {
			case found == plain && len(field) > 0 && (!defuse || !runs(field)) && string(field) != c.opts.Null:
				dst = append(dst, field...)
			case string(field) == null:
				dst = append(dst, c.opts.Null...)
			default:
				text := c.unescape(field)
				if defuse = defuse && runs(text); defuse {
					defused++
				}
				dst = c.appendText(dst, text, defuse)
			}
		}
		if end == len(line) {
			break
		}
		at = end + 1
	}
	if column+1 != c.opts.Columns {
		return dst[:begin], false, 0, malformed(message)
	}
	return append(dst, c.end...), true, defused, nil
}

// special has a bit for each of at most 64 bytes that is not plain. Eight bytes are looked at together: what is zero after an
// exclusive or is the byte that was looked for.
func (c *CSV) special(block []byte) (marks uint64) {
	if len(block) < 8 {
		for i, b := range block {
			if c.classes[b] != plain {
				marks |= 1 << i
			}
		}
		return marks
	}
	for i := 0; ; i += 8 {
		i = min(i, len(block)-8)
		word := binary.LittleEndian.Uint64(block[i:])
		zero := zeroBytes(word^('\t'*everyByte)) | zeroBytes(word^('"'*everyByte)) | zeroBytes(word^('\\'*everyByte)) | zeroBytes(word^c.delimiters)
		marks |= (zero >> 7) * 0x0102040810204080 >> 56 << i // gathers the eight highest bits
		if i == len(block)-8 {
			return marks
		}
	}
}

const everyByte = 0x0101010101010101

// zeroBytes has the highest bit of each byte that is zero, and no other.
func zeroBytes(word uint64) uint64 {
	const low = 0x7f * everyByte
	return ^(((word & low) + low) | word | low)
}

// unescape returns the text of a field, which is valid until the next call.
func (c *CSV) unescape(field []byte) []byte {
	i := bytes.IndexByte(field, '\\')
	if i < 0 {
		return field
	}
	c.text = c.text[:0]
	for ; i >= 0 && i+1 < len(field); i = bytes.IndexByte(field, '\\') {
		b := field[i+1]
		switch b {
		case 'b':
			b = '\b'
		case 'f':
			b = '\f'
		case 'n':
			b = '\n'
		case 'r':
			b = '\r'
		case 't':
			b = '\t'
		case 'v':
			b = '\v'
		}
		c.text = append(append(c.text, field[:i]...), b)
		field = field[i+2:]
	}
	c.text = append(c.text, field...)
	return c.text
}

// Values implements Rows.
func (c *CSV) Values(message []byte, n int) ([]Value, error) {
	if len(message) == 0 || message[len(message)-1] != '\n' {
		return nil, malformed(message)
	}
	values := make([]Value, 0, n)
	for field := range bytes.SplitSeq(message[:len(message)-1], []byte{'\t'}) {
		if len(values) == n {
			return values, nil
		}
		value := Value{Null: string(field) == null}
		if !value.Null {
			value.Text = string(c.unescape(field))
		}
		values = append(values, value)
	}
	if len(values) < n {
		return nil, malformed(message)
	}
	return values, nil
}
