package house

import (
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// turn is a way to say something that a reader stops at.
type turn struct {
	re  *regexp.Regexp
	say string // what to write in its place
}

func turns() []turn {
	of := func(expr, say string) turn { return turn{regexp.MustCompile(`\b(?:` + expr + `)\b`), say} }
	return []turn{
		// A worker may be behind a pooler, a clock behind another, and files may be left behind.
		of(`behind (it|them|these|which|its?|the (last|first|next|colon|quote|field|record|rows?|place|end|number|header|others?|name|line))|one behind the other`,
			"after, past, follows"),
		of(`anew`, "again, from the start, start over"),
		of(`[Mm]end(s|ed|ing)?`, "fix, repair, correct"),
		of(`(tells|says) whether`, "reports whether"),
		of(`goes on|go on (with|where|from|by)`, "continues, resumes"),
		of(`what is no|is no text`, "what is not"),
		of(`(a|in) circle`, "cycle"),
		of(`knows nothing`, "does not know"),
		of(`(made|makes) up for`, "caught up, catches up on"),
		of(`(is|are) told (of|each|what|why|the|about|to end)`, "gets, is called for, is asked to"),
		of(`stands? in (the|its|a|quotes|double|their|one)`, "is in"),
		of(`for ever`, "forever"),
	}
}

func TestPlainWords(t *testing.T) {
	t.Parallel()
	report(t, checkWords(setup(t)))
}

func checkWords(r *repository) []string {
	texts := maps.Clone(r.texts)
	for _, f := range r.goes {
		if f.path == "internal/house/words_test.go" { // it lists them
			continue
		}
		text, err := fs.ReadFile(r.files, f.path)
		if err != nil {
			return []string{fmt.Sprintf("%s: %v", f.path, err)}
		}
		texts[f.path] = string(text)
	}
	var problems []string
	all := turns()
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		for _, turn := range all { // each goes through a text at once: a line at a time would take a minute
			for _, at := range turn.re.FindAllStringIndex(texts[name], -1) {
				problems = append(problems, fmt.Sprintf("%s:%d: %q; write it plainly: %s",
					name, 1+strings.Count(texts[name][:at[0]], "\n"), texts[name][at[0]:at[1]], turn.say))
			}
		}
	}
	return problems
}

func TestTurnsAreSeen(t *testing.T) {
	t.Parallel()
	r := sketch(t, map[string]string{
		"a/a.go":    "package a\n\n// f tells whether it goes on behind the last row.\nfunc f() { print(\"mend it\") }\n\n// g leaves nothing behind; docs are behind a proxy.\nfunc g() {}\n",
		"docs/A.md": "The job begins anew.\nA worker stands in for another.\n",
		"m/a.sql":   "-- kept for ever\n",
	})
	want := []string{
		`a/a.go:3: "behind the last"`, `a/a.go:4: "mend"`, `a/a.go:3: "tells whether"`, `a/a.go:3: "goes on"`, `docs/A.md:1: "anew"`, `m/a.sql:1: "for ever"`,
	}
	if diff := cmp.Diff(want, rules(checkWords(r))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
