package valuefmt

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Type says what the texts of a column stand for.
type Type string

// The types.
const (
	Text      Type = "text" // passed through
	Array     Type = "array"
	Boolean   Type = "boolean"
	Date      Type = "date"
	JSON      Type = "json"
	Number    Type = "number"
	Time      Type = "time"
	Timestamp Type = "timestamp"
)

// Format declares how the values of a column are written. Fields that do not
// belong to the type must be zero. The zero value passes texts through.
type Format struct {
	Type Type

	// Decimal separates the fraction of a Number; default ".". Grouping may be
	// between groups of three digits; default: nothing may. A space stands for every
	// kind of space.
	Decimal, Grouping string

	// Element is the format of the elements of an Array, Separator what stands
	// between them in the file; default: a JSON array. Space around elements does not count.
	Element   *Format
	Separator string

	// False and True are the words of a Boolean, in any case; default f, false, n,
	// no, off, 0 and their counterparts, as in PostgreSQL.
	False, True []string

	// Layouts of a Date, Time or Timestamp, tried in this order; default iso.
	Layouts []string

	// Location is where the clock of a Timestamp stood whose text has no offset. A time
	// that was skipped there is an error, of one that came twice the first counts.
	// Default: times without an offset stay without.
	Location *time.Location
}

// Converter converts the values of a column. It is safe for concurrent use.
type Converter struct {
	// text takes a text of the file; value what JSON says without quotes, nil: as text.
	text, value func(dst, value []byte) ([]byte, error)
	json        bool // what comes out is JSON
}

// Append appends what PostgreSQL is to read for value to dst. An error says what was
// expected; dst is then returned as it was.
func (c *Converter) Append(dst, value []byte) ([]byte, error) {
	out, err := c.text(dst, value)
	if err != nil {
		return dst, err
	}
	return out, nil
}

// appendValue is Append of a JSON value that is no string.
func (c *Converter) appendValue(dst, value []byte) ([]byte, error) {
	if c.value == nil {
		return c.Append(dst, value)
	}
	out, err := c.value(dst, value)
	if err != nil {
		return dst, err
	}
	return out, nil
}

// appendString is Append of the text of a JSON string, which stays one where JSON is wanted.
func (c *Converter) appendString(dst, value []byte) ([]byte, error) {
	if c.json {
		return appendJSONString(dst, value), nil
	}
	return c.Append(dst, value)
}

// Compile checks the format. Its error is a [*Problem].
func (f Format) Compile() (*Converter, error) {
	if err := f.foreign(); err != nil {
		return nil, err
	}
	switch f.Type {
	case "", Text:
		return &Converter{text: func(dst, value []byte) ([]byte, error) { return append(dst, value...), nil }}, nil
	case Array:
		return f.compileArray()
	case Boolean:
		return f.compileBoolean()
	case Date, Time, Timestamp:
		return f.compileTime()
	case JSON:
		return &Converter{text: appendJSON, json: true}, nil
	case Number:
		return f.compileNumber()
	}
	return nil, problem("type", string(f.Type), "is no type", "choose text, array, boolean, date, json, number, time or timestamp")
}

// code is the SQLSTATE of PostgreSQL for a value that is not written so.
func (f Format) code() string {
	switch {
	case f.Type == Array && f.Element != nil:
		return f.Element.code()
	case f.Type == Date || f.Type == Time || f.Type == Timestamp:
		return "22007" // invalid_datetime_format
	}
	return "22P02" // invalid_text_representation
}

// foreign refuses what has no meaning for the type, so that a slip does not pass silently.
func (f Format) foreign() error {
	times := []Type{Date, Time, Timestamp}
	for _, field := range []struct {
		name string
		set  bool
		of   []Type
	}{
		{"decimal", f.Decimal != "", []Type{Number}},
		{"grouping", f.Grouping != "", []Type{Number}},
		{"element", f.Element != nil, []Type{Array}},
		{"separator", f.Separator != "", []Type{Array}},
		{"false_if", len(f.False) > 0, []Type{Boolean}},
		{"true_if", len(f.True) > 0, []Type{Boolean}},
		{"layout", len(f.Layouts) > 0, times},
		{"timezone", f.Location != nil, times[2:]},
	} {
		if field.set && !slices.Contains(field.of, f.Type) {
			return problem(field.name, "", fmt.Sprintf("has no meaning for type %s", cmp.Or(f.Type, Text)), "it is of "+typeWords(field.of)+"; set the type, or remove it")
		}
	}
	return nil
}

func typeWords(types []Type) string {
	words := "type " + string(types[0])
	for i, t := range types[1:] {
		between := ", "
		if i == len(types)-2 {
			between = " or "
		}
		words += between + string(t)
	}
	return words
}

// quoted shows a value in an error without flooding it.
func quoted(value []byte) string {
	const most = 40
	text := strings.ToValidUTF8(string(value[:min(len(value), 4*most)]), "\uFFFD")
	if utf8.RuneCountInString(text) > most {
		text = string([]rune(text)[:most]) + "…"
	}
	return fmt.Sprintf("%q", text)
}

func (f Format) compileBoolean() (*Converter, error) {
	if (len(f.True) == 0) != (len(f.False) == 0) {
		missing := "true_if"
		if len(f.True) > 0 {
			missing = "false_if"
		}
		return nil, problem(missing, "", "is missing", "give the words of both, or of none")
	}
	yes, no := f.True, f.False
	if len(yes) == 0 {
		yes, no = []string{"true", "t", "yes", "y", "on", "1"}, []string{"false", "f", "no", "n", "off", "0"}
	}
	for _, word := range yes {
		for _, other := range no {
			if strings.EqualFold(word, other) {
				return nil, problem("false_if", other, "is in true_if, too", "remove it from one of them")
			}
		}
	}
	words := func(dst, value []byte) ([]byte, error) {
		value = bytes.TrimSpace(value)
		for _, word := range yes {
			if bytes.EqualFold(value, []byte(word)) {
				return append(dst, "true"...), nil
			}
		}
		for _, word := range no {
			if bytes.EqualFold(value, []byte(word)) {
				return append(dst, "false"...), nil
			}
		}
		return nil, fmt.Errorf("%s is neither %s (true) nor %s (false)", quoted(value), strings.Join(yes, ", "), strings.Join(no, ", "))
	}
	return &Converter{text: words, value: func(dst, value []byte) ([]byte, error) {
		if text := string(value); text == "true" || text == "false" {
			return append(dst, value...), nil
		}
		return words(dst, value)
	}}, nil
}

func appendJSON(dst, value []byte) ([]byte, error) {
	if !json.Valid(value) {
		return nil, fmt.Errorf("%s is not valid JSON", quoted(value))
	}
	return append(dst, value...), nil
}

// appendJSONString writes a text as a string of JSON.
func appendJSONString(dst, value []byte) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, b := range value {
		switch {
		case b == '"' || b == '\\':
			dst = append(dst, '\\', b)
		case b == '\n':
			dst = append(dst, '\\', 'n')
		case b < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[b>>4], hex[b&15])
		default:
			dst = append(dst, b)
		}
	}
	return append(dst, '"')
}
