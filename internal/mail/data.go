package mail

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Data prepares values for templates: null prints as nothing, numbers can be compared, and raw JSON can be walked. Other
// values stay as they are.
func Data(values map[string]any) map[string]any {
	out := make(map[string]any, len(values))
	for name, value := range values {
		out[name] = datum(value)
	}
	return out
}

func datum(value any) any {
	switch v := value.(type) {
	case nil:
		return ""
	case map[string]any:
		return Data(v)
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = datum(item)
		}
		return out
	case json.Number:
		return number(v)
	case json.RawMessage:
		dec := json.NewDecoder(bytes.NewReader(v))
		dec.UseNumber()
		var decoded any
		if dec.Decode(&decoded) != nil {
			return string(v)
		}
		return datum(decoded)
	default:
		return value
	}
}

// number keeps as text what neither int64 nor float64 holds to the last digit.
func number(n json.Number) any {
	text := n.String()
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		return i
	}
	f, err := n.Float64()
	if err == nil && strconv.FormatFloat(f, 'f', -1, 64) == text {
		return f
	}
	return text
}

// About is what templates can ask about the run that they are rendered for.
type About struct {
	Job string    // {{job}}
	Run int64     // {{run}}
	Due time.Time // {{due}}
}

// functions are those of all templates besides Go's own.
func functions(about About) map[string]any {
	return map[string]any{
		"job":  func() string { return about.Job },
		"run":  func() int64 { return about.Run },
		"due":  func() time.Time { return about.Due },
		"date": formatDate,
		"json": formatJSON,
	}
}

// formatDate writes a time, a date of the params, or a text that has one, in the layout of Go's package time.
func formatDate(layout string, value any) (string, error) {
	switch v := value.(type) {
	case time.Time:
		return v.Format(layout), nil
	case interface {
		In(*time.Location) time.Time
	}: // a date without time
		return v.In(time.UTC).Format(layout), nil
	case string:
		for _, form := range []string{time.RFC3339, time.DateOnly} {
			if t, err := time.Parse(form, v); err == nil {
				return t.Format(layout), nil
			}
		}
		return "", fmt.Errorf("%q is neither a date like 2026-01-31 nor a timestamp like 2026-01-31T09:00:00Z", clip(v))
	}
	return "", errors.New("what is given is no date")
}

func formatJSON(value any) (string, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return "", err
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}
