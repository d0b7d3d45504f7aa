package field

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// Shown is a configuration, or a part of it, with everything said that the file leaves open: defaults, and what a job takes
// from the top level. Texts that come from outside stay ${NAME}, and secrets that are in the file are ***. It is for
// people to read: as a file it would mean nearly the same, but a job that takes its delays from `retry` would say them
// itself.
type Shown struct{ settings []setting }

// setting is a field and its value: a scalar, a []any, or a []setting.
type setting struct {
	name  string
	value any
	from  string // where the value comes from, if neither from the file nor by default; without a value: in words
}

// scalar is a text, number or truth value.
type scalar struct {
	kind NodeKind
	text string // as JSON has it
	yaml string // as the file has it
}

// Show is the mapping n with these fields. What they inherit is in the root, whose fields are rootFields.
func Show(fields, rootFields []Info, n, root *Node) *Shown {
	return &Shown{renderer{rootFields, root}.settings(fields, n)}
}

// shower puts the tree of a file and the field tables together.
type renderer struct {
	fields []Info // of the root
	root   *Node
}

func (s renderer) settings(fields []Info, n *Node) []setting {
	var out []setting
	for _, f := range fields {
		e, given := n.Find(f.Name)
		given = given && !(e.Value.Kind == NullNode && f.Meta.Optional)
		it := setting{name: f.Name}
		switch {
		case given:
			it.value = s.value(f.Meta, e.Value)
		case f.Meta.Optional && f.Meta.Keys == "" && len(f.Meta.Fields) > 0:
			it.value = s.settings(f.Meta.Fields, nil)
		case f.Default != "":
			it.value = s.value(f.Meta, yamlDefault(f.Default))
		case f.Inherits != "":
			it.value, it.from = s.inherited(f.Inherits)
		default:
			continue
		}
		if section, ok := it.value.([]setting); ok && !given && !slices.ContainsFunc(section, hasValue) {
			continue
		}
		out = append(out, it)
	}
	return out
}

var inheritedRE = regexp.MustCompile("^(?:the top-level )?`([a-z_]+)(?:\\.([a-z_]+))?`$")

// inherited is the value that the top level has in a place that words begin with, or nothing but the words.
func (s renderer) inherited(words string) (value any, from string) {
	m := inheritedRE.FindStringSubmatch(words)
	if m == nil {
		return nil, words
	}
	fields, n := s.fields, s.root
	for _, name := range m[1:] {
		i := slices.IndexFunc(fields, func(f Info) bool { return f.Name == name })
		if name == "" || i < 0 {
			break
		}
		f := fields[i]
		e, given := n.Find(name)
		switch {
		case len(f.Meta.Fields) > 0:
			fields, n = f.Meta.Fields, e.Value
		case given:
			return s.value(f.Meta, e.Value), words
		case f.Default != "":
			return s.value(f.Meta, yamlDefault(f.Default)), words
		}
	}
	return nil, words
}

func (s renderer) value(meta Meta, n *Node) any {
	switch {
	case meta.secret:
		return hidden(n)
	case n.Kind == ListNode:
		list := make([]any, len(n.Items))
		for i, item := range n.Items {
			list[i] = s.below(meta, item)
		}
		return list
	case n.Kind != MapNode:
		return plain(n)
	case meta.Keys == "" && len(meta.Fields) > 0:
		return s.settings(meta.Fields, n)
	case meta.Keys == "":
		return asWritten(n)
	}
	out := make([]setting, 0, len(n.Entries))
	for _, e := range n.Entries {
		it := setting{name: e.Key}
		if len(meta.Variants) > 0 {
			it.value = s.settings(meta.FieldsOf(e.Value), e.Value)
		} else {
			it.value = s.below(meta, e.Value)
		}
		out = append(out, it)
	}
	return out
}

// below is a value whose own fields, if it is a mapping, are those of the meta.
func (s renderer) below(meta Meta, n *Node) any {
	if n.Kind == MapNode && len(meta.Fields) > 0 {
		// Of many alike, words about what each leaves open would hide what it says.
		return slices.DeleteFunc(s.settings(meta.Fields, n), func(it setting) bool { return !hasValue(it) })
	}
	return asWritten(n)
}

func hasValue(it setting) bool { return it.value != nil }

// asWritten is a value of any form.
func asWritten(n *Node) any {
	switch n.Kind {
	case ListNode:
		list := make([]any, len(n.Items))
		for i, item := range n.Items {
			list[i] = asWritten(item)
		}
		return list
	case MapNode:
		out := make([]setting, len(n.Entries))
		for i, e := range n.Entries {
			out[i] = setting{name: e.Key, value: asWritten(e.Value)}
		}
		return out
	}
	return plain(n)
}

