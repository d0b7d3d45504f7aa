package valuefmt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
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

	// Decimal separates the fraction of a Number; default ".". Grouping may stand
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
	convert func(dst, value []byte) ([]byte, error)
}

// Append appends what PostgreSQL is to read for value to dst. An error says what was
// expected; dst is then returned as it was.
func (c *Converter) Append(dst, value []byte) ([]byte, error) {
	out, err := c.convert(dst, value)
	if err != nil {
		return dst, err
	}
	return out, nil
}

// Compile checks the format. Its errors name the field that is wrong.
func (f Format) Compile() (*Converter, error) {
	if err := f.foreign(); err != nil {
		return nil, err
	}
	switch f.Type {
	case "", Text:
		return &Converter{func(dst, value []byte) ([]byte, error) { return append(dst, value...), nil }}, nil
	case Array:
		return f.compileArray()
	case Boolean:
		return f.compileBoolean()
	case Date, Time, Timestamp:
		return f.compileTime()
	case JSON:
		return &Converter{appendJSON}, nil
	case Number:
		return f.compileNumber()
	}
	return nil, fmt.Errorf("unknown type %q; choose text, array, boolean, date, json, number, time or timestamp", f.Type)
}

// foreign refuses what has no meaning for the type, so that a slip does not pass silently.
func (f Format) foreign() error {
	isTime := f.Type == Date || f.Type == Time || f.Type == Timestamp
	for _, field := range []struct {
		name string
		set  bool
		fits bool
	}{
		{"decimal", f.Decimal != "", f.Type == Number},
		{"grouping", f.Grouping != "", f.Type == Number},
		{"element", f.Element != nil, f.Type == Array},
		{"separator", f.Separator != "", f.Type == Array},
		{"false", len(f.False) > 0, f.Type == Boolean},
		{"true", len(f.True) > 0, f.Type == Boolean},
		{"layouts", len(f.Layouts) > 0, isTime},
		{"location", f.Location != nil, f.Type == Timestamp},
	} {
		if field.set && !field.fits {
			return fmt.Errorf("%s has no meaning for the type %q; remove it, or set another type", field.name, f.Type)
		}
	}
	return nil
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
		return nil, errors.New("true and false: declare the words of both, or of none")
	}
	yes, no := f.True, f.False
	if len(yes) == 0 {
		yes, no = []string{"true", "t", "yes", "y", "on", "1"}, []string{"false", "f", "no", "n", "off", "0"}
	}
	for _, word := range yes {
		for _, other := range no {
			if strings.EqualFold(word, other) {
				return nil, fmt.Errorf("true and false: %q is in both", word)
			}
		}
	}
	return &Converter{func(dst, value []byte) ([]byte, error) {
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
	}}, nil
}

func appendJSON(dst, value []byte) ([]byte, error) {
	if !json.Valid(value) {
		return nil, fmt.Errorf("%s is not valid JSON", quoted(value))
	}
	return append(dst, value...), nil
}
