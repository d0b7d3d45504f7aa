package config

// texts is a list of texts.
type texts struct{ item string } // what an item is, for the reference

func (t texts) read(d *decoder, v value, into *[]string) {
	if v.node.scalar() && v.node.kind != nullNode {
		d.refuse(v, "write it as ["+shorten(v.node.source)+"]", "is not a list")
		return
	}
	if !d.is(v, listNode, "a list") {
		return
	}
	out := []string{}
	for i := range v.node.items {
		if s, _, ok := d.text(v.item(i)); ok {
			out = append(out, s)
		}
	}
	*into = out
}

func (t texts) shape() shape {
	return shape{
		words:    "list of " + t.item,
		schema:   map[string]any{"type": []string{"array", "null"}, "items": map[string]any{"type": "string"}},
		optional: true,
	}
}

// textOrTexts is a text, or a list of at least one.
type textOrTexts struct {
	words string
	each  text
}

func (t textOrTexts) read(d *decoder, v value, into *[]string) {
	if v.node.kind != listNode {
		if s, ok := t.each.text(d, v); ok {
			*into = []string{s}
		}
		return
	}
	if len(v.node.items) == 0 {
		d.fail(v, "give at least one, or remove it", "is an empty list")
		return
	}
	var out []string
	for i := range v.node.items {
		if s, ok := t.each.text(d, v.item(i)); ok {
			out = append(out, s)
		}
	}
	*into = out
}

func (t textOrTexts) shape() shape {
	each := t.each.shape().schema
	return shape{words: t.words, secret: t.each.secret, schema: map[string]any{"anyOf": []any{
		each, map[string]any{"type": "array", "minItems": 1, "items": each},
	}}}
}

// namedTexts is a mapping from names to texts that may be secret, and are not shown in a message.
type namedTexts struct {
	words string
	// name returns the form in which a name is stored, or what is wrong with it, as words that follow it, and what to do.
	name func(key string) (name, problem, hint string)
	// value returns what is wrong with a text, and what to do; nil: any will do.
	value func(s string) (problem, hint string)
}

func (t namedTexts) read(d *decoder, v value, into *map[string]string) {
	if !d.is(v, mapNode, "a mapping from names to texts") {
		return
	}
	out := make(map[string]string, len(v.node.entries))
	for _, e := range v.node.entries {
		at := v.entry(e)
		name, problem, hint := t.name(e.key)
		if problem != "" {
			d.fail(at, hint, "%q %s", shorten(e.key), problem)
			continue
		}
		if _, dup := out[name]; dup {
			d.fail(at, "remove one of them", "%s is there twice", shorten(name))
			continue
		}
		if s, ok := (text{secret: true, check: t.value}).text(d, at); ok {
			out[name] = s
		}
	}
	*into = out
}

func (t namedTexts) shape() shape {
	return shape{
		words: t.words,
		schema: map[string]any{
			"type":                 []string{"object", "null"},
			"additionalProperties": map[string]any{"type": "string"},
		},
		optional: true,
		secret:   true,
	}
}
