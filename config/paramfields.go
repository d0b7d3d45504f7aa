package config

import (
	"bytes"
	"encoding/json"
	"regexp"

	"github.com/tidemill/tidemill/config/field"
)

// maxParams is more than a person can fill in, and keeps the suggestions for misspelled names quick.
const maxParams = 100

const paramNamePattern = `^[a-z_][a-z0-9_]{0,62}$`

var paramNameRE = regexp.MustCompile(paramNamePattern)

// paramFields are the long form of a param; see params.
func paramFields() field.Table[Param] {
	return field.Table[Param]{
		field.Row("type", paramTypes(), "", "Type of the value. A date is written like `2026-01-31`, a timestamp like `2026-01-31T09:00:00Z`; a text that spells a number, `true`, a date and so on is taken for one.",
			func(p *Param) *string { return &p.Type }).Require(),
		field.Row("default", field.JSON{}, "", "Value for a start that gives none; of a `date` or `timestamp` also `"+ScheduledFor+"`, the time when the run is due. `null` is no value: `NULL` in a statement. Without default the param must be given.",
			func(p *Param) *json.RawMessage { return &p.Default }),
		field.Row("doc", field.Text{Words: "text"}, "", "What the param means.",
			func(p *Param) *string { return &p.Doc }),
	}
}

// params is a mapping from names to a type or to a section, kept in the order of the file.
type params struct{ long field.Section[Param] }

func (t params) Read(d *field.Checker, v field.Value, into *[]Param) {
	if !d.Is(v, field.MapNode, "a mapping from names to types") {
		return
	}
	if len(v.Node.Entries) > maxParams {
		d.ProblemAt(v, "take one param of type json", "has more than the %d params that a job can have", maxParams)
		return
	}
	out := make([]Param, 0, len(v.Node.Entries)) // never nil: a job with {} takes none
	for _, e := range v.Node.Entries {
		at := v.Entry(e)
		if !paramNameRE.MatchString(e.Key) {
			d.ProblemAt(at, "lower-case letters, digits and _, no digit first, at most 63", "%q is not the name of a param", field.Shorten(e.Key))
			continue
		}
		p := Param{Name: e.Key}
		if e.Value.Kind == field.MapNode {
			t.long.Read(d, at, &p)
			t.checkDefault(d, at, &p)
		} else {
			paramTypes().Read(d, at, &p.Type)
		}
		out = append(out, p)
	}
	*into = out
}

// checkDefault reports a default that is not of the type of p. It needs both, so it comes after them.
func (params) checkDefault(d *field.Checker, v field.Value, p *Param) {
	e, given := v.Node.Find("default")
	if !given || p.Default == nil || p.Type == "" || e.Value.HasUnresolved() || field.IsNull(p.Default) || p.due() {
		return
	}
	at := v.Entry(e)
	p.Default = paramValue(d, at)
	if p.Type == TextParam && string(p.Default) == `"`+ScheduledFor+`"` {
		d.InvalidValue(at, "change the type", "is a default of a date or a timestamp")
		return
	}
	checkParam(d, at, p.Type, p.Default)
}

// paramValue is the JSON of v, which is known to have one. A scalar from outside is text, whatever it looks like: the
// type of the param says what it means.
func paramValue(d *field.Checker, v field.Value) json.RawMessage {
	var b bytes.Buffer
	if v.Node.Scalar() && v.Node.Replaced {
		field.WriteString(&b, v.Node.Text)
	} else {
		field.WriteJSON(&b, d, v)
	}
	return b.Bytes()
}

// checkParam reports v, whose JSON is data, unless it is of the type. The message shows it as the file has it.
func checkParam(d *field.Checker, v field.Value, paramType string, data json.RawMessage) {
	_, problem, hint := readParam(paramType, data)
	switch {
	case problem == "":
	case v.Node.Scalar():
		d.InvalidValue(v, hint, "%s", problem)
	default:
		d.ProblemAt(v, hint, "%s %s", v.Node.Kind.What(), problem)
	}
}

func (t params) Meta() field.Meta {
	short, long := paramTypes().Meta(), t.long.Meta()
	return field.Meta{
		Words: "mapping from name to type",
		Schema: map[string]any{
			"type":                 []string{"object", "null"},
			"propertyNames":        map[string]any{"pattern": paramNamePattern},
			"additionalProperties": map[string]any{"anyOf": []any{short.Schema, long.Schema}},
		},
		Optional: true,
		Keys:     "PARAM",
		Fields:   long.Fields,
	}
}
