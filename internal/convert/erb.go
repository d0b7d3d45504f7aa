package convert

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// erb replaces the tags of a template by marks, so that what is left is YAML, and remembers what the marks stand for. The
// lines stay where they are.
type erb struct {
	mark  string // begins a mark; it is nowhere in the file
	vars  []envVar
	marks *regexp.Regexp
}

// envVar is an environment variable that a tag gives out.
type envVar struct {
	name     string
	fallback *string
	known    bool // false: the tag is more than a variable, and was reported
}

var tagRE = regexp.MustCompile(`(?s)<%.*?%>`)

func (c *converter) stripERB(text string) (string, *erb) {
	e := &erb{mark: "ErbTag"}
	for strings.Contains(text, e.mark) {
		e.mark += "x"
	}
	e.marks = regexp.MustCompile(e.mark + `([0-9]+)z`)
	c.marks = e.marks
	var b strings.Builder
	end, line := 0, 1
	for _, at := range tagRE.FindAllStringIndex(text, -1) {
		before, tag := text[end:at[0]], text[at[0]:at[1]]
		b.WriteString(before)
		line += strings.Count(before, "\n")
		b.WriteString(e.replace(c, tag, line, placeOf(text, at)))
		b.WriteString(strings.Repeat("\n", strings.Count(tag, "\n")))
		line += strings.Count(tag, "\n")
		end = at[1]
	}
	b.WriteString(text[end:])
	return b.String(), e
}

// place is what a tag is part of.
type place int

const (
	inValue place = iota
	ownLine       // nothing else is on its lines
	inComment
)

func placeOf(text string, at []int) place {
	before := strings.TrimSpace(text[strings.LastIndexByte(text[:at[0]], '\n')+1 : at[0]])
	after, _, _ := strings.Cut(text[at[1]:], "\n")
	switch {
	case strings.HasPrefix(before, "#"):
		return inComment
	case before == "" && strings.TrimSpace(after) == "":
		return ownLine
	}
	return inValue
}

// replace returns what stands for a tag in the YAML.
func (e *erb) replace(c *converter, tag string, line int, where place) string {
	inside := strings.TrimSpace(strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(tag, "<%"), "%>"), "-"))
	code, output := strings.CutPrefix(inside, "=")
	if strings.HasPrefix(inside, "#") || output && where == inComment {
		return ""
	}
	if !output {
		c.problem(line, tag, "look at what is between this and its end", "Ruby decides here what the file says; all of it is taken")
		return ""
	}
	if where == ownLine {
		c.problem(line, tag, "write the lines that it makes", "Ruby makes whole lines here")
		return ""
	}
	found, ok := parseEnv(strings.TrimSpace(code))
	if !ok {
		c.problem(line, tag, "write the value itself", "only ENV[…] and ENV.fetch(…) with a plain default can be carried over")
	}
	found.known = ok
	e.vars = append(e.vars, found)
	return fmt.Sprintf("%s%dz", e.mark, len(e.vars)-1)
}

var (
	envRE = regexp.MustCompile(`^\(?\s*ENV(?:\.fetch\s*\(\s*(?:"(\w+)"|'(\w+)')\s*(?:,\s*(.*?))?\s*\)|\[\s*(?:"(\w+)"|'(\w+)')\s*\])\s*` +
		`(?:\{\s*(.*?)\s*\}|\|\|\s*(.*?))?\s*\)?(?:\.to_[is])?$`)
	defaultRE = regexp.MustCompile(`^(?:"([^"#\\}$]*)"|'([^'\\}$]*)'|(-?[0-9]+)|(true|false))$`)
	nameRE    = regexp.MustCompile(`^[A-Za-z_]\w*$`)
)

// parseEnv reads ENV["X"], ENV.fetch("X", default), ENV.fetch("X") { default } and ENV["X"] || default.
func parseEnv(code string) (envVar, bool) {
	m := envRE.FindStringSubmatch(code)
	if m == nil {
		return envVar{}, false
	}
	v := envVar{name: m[1] + m[2] + m[4] + m[5]}
	if !nameRE.MatchString(v.name) {
		return envVar{}, false
	}
	given := m[3] + m[6] + m[7]
	if given == "" {
		return v, true
	}
	d := defaultRE.FindStringSubmatch(given)
	if d == nil {
		return envVar{}, false
	}
	text := d[1] + d[2] + d[3] + d[4]
	v.fallback = &text
	return v, true
}

// value is the text with its marks made ${NAME}; false if one of them is more than a variable, which was reported.
func (e *erb) value(text string) (value, bool) {
	var b strings.Builder
	end := 0
	for _, at := range e.marks.FindAllStringSubmatchIndex(text, -1) {
		v, ok := e.variable(text[at[2]:at[3]])
		if !ok {
			return "", false
		}
		b.WriteString(string(literal(text[end:at[0]])))
		b.WriteString(string(variable(v.name, v.fallback)))
		end = at[1]
	}
	b.WriteString(string(literal(text[end:])))
	return value(b.String()), true
}

func (e *erb) variable(number string) (envVar, bool) {
	n, err := strconv.Atoi(number)
	if err != nil || n >= len(e.vars) {
		return envVar{}, false
	}
	return e.vars[n], e.vars[n].known
}

// only is the variable that is the whole text.
func (e *erb) only(text string) (envVar, bool) {
	m := e.marks.FindStringSubmatch(text)
	if m == nil || m[0] != text {
		return envVar{}, false
	}
	return e.variable(m[1])
}

// counts reports whether the default, if there is one, is a number of workers as the configuration has it.
func (v envVar) counts() bool {
	if v.fallback == nil {
		return true
	}
	n, err := strconv.Atoi(*v.fallback)
	return err == nil && n >= 1 && n <= maxWorkers && strconv.Itoa(n) == *v.fallback
}

// in reports whether a tag is in the text.
func (e *erb) in(text string) bool { return e.marks.MatchString(text) }
