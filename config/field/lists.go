package field

// Texts is a list of texts.
type Texts struct{ Item string } // what an item is, for the reference

func (t Texts) Read(d *Checker, v Value, into *[]string) {
	if v.Node.Scalar() && v.Node.Kind != NullNode {
		d.InvalidValue(v, "write it as ["+Shorten(v.Node.Source)+"]", "is not a list")
		return
	}
	if !d.Is(v, ListNode, "a list") {
		return
	}
	out := []string{}
	for i := range v.Node.Items {
		if s, _, ok := d.Text(v.Item(i)); ok {
			out = append(out, s)
		}
	}
	*into = out
}

func (t Texts) Meta() Meta {
	return Meta{
		Words:    "list of " + t.Item,
		Schema:   map[string]any{"type": []string{"array", "null"}, "items": map[string]any{"type": "string"}},
		Optional: true,
	}
}

// TextOrTexts is a text, or a list of at least one.
type TextOrTexts struct {
	Words string
	Each  Text
}

func (t TextOrTexts) Read(d *Checker, v Value, into *[]string) {
	if v.Node.Kind != ListNode {
		if s, ok := t.Each.Value(d, v); ok {
			*into = []string{s}
		}
		return
	}
	if len(v.Node.Items) == 0 {
		d.ProblemAt(v, "give at least one, or remove it", "is an empty list")
		return
	}
	var out []string
	for i := range v.Node.Items {
		if s, ok := t.Each.Value(d, v.Item(i)); ok {
			out = append(out, s)
		}
	}
	*into = out
}

func (t TextOrTexts) Meta() Meta {
	each := t.Each.Meta().Schema
	return Meta{Words: t.Words, secret: t.Each.Secret, Schema: map[string]any{"anyOf": []any{
		each, map[string]any{"type": "array", "minItems": 1, "items": each},
	}}}
}

// NamedTexts is a mapping from names to texts that may be secret, and are not shown in a message.
type NamedTexts struct {
	Words string
	// Name returns the form in which a name is stored, or what is wrong with it, as words that follow it, and what to do.
	Name func(key string) (name, problem, hint string)
	// Value returns what is wrong with a text, and what to do; nil: any will do.
	Value func(s string) (problem, hint string)
}

func (t NamedTexts) Read(d *Checker, v Value, into *map[string]string) {
	if !d.Is(v, MapNode, "a mapping from names to texts") {
		return
	}
	out := make(map[string]string, len(v.Node.Entries))
	for _, e := range v.Node.Entries {
		at := v.Entry(e)
		name, problem, hint := t.Name(e.Key)
		if problem != "" {
			d.ProblemAt(at, hint, "%q %s", Shorten(e.Key), problem)
			continue
		}
		if _, dup := out[name]; dup {
			d.ProblemAt(at, "remove one of them", "%s is there twice", Shorten(name))
			continue
		}
		if s, ok := (Text{Secret: true, Check: t.Value}).Value(d, at); ok {
			out[name] = s
		}
	}
	*into = out
}

func (t NamedTexts) Meta() Meta {
	return Meta{
		Words: t.Words,
		Schema: map[string]any{
			"type":                 []string{"object", "null"},
			"additionalProperties": map[string]any{"type": "string"},
		},
		Optional: true,
		secret:   true,
	}
}
