package field

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// HoldsNUL is what is wrong with a value that PostgreSQL's jsonb refuses.
const HoldsNUL = "holds a NUL character"

// NULParam returns the name of a param of given, a JSON object, that holds a NUL character somewhere, also in its own name; found is false
// if none does. PostgreSQL stores no such text, and its own word for that names neither job nor param.
func NULParam(given json.RawMessage) (name string, found bool) {
	if !HasNUL(given) {
		return "", false
	}
	object, problem := DecodeObject[json.RawMessage](given)
	if problem != "" {
		return "", false
	}
	var names []string
	for name, value := range object {
		if HasNUL(value) || bytes.IndexByte([]byte(name), 0) >= 0 {
			names = append(names, name)
		}
	}
	if names == nil {
		return "", false
	}
	return slices.Min(names), true
}

// HasNUL reports whether a text within data, which is JSON, holds a NUL. It can only appear as an escape.
func HasNUL(data json.RawMessage) bool {
	if !bytes.Contains(data, []byte(`\u0000`)) {
		return false
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	for {
		token, err := dec.Token()
		if err != nil {
			return false
		}
		if text, ok := token.(string); ok && bytes.IndexByte([]byte(text), 0) >= 0 {
			return true
		}
	}
}

// DecodeObject reads a JSON object; nothing and null are an empty one. problem says what data is instead.
func DecodeObject[V any](data json.RawMessage) (object map[string]V, problem string) {
	data = bytes.TrimSpace(data)
	if len(data) == 0 || IsNull(data) {
		return map[string]V{}, ""
	}
	if data[0] != '{' && json.Valid(data) {
		return nil, ShowParam(data) + " is not a JSON object"
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(&object); err != nil {
		return nil, "not JSON: " + strings.TrimPrefix(err.Error(), "json: ")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, "not JSON: something follows the object"
	}
	return object, ""
}

func IsNull(data json.RawMessage) bool { return string(bytes.TrimSpace(data)) == "null" }

// ShowParam is a JSON value as messages have it.
func ShowParam(data json.RawMessage) string {
	var s string
	if json.Unmarshal(data, &s) == nil {
		return fmt.Sprintf("%q", Shorten(s))
	}
	return Shorten(string(Compact(data)))
}

func Compact(data json.RawMessage) json.RawMessage {
	var b bytes.Buffer
	if json.Compact(&b, data) != nil { // not JSON; whoever called finds out
		return data
	}
	return b.Bytes()
}
