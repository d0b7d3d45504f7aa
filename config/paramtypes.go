package config

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/tidemill/tidemill/config/field"
)

// Date is a day of the calendar, without a time zone. It is printed, marshalled and bound to a statement as 2006-01-02.
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// DateOf is the day that t has in its own location.
func DateOf(t time.Time) Date {
	year, month, day := t.Date()
	return Date{year, month, day}
}

// String gives the date as 2006-01-02.
func (d Date) String() string { return fmt.Sprintf("%04d-%02d-%02d", d.Year, d.Month, d.Day) }

// MarshalText gives the date as String does; package json uses it.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Value gives the date as String does, for a driver of a database.
func (d Date) Value() (driver.Value, error) { return d.String(), nil }

// In is the first moment of the date in loc, for a template that writes it in another form.
func (d Date) In(loc *time.Location) time.Time {
	return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, loc)
}

// paramTypes are the types of a [Param] in the order in which messages name them.
func paramTypes() field.Choice {
	return field.Choice{TextParam, IntegerParam, NumberParam, BooleanParam, DateParam, TimestampParam, UUIDParam, JSONParam}
}

// paramWords says what a value of the type is.
func paramWords(paramType string) string {
	return map[string]string{
		TextParam: "a text", IntegerParam: "a whole number", NumberParam: "a number", BooleanParam: "true or false",
		DateParam: "a date, like 2026-01-31", TimestampParam: "a timestamp, like 2026-01-31T09:00:00Z", UUIDParam: "a UUID", JSONParam: "any JSON",
	}[paramType]
}

// Numbers are taken as JSON has them, also when a text spells them: 007 and +7 might mean something else.
var (
	jsonIntRE    = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)
	jsonNumberRE = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)
	timestampRE  = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[-+]([01][0-9]|2[0-3]):[0-5][0-9])$`)
	uuidRE       = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
)

// readParam reads a JSON value that is not null as one of the type. problem is what is wrong with it, as words that
// follow the value, and hint what to do.
func readParam(paramType string, data json.RawMessage) (value any, problem, hint string) {
	if paramType == JSONParam && field.HasNUL(data) {
		return nil, field.HoldsNUL, "PostgreSQL stores none; remove it"
	}
	if paramType == JSONParam {
		return field.Compact(data), "", ""
	}
	var text string
	isText := json.Unmarshal(data, &text) == nil
	if !isText {
		text = strings.TrimSpace(string(data))
	}
	switch {
	case paramType == TextParam && !isText:
		return nil, "is not a text", "put it in quotes"
	case paramType == TextParam && strings.ContainsRune(text, 0):
		return nil, field.HoldsNUL, "PostgreSQL stores none; remove it"
	case paramType == TextParam:
		return text, "", ""
	case paramType == IntegerParam:
		return readInteger(text)
	case paramType == NumberParam && jsonNumberRE.MatchString(text):
		return json.Number(text), "", ""
	case paramType == NumberParam:
		return nil, "is not a number", "write it like 12, -0.5 or 1e6"
	case paramType == BooleanParam && (text == "true" || text == "false"):
		return text == "true", "", ""
	case paramType == BooleanParam:
		return nil, "is not true or false", ""
	case paramType == DateParam:
		return readDate(text)
	case paramType == TimestampParam:
		return readTimestamp(text)
	case uuidRE.MatchString(text):
		return strings.ToLower(text), "", ""
	default:
		return nil, "is not a UUID", "write it like 123e4567-e89b-12d3-a456-426614174000"
	}
}

func readInteger(text string) (value any, problem, hint string) {
	if !jsonIntRE.MatchString(text) {
		return nil, "is not a whole number", "write it like 12 or -5"
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, "has more than 64 bits", "declare the param as number"
	}
	return n, "", ""
}

func readDate(text string) (value any, problem, hint string) {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil || t.Year() < 1 { // no calendar has a year 0, nor does PostgreSQL
		return nil, "is not a date", "write it like 2026-01-31"
	}
	return DateOf(t), "", ""
}

// readTimestamp gives the time in the offset of the text, and never in the local zone of the machine, which would print
// differently from one machine to the next.
func readTimestamp(text string) (value any, problem, hint string) {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || t.Year() < 1 || !timestampRE.MatchString(text) { // package time takes more than RFC 3339 has
		return nil, "is not a timestamp", "write it like 2026-01-31T09:00:00Z or 2026-01-31T09:00:00+09:00"
	}
	_, offset := t.Zone()
	if offset == 0 {
		return t.UTC(), "", ""
	}
	return t.In(time.FixedZone("", offset)), "", ""
}
