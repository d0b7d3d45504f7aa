package config

import (
	"bytes"
	"encoding/json"
	"strings"
)

// args is any YAML mapping, stored as a JSON object in the order of the file.
type args struct{}

func (args) read(d *decoder, v value, into *json.RawMessage) {
	if !d.is(v, mapNode, "a mapping") {
		return
	}
	var b bytes.Buffer
	if !writeJSON(&b, d, v) {
		return
	}
	if name, found := NULParam(b.Bytes()); found {
		d.fail(v.entry(v.node.entries[v.node.byKey[name]]), "PostgreSQL stores none; remove it", holdsNUL)
		return
	}
	*into = b.Bytes()
}

func (args) shape() shape {
	return shape{
		words:    "mapping",
		schema:   map[string]any{"type": []string{"object", "null"}},
		optional: true,
	}
}

// writeJSON writes v and tells whether all of it could be written. The tree is
// bounded in size and depth when it is built.
func writeJSON(b *bytes.Buffer, d *decoder, v value) bool {
	ok := true
	switch v.node.kind {
	case mapNode:
		b.WriteByte('{')
		for i, e := range v.node.entries {
			if i > 0 {
				b.WriteByte(',')
			}
			writeString(b, e.key)
			b.WriteByte(':')
			ok = writeJSON(b, d, v.entry(e)) && ok
		}
		b.WriteByte('}')
	case listNode:
		b.WriteByte('[')
		for i := range v.node.items {
			if i > 0 {
				b.WriteByte(',')
			}
			ok = writeJSON(b, d, v.item(i)) && ok
		}
		b.WriteByte(']')
	case nullNode:
		b.WriteString("null")
	case boolNode:
		b.WriteString(strings.ToLower(v.node.text))
	case intNode, floatNode:
		number := v.node.text
		if !json.Valid([]byte(number)) {
			d.refuse(v, "put it in quotes to keep it as text, or write it without leading zeros, plus signs and bare dots", "is not a number in JSON")
			return false
		}
		b.WriteString(number)
	default:
		writeString(b, v.node.text)
	}
	return ok
}

// writeString writes s as JSON; characters of HTML stay as they are.
func writeString(b *bytes.Buffer, s string) {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil { // no string fails
		b.WriteString(`""`)
		return
	}
	b.Truncate(b.Len() - 1) // the line end of Encode
}

// anyValue is any YAML, stored as JSON.
type anyValue struct{}

func (anyValue) read(d *decoder, v value, into *json.RawMessage) {
	if v.node.kind == nullNode && v.node.source == "" {
		d.fail(v, "give a value, or remove it", "has no value")
		return
	}
	var b bytes.Buffer
	if writeJSON(&b, d, v) {
		*into = b.Bytes()
	}
}

func (anyValue) shape() shape {
	return shape{words: "a value of the type", schema: map[string]any{}}
}
