package convert

import (
	"fmt"
	"strings"
	"unicode"
)

// render writes the document, with what was not carried over at its top: whoever has the file alone sees it, too.
func (d *document) render(problems []Problem) []byte {
	w := &writer{}
	w.comments("", d.intro)
	if len(problems) > 0 {
		w.line("#")
		w.line("# Not carried over:")
		for _, p := range problems {
			w.comments("", []string{fmt.Sprintf("  line %d: %s", p.Line, p.text())})
		}
	}
	w.line("")
	for _, f := range d.top {
		w.field("", f)
	}
	if len(d.jobs) > 0 {
		w.line("")
		w.line("jobs:")
	}
	inside := d.inside()
	for i, j := range d.jobs {
		if i > 0 {
			w.line("")
		}
		w.comments("  ", j.note)
		w.line("  " + j.name + ":")
		for _, f := range j.fields {
			w.field("    ", f)
		}
		if s := inside[j.name]; s != nil {
			w.comments("    ", s.note)
			w.line("    schedule: " + mapping(s.fields))
		}
	}
	d.renderSchedules(w, inside)
	return []byte(w.String())
}

func (d *document) renderSchedules(w *writer, inside map[string]*schedule) {
	begun := false
	for _, s := range d.schedules {
		if inside[s.job] == s {
			continue
		}
		if !begun {
			begun = true
			w.line("")
			w.line("schedules:")
		}
		w.comments("  ", s.note)
		w.line("  " + s.name + ": " + mapping(append([]member{{name: "job", value: value(s.job).scalar()}}, s.fields...)))
	}
}

type writer struct{ strings.Builder }

func (w *writer) line(text string) {
	w.WriteString(text)
	w.WriteByte('\n')
}

// comments writes one comment a line. Characters that would end it, or that YAML does not take, become spaces.
func (w *writer) comments(indent string, texts []string) {
	for _, text := range texts {
		text = strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) {
				return ' '
			}
			return r
		}, text)
		w.line(strings.TrimRight(indent+"# "+text, " "))
	}
}

func (w *writer) field(indent string, f member) {
	w.comments(indent, f.note)
	if !strings.Contains(f.value, "\n") {
		w.line(indent + f.name + ": " + f.value)
		return
	}
	w.line(indent + f.name + ":")
	for line := range strings.Lines(f.value) {
		w.line(indent + "  " + strings.TrimSuffix(line, "\n"))
	}
}
