package config

import (
	"bytes"
	"encoding/json"
	"regexp"
)

// maxParams is more than a person can fill in, and keeps the suggestions for misspelled names quick.
const maxParams = 100

const paramNamePattern = `^[a-z_][a-z0-9_]{0,62}$`

var paramNameRE = regexp.MustCompile(paramNamePattern)

// paramFields are the long form of a param; see params.
func paramFields() object[Param] {
	return object[Param]{
		row("type", paramTypes(), "", "Type of the value. A date is written like `2026-01-31`, a timestamp like `2026-01-31T09:00:00Z`; a text that spells a number, `true`, a date and so on is taken for one.",
			func(p *Param) *string { return &p.Type }).needed(),
		row("default", anyValue{}, "", "Value for a start that gives none; of a `date` or `timestamp` also `"+ScheduledFor+"`, the time when the run is due. `null` is no value: `NULL` in a statement. Without default the param must be given.",
			func(p *Param) *json.RawMessage { return &p.Default }),
		row("doc", text{words: "text"}, "", "What the param means.",
			func(p *Param) *string { return &p.Doc }),
	}
}

// params is a mapping from names to a type or to a section, kept in the order of the file.
type params struct{ long section[Param] }

func (t params) read(d *decoder, v value, into *[]Param) {
	if !d.is(v, mapNode, "a mapping from names to types") {
		return
	}
	if len(v.node.entries) > maxParams {
		d.fail(v, "take one param of type json", "has more than the %d params that a job can have", maxParams)
		return
	}
	out := make([]Param, 0, len(v.node.entries)) // never nil: a job with {} takes none
	for _, e := range v.node.entries {
		at := v.entry(e)
		if !paramNameRE.MatchString(e.key) {
			d.fail(at, "lower-case letters, digits and _, no digit first, at most 63", "%q is not the name of a param", shorten(e.key))
			continue
		}
		p := Param{Name: e.key}
		if e.value.kind == mapNode {
			t.long.read(d, at, &p)
			t.checkDefault(d, at, &p)
		} else {
			paramTypes().read(d, at, &p.Type)
		}
		out = append(out, p)
	}
	*into = out
}

// checkDefault reports a default that is not of the type of p. It needs both, so it comes after them.
func (params) checkDefault(d *decoder, v value, p *Param) {
	e, given := v.node.find("default")
	if !given || p.Default == nil || p.Type == "" || e.value.hasUnresolved() || isNull(p.Default) || p.due() {
		return
	}
	at := v.entry(e)
	p.Default = paramValue(d, at)
	if p.Type == TextParam && string(p.Default) == `"`+ScheduledFor+`"` {
		d.refuse(at, "change the type", "is a default of a date or a timestamp")
		return
	}
	checkParam(d, at, p.Type, p.Default)
}

// paramValue is the JSON of v, which is known to have one. A scalar from outside is text, whatever it looks like: the
// type of the param says what it means.
func paramValue(d *decoder, v value) json.RawMessage {
	var b bytes.Buffer
	if v.node.scalar() && v.node.replaced {
		writeString(&b, v.node.text)
	} else {
		writeJSON(&b, d, v)
	}
	return b.Bytes()
}

// checkParam reports v, whose JSON is data, unless it is of the type. The message shows it as the file has it.
func checkParam(d *decoder, v value, typ string, data json.RawMessage) {
	_, problem, hint := readParam(typ, data)
	switch {
	case problem == "":
	case v.node.scalar():
		d.refuse(v, hint, "%s", problem)
	default:
		d.fail(v, hint, "%s %s", v.node.kind.what(), problem)
	}
}

func (t params) shape() shape {
	short, long := paramTypes().shape(), t.long.shape()
	return shape{
		words: "mapping from name to type",
		schema: map[string]any{
			"type":                 []string{"object", "null"},
			"propertyNames":        map[string]any{"pattern": paramNamePattern},
			"additionalProperties": map[string]any{"anyOf": []any{short.schema, long.schema}},
		},
		optional: true,
		keys:     "PARAM",
		fields:   long.fields,
	}
}
