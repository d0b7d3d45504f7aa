package house

import (
	"fmt"
	"maps"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

func TestLinksResolve(t *testing.T) {
	t.Parallel()
	report(t, checkLinks(setup(t)))
}

// link is a relative link of a Markdown file, resolved.
type link struct {
	from   string
	line   int
	text   string // as written
	target string // file or folder from the root
	anchor string
}

func checkLinks(r *repository) []string {
	var problems []string
	linked := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(r.texts)) {
		if path.Ext(name) != ".md" {
			continue
		}
		for _, l := range links(name, r.texts[name]) {
			where := fmt.Sprintf("%s:%d", l.from, l.line)
			if !r.exists(l.target) {
				problems = append(problems, fmt.Sprintf("%s: %s is not there (%s); fix the link or add the file", where, l.text, l.target))
				continue
			}
			if l.target != l.from {
				linked[l.target] = true
			}
			if l.anchor == "" || path.Ext(l.target) != ".md" {
				continue
			}
			if !slices.Contains(anchors(r.texts[l.target]), l.anchor) {
				problems = append(problems, fmt.Sprintf("%s: %s has no heading #%s; fix the link or the heading", where, l.target, l.anchor))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.texts)) {
		if strings.HasPrefix(name, "docs/") && path.Ext(name) == ".md" && !linked[name] {
			problems = append(problems, fmt.Sprintf("%s is linked from nowhere; link it in README.md", name))
		}
	}
	return append(problems, checkMentions(r)...)
}

var (
	codeSpan   = regexp.MustCompile("`[^`]*`")
	linkTarget = regexp.MustCompile(`\]\(<?([^)\s>]+)>?(?:\s+"[^"]*")?\)|^\s*\[[^\]]+\]:\s*<?([^\s>]+)|(?:href|src|srcset)="([^"]+)"`)
	scheme     = regexp.MustCompile(`^(?:[a-zA-Z][a-zA-Z0-9+.-]*:|//)`)
)

func links(name, text string) []link {
	var all []link
	for number, line := range prose(text) {
		for _, m := range linkTarget.FindAllStringSubmatch(codeSpan.ReplaceAllString(line, "``"), -1) {
			to := m[1] + m[2] + m[3] // one of them
			if scheme.MatchString(to) {
				continue
			}
			file, anchor, _ := strings.Cut(to, "#")
			if plain, err := url.PathUnescape(file); err == nil {
				file = plain
			}
			target := name
			switch {
			case strings.HasPrefix(file, "/"):
				target = path.Clean(strings.TrimLeft(file, "/"))
			case file != "":
				target = path.Join(path.Dir(name), file)
			}
			all = append(all, link{from: name, line: number, text: to, target: target, anchor: anchor})
		}
	}
	return all
}

// prose yields the lines outside fenced code, numbered from 1.
func prose(text string) func(yield func(int, string) bool) {
	return func(yield func(int, string) bool) {
		fence := ""
		for i, line := range strings.Split(text, "\n") {
			trimmed := strings.TrimSpace(line)
			switch {
			case fence != "":
				if strings.HasPrefix(trimmed, fence) && strings.Trim(trimmed, fence[:1]) == "" {
					fence = ""
				}
				continue
			case strings.HasPrefix(trimmed, "```"), strings.HasPrefix(trimmed, "~~~"):
				fence = trimmed[:3]
				continue
			}
			if !yield(i+1, line) {
				return
			}
		}
	}
}

var (
	heading   = regexp.MustCompile(`^#{1,6}\s+(.*?)\s*#*$`)
	namedHere = regexp.MustCompile(`<a\s+(?:id|name)="([^"]+)"`)
	linkText  = regexp.MustCompile(`!?\[([^\]]*)\]\([^)]*\)`)
)

// anchors are the names that GitHub gives to the headings of a Markdown text, and those given by hand.
func anchors(text string) []string {
	var all []string
	seen := map[string]int{}
	for _, line := range prose(text) {
		for _, m := range namedHere.FindAllStringSubmatch(line, -1) {
			all = append(all, m[1])
		}
		m := heading.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		slug := strings.Map(func(c rune) rune {
			switch {
			case c == ' ':
				return '-'
			case c == '-', c == '_', unicode.IsLetter(c), unicode.IsNumber(c):
				return unicode.ToLower(c)
			}
			return -1
		}, linkText.ReplaceAllString(m[1], "$1"))
		if n := seen[slug]; n > 0 {
			all = append(all, fmt.Sprintf("%s-%d", slug, n))
		} else {
			all = append(all, slug)
		}
		seen[slug]++
	}
	return all
}

// mention is a document named in words, in a comment or in a message: docs/, a name in capitals, .md.
var mention = regexp.MustCompile(`(^|[^\w./-]|\.\./)(docs/[A-Z][A-Z0-9_]*\.md)\b`)

func checkMentions(r *repository) []string {
	var problems []string
	look := func(where, text string) {
		for _, m := range mention.FindAllStringSubmatch(text, -1) {
			if !r.exists(m[2]) {
				problems = append(problems, fmt.Sprintf("%s names %s, which is not there; write it or name another", where, m[2]))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.texts)) {
		look(name, r.texts[name])
	}
	for _, f := range r.goes {
		if f.pkg == "internal/house" {
			continue // its examples name documents that are not there
		}
		for _, group := range f.ast.Comments {
			look(r.at(group), group.Text())
		}
		for _, text := range literals(f.ast) {
			look(r.at(text), text.Value)
		}
	}
	return problems
}

func TestLinksAreSeen(t *testing.T) {
	t.Parallel()
	fence := "```"
	r := sketch(t, map[string]string{
		"README.md": `# The house
[good](docs/GOOD.md#two-words-1) [folder](docs) [self](#the-house) [web](https://example.com/x) [mail](mailto:a@b.c)
[gone](docs/GONE.md) <img src="docs/gone.svg"> [anchor](docs/GOOD.md#three) ` + "`[code](nowhere)`" + ` [root](/docs/GOOD.md)
[ref]: docs/ref.md
` + fence + `
[fenced](nowhere)
` + fence + `
see docs/LOST.md, not https://example.com/docs/OTHER.md
`,
		"docs/GOOD.md":    "# Two `words`\n## Two words\n[up](../README.md) [by name](GOOD.md#hand) <a id=\"hand\"></a>\n",
		"docs/ORPHAN.md":  "[me](ORPHAN.md)\n",
		"docs/picture.js": "",
		"a/a.go":          "package a\n\n// f is told in docs/NOT.md.\nfunc f() { print(\"../docs/NEITHER.md\") }\n",
	})
	want := []string{
		"README.md:3: docs/GONE.md is not there (docs/GONE.md)",
		"README.md:3: docs/gone.svg is not there (docs/gone.svg)",
		"README.md:3: docs/GOOD.md has no heading #three",
		"README.md:4: docs/ref.md is not there (docs/ref.md)",
		"docs/ORPHAN.md is linked from nowhere",
		"README.md names docs/GONE.md, which is not there",
		"README.md names docs/LOST.md, which is not there",
		"a/a.go:3 names docs/NOT.md, which is not there",
		"a/a.go:4 names docs/NEITHER.md, which is not there",
	}
	if diff := cmp.Diff(want, rules(checkLinks(r))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
