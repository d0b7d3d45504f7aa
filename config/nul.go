package config

import (
	"bytes"
	"encoding/json"
	"slices"
)

// holdsNUL is what is wrong with a value that PostgreSQL's jsonb refuses.
const holdsNUL = "holds a NUL character"

// NULParam returns the name of a param of given, a JSON object, that holds a NUL character somewhere, also in its own name; found is false
// if none does. PostgreSQL stores no such text, and its own word for that names neither job nor param.
func NULParam(given json.RawMessage) (name string, found bool) {
	if !hasNUL(given) {
		return "", false
	}
	object, problem := decodeObject[json.RawMessage](given)
	if problem != "" {
		return "", false
	}
	var names []string
	for name, value := range object {
		if hasNUL(value) || bytes.IndexByte([]byte(name), 0) >= 0 {
			names = append(names, name)
		}
	}
	if names == nil {
		return "", false
	}
	return slices.Min(names), true
}

// hasNUL tells whether a text within data, which is JSON, holds a NUL. There it can only stand as an escape.
func hasNUL(data json.RawMessage) bool {
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
