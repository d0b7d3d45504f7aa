package config

import (
	"regexp"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/config/field"
)

// The form of a kind that River takes, and the length of its column.
const (
	kindPattern   = `^\w[\w\-\[\]<>/.·:+]+$`
	maxKindLength = 127
)

// reservedPrefix begins the kinds under which the built-in ones are known to River.
const reservedPrefix = "tidemill."

var kindRE = regexp.MustCompile(kindPattern)

// plannedKinds have a meaning in later versions, so no program may take them.
func plannedKinds() []string {
	return []string{"health", "report", "sync"}
}

// programKind stands for all kinds that a user's program registers.
const programKind = ""

// kindWords names kinds, to follow "is a field of"; programKind is the last of them.
func kindWords(kinds []string) string {
	own := slices.Contains(kinds, programKind)
	named := slices.DeleteFunc(slices.Clone(kinds), func(k string) bool { return k == programKind })
	words := "kind "
	if len(named) > 1 {
		words = "kinds "
	}
	words += listWords(named)
	switch {
	case !own:
		return words
	case len(named) == 0:
		return "a kind that your program registers"
	default:
		return words + " and of those that your program registers"
	}
}

// listWords joins words as prose does: a, b and c.
func listWords(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}

// checkKindNames refuses kinds of a program that nobody could tell from others.
func checkKindNames(d *field.Checker, kinds []Kind) {
	seen := map[string]bool{}
	for _, k := range kinds {
		switch {
		case seen[k.Name]:
			d.Problem(nil, "give yours another name", "the program brings kind %q, which is there already", k.Name)
		case slices.Contains(plannedKinds(), k.Name):
			d.Problem(nil, "give yours another name", "the program brings kind %q, which a later version will have", k.Name)
		case !kindRE.MatchString(k.Name):
			d.Problem(nil, "letters, digits and _ - [ ] < > / . : +", "the program brings kind %q, which is not a name that River takes", k.Name)
		}
		seen[k.Name] = true
	}
}

// kind is a built-in kind or the River kind of a user's own worker.
type kind struct{ builtIn []string }

func (t kind) Read(d *field.Checker, v field.Value, into *string) {
	s, known, ok := d.Text(v)
	switch {
	case !ok || !known:
	case slices.Contains(t.builtIn, s):
		*into = s
	case slices.Contains(plannedKinds(), s):
		d.ProblemAt(v, "built in: "+strings.Join(t.builtIn, ", "), "kind %s is not built yet", s)
	case strings.HasPrefix(s, reservedPrefix):
		d.InvalidValue(v, "names that begin with "+reservedPrefix+" are reserved", "is not a kind")
	case len(s) > maxKindLength || !kindRE.MatchString(s):
		d.InvalidValue(v, "at most 127 characters: letters, digits and _ - [ ] < > / . : +", "is not a kind")
	default:
		*into = s
	}
}

func (t kind) Meta() field.Meta {
	return field.Meta{
		Words: "`" + strings.Join(t.builtIn, "`, `") + "`, or a kind that your program registers",
		Schema: map[string]any{"anyOf": []any{
			map[string]any{"enum": t.builtIn},
			map[string]any{
				"type": "string", "pattern": kindPattern, "maxLength": maxKindLength,
				"not": map[string]any{"anyOf": []any{
					map[string]any{"enum": plannedKinds()},
					map[string]any{"pattern": "^" + regexp.QuoteMeta(reservedPrefix)},
				}},
			},
		}},
	}
}
