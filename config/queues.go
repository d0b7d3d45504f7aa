package config

import (
	"regexp"

	"github.com/tidemill/tidemill/config/field"
)

// River allows no other names.
const queueNamePattern = `^[a-z0-9]+([-_][a-z0-9]+)*$`

const maxNameLength = 64 // of queues, by River, and of jobs

var queueNameRE = regexp.MustCompile(queueNamePattern)

// queues is a mapping from names to a number of workers or to a section.
type queues struct{ long field.Section[Queue] }

func (t queues) Read(d *field.Checker, v field.Value, into *map[string]Queue) {
	if !d.Is(v, field.MapNode, "a mapping") {
		return
	}
	if len(v.Node.Entries) == 0 {
		d.ProblemAt(v, "give at least one, such as default: 10", "no queue is given")
		return
	}
	out := map[string]Queue{}
	for _, e := range v.Node.Entries {
		at := v.Entry(e)
		if len(e.Key) > maxNameLength || !queueNameRE.MatchString(e.Key) {
			d.ProblemAt(at, "lower-case letters and digits, joined by single - or _, at most 64", "%q is not a queue name", field.Shorten(e.Key))
			continue
		}
		var q Queue
		if e.Value.Kind == field.MapNode {
			t.long.Read(d, at, &q)
		} else {
			queueWorkers().Read(d, at, &q.Workers)
		}
		out[e.Key] = q
	}
	*into = out
}

func (t queues) Meta() field.Meta {
	short, long := queueWorkers().Meta(), t.long.Meta()
	return field.Meta{
		Words: "mapping from name to number of workers",
		Schema: map[string]any{
			"type":                 []string{"object", "null"},
			"minProperties":        1,
			"propertyNames":        map[string]any{"pattern": queueNamePattern, "maxLength": maxNameLength},
			"additionalProperties": map[string]any{"anyOf": []any{short.Schema, long.Schema}},
		},
		Optional: true,
		Keys:     "QUEUE",
		Fields:   long.Fields,
	}
}