// plain is a scalar. What came from outside may be secret wherever it is, unless it is a number or a truth value.
func plain(n *Node) scalar {
	switch {
	case n.Kind == NullNode:
		return scalar{n.Kind, "null", n.Source}
	case n.Kind != TextNode:
		return scalar{n.Kind, n.Text, n.Text}
	case n.Replaced || n.unresolved:
		return scalar{n.Kind, n.Source, n.Source}
	}
	return scalar{n.Kind, n.Text, n.Source}
}

var envRE = regexp.MustCompile(`^\$\{[A-Za-z_][A-Za-z0-9_]*\}$`)

// hidden is a value of which only the names of variables are shown, and the keys of a mapping.
func hidden(n *Node) any {
	switch {
	case n.Kind == ListNode:
		list := make([]any, len(n.Items))
		for i, item := range n.Items {
			list[i] = hidden(item)
		}
		return list
	case n.Kind == MapNode:
		out := make([]setting, len(n.Entries))
		for i, e := range n.Entries {
			out[i] = setting{name: e.Key, value: hidden(e.Value)}
		}
		return out
	case n.Text == "", envRE.MatchString(n.Source):
		return scalar{TextNode, n.Source, n.Source}
	}
	return scalar{TextNode, "***", "***"}
}

// YAML is the text as a file would have it. Where a value comes from another place, a comment names that.
func (s *Shown) YAML() []byte {
	var b bytes.Buffer
	writeYAML(&b, s.settings, "")
	return b.Bytes()
}

func writeYAML(b *bytes.Buffer, settings []setting, indent string) {
	for i, it := range settings {
		if i > 0 {
			b.WriteString(indent)
		}
		switch v := it.value.(type) {
		case nil:
			b.WriteString("# " + it.name + ": " + unticked(it.from) + "\n")
			continue
		case []setting:
			if len(v) == 0 {
				b.WriteString(yamlText(it.name) + ": {}\n")
				continue
			}
			b.WriteString(yamlText(it.name) + ":\n" + indent + "  ")
			writeYAML(b, v, indent+"  ")
			continue
		case []any:
			if slices.ContainsFunc(v, isMapping) {
				b.WriteString(yamlText(it.name) + ":\n")
				for _, item := range v {
					b.WriteString(indent + "  - ")
					if mapping, ok := item.([]setting); ok && len(mapping) > 0 {
						writeYAML(b, mapping, indent+"    ")
						continue
					}
					b.WriteString(flow(item) + "\n")
				}
				continue
			}
		}
		b.WriteString(strings.TrimRight(yamlText(it.name)+": "+flow(it.value), " "))
		if it.from != "" {
			b.WriteString(" # from " + unticked(it.from))
		}
		b.WriteByte('\n')
	}
}

// unticked is Markdown as plain text.
func unticked(words string) string { return strings.ReplaceAll(words, "`", "") }

func isMapping(v any) bool { _, ok := v.([]setting); return ok }

// flow is a value on one line.
func flow(v any) string {
	var parts []string
	switch v := v.(type) {
	case scalar:
		if v.kind == TextNode {
			return yamlText(v.yaml)
		}
		return v.yaml
	case []any:
		for _, item := range v {
			parts = append(parts, flow(item))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case []setting:
		for _, it := range v {
			parts = append(parts, yamlText(it.name)+": "+flow(it.value))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return "null"
}

// plainTextRE are texts that mean themselves without quotes, also within brackets.
var plainTextRE = regexp.MustCompile(`^[\p{L}_/][\p{L}\p{N}_./@+-]*( [\p{L}\p{N}_./@+(=*<>-]+)*$`)

func yamlText(s string) string {
	if plainTextRE.MatchString(s) && plainKind(s) == TextNode || durationTextRE.MatchString(s) {
		return s
	}
	var b bytes.Buffer
	WriteString(&b, s)
	return b.String()
}

// durationTextRE are durations, sizes and shares, which begin with a digit and are texts all the same.
var durationTextRE = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?([a-zA-Z]+|%)([0-9]+[a-z]+)*$`)

// MarshalJSON leaves out what has no value.
func (s *Shown) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	writeShown(&b, s.settings)
	return b.Bytes(), nil
}

func writeShown(b *bytes.Buffer, v any) {
	switch v := v.(type) {
	case []setting:
		b.WriteByte('{')
		first := true
		for _, it := range v {
			if it.value == nil {
				continue
			}
			if !first {
				b.WriteByte(',')
			}
			first = false
			WriteString(b, it.name)
			b.WriteByte(':')
			writeShown(b, it.value)
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, item := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			writeShown(b, item)
		}
		b.WriteByte(']')
	case scalar:
		switch text := strings.ToLower(v.text); {
		case v.kind == NullNode:
			b.WriteString("null")
		case v.kind != TextNode && json.Valid([]byte(text)):
			b.WriteString(text)
		default:
			WriteString(b, v.text)
		}
	}
}
