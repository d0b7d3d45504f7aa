package config

import "regexp"

// River allows no other names.
const queueNamePattern = `^[a-z0-9]+([-_][a-z0-9]+)*$`

const maxNameLength = 64 // of queues, by River, and of jobs

var queueNameRE = regexp.MustCompile(queueNamePattern)

// queues is a mapping from names to a number of workers or to a section.
type queues struct{ long section[Queue] }

func (t queues) read(d *decoder, v value, into *map[string]Queue) {
	if !d.is(v, mapNode, "a mapping") {
		return
	}
	if len(v.node.entries) == 0 {
		d.fail(v, "give at least one, such as default: 10", "no queue is given")
		return
	}
	out := map[string]Queue{}
	for _, e := range v.node.entries {
		at := v.entry(e)
		if len(e.key) > maxNameLength || !queueNameRE.MatchString(e.key) {
			d.fail(at, "lower-case letters and digits, joined by single - or _, at most 64", "%q is not a queue name", shorten(e.key))
			continue
		}
		var q Queue
		if e.value.kind == mapNode {
			t.long.read(d, at, &q)
		} else {
			queueWorkers().read(d, at, &q.Workers)
		}
		out[e.key] = q
	}
	*into = out
}

func (t queues) shape() shape {
	short, long := queueWorkers().shape(), t.long.shape()
	return shape{
		words: "mapping from name to number of workers",
		schema: map[string]any{
			"type":                 []string{"object", "null"},
			"minProperties":        1,
			"propertyNames":        map[string]any{"pattern": queueNamePattern, "maxLength": maxNameLength},
			"additionalProperties": map[string]any{"anyOf": []any{short.schema, long.schema}},
		},
		optional: true,
		keys:     "QUEUE",
		fields:   long.fields,
	}
}
