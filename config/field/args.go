package field

import (
	"bytes"
	"encoding/json"
	"strings"
)

// Mapping is any YAML mapping, stored as a JSON object in the order of the file.
type Mapping struct{}

func (Mapping) Read(d *Checker, v Value, into *json.RawMessage) {
	if !d.Is(v, MapNode, "a mapping") {
		return
	}
	var b bytes.Buffer
	if !WriteJSON(&b, d, v) {
		return
	}
	if name, found := NULParam(b.Bytes()); found {
		d.ProblemAt(v.Entry(v.Node.Entries[v.Node.byKey[name]]), "PostgreSQL stores none; remove it", HoldsNUL)
		return
	}
	*into = b.Bytes()
}

func (Mapping) Meta() Meta {
	return Meta{
		Words:    "mapping",
		Schema:   map[string]any{"type": []string{"object", "null"}},
		Optional: true,
	}
}

// WriteJSON writes v and reports whether all of it could be written. The tree is
// bounded in size and depth when it is built.
func WriteJSON(b *bytes.Buffer, d *Checker, v Value) bool {
	ok := true
	switch v.Node.Kind {
	case MapNode:
		b.WriteByte('{')
		for i, e := range v.Node.Entries {
			if i > 0 {
				b.WriteByte(',')
			}
			WriteString(b, e.Key)
			b.WriteByte(':')
			ok = WriteJSON(b, d, v.Entry(e)) && ok
		}
		b.WriteByte('}')
	case ListNode:
		b.WriteByte('[')
		for i := range v.Node.Items {
			if i > 0 {
				b.WriteByte(',')
			}
			ok = WriteJSON(b, d, v.Item(i)) && ok
		}
		b.WriteByte(']')
	case NullNode:
		b.WriteString("null")
	case boolNode:
		b.WriteString(strings.ToLower(v.Node.Text))
	case IntNode, floatNode:
		number := v.Node.Text
		if !json.Valid([]byte(number)) {
			d.InvalidValue(v, "put it in quotes to keep it as text, or write it without leading zeros, plus signs and bare dots", "is not a number in JSON")
			return false
		}
		b.WriteString(number)
	default:
		WriteString(b, v.Node.Text)
	}
	return ok
}

// WriteString writes s as JSON; characters of HTML stay as they are.
func WriteString(b *bytes.Buffer, s string) {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil { // no string fails
		b.WriteString(`""`)
		return
	}
	b.Truncate(b.Len() - 1) // the line end of Encode
}

// JSON is any YAML, stored as JSON.
type JSON struct{}

func (JSON) Read(d *Checker, v Value, into *json.RawMessage) {
	if v.Node.Kind == NullNode && v.Node.Source == "" {
		d.ProblemAt(v, "give a value, or remove it", "has no value")
		return
	}
	var b bytes.Buffer
	if WriteJSON(&b, d, v) {
		*into = b.Bytes()
	}
}

func (JSON) Meta() Meta {
	return Meta{Words: "a value of the type", Schema: map[string]any{}}
}
