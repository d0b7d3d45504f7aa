package field

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Text is any text that check accepts.
type Text struct {
	Words   string
	Pattern string // for the schema; empty: any
	Secret  bool   // never shown in a message
	// Hide reports whether a problem is one with which the text may be a secret; nil: no.
	Hide func(problem string) bool
	// Check returns what is wrong, as words that follow the text, and what to do.
	Check func(s string) (problem, hint string)
}

func (t Text) Read(d *Checker, v Value, into *string) {
	if s, ok := t.Value(d, v); ok {
		*into = s
	}
}

// Value returns the text of v, and whether there is one that check accepts or cannot judge.
func (t Text) Value(d *Checker, v Value) (string, bool) {
	s, known, ok := d.anyText(v, t.Secret)
	if !ok || !known || t.Check == nil {
		return s, ok
	}
	problem, hint := t.Check(s)
	switch {
	case problem == "":
		return s, true
	case t.Secret, t.Hide != nil && t.Hide(problem):
		d.ProblemAt(v, hint, "%s", problem)
	default:
		d.InvalidValue(v, hint, "%s", problem)
	}
	return "", false
}

func (t Text) Meta() Meta {
	s := map[string]any{"type": "string"}
	if t.Pattern != "" {
		s["pattern"] = t.Pattern
		s = OrEnv(s)
	}
	return Meta{Words: t.Words, Schema: s, secret: t.Secret}
}

// Choice is one of a few words.
type Choice []string

func (c Choice) Read(d *Checker, v Value, into *string) {
	s, known, ok := d.Text(v)
	switch {
	case !ok:
		return
	case known && !slices.Contains(c, s):
		c.refuse(d, v, s)
		return
	}
	*into = s
}

func (c Choice) refuse(d *Checker, v Value, got string) {
	hint := ""
	if s := Suggest(got, c); s != "" {
		hint = "did you mean " + s + "?"
	}
	if len(c) == 1 {
		d.InvalidValue(v, hint, "is not %s, the only one so far", c[0])
		return
	}
	d.InvalidValue(v, hint, "is not one of %s", strings.Join(c, ", "))
}

func (c Choice) Meta() Meta {
	return Meta{Words: "`" + strings.Join(c, "`, `") + "`", Schema: OrEnv(map[string]any{"enum": []string(c)})}
}

// Integer is a whole number within bounds.
type Integer[I int | int64] struct{ Min, Max I }

func (t Integer[I]) words() string {
	return fmt.Sprintf("whole number, %d to %d", t.Min, t.Max)
}

func (t Integer[I]) Read(d *Checker, v Value, into *I) {
	const want = "a whole number"
	s, ok := d.Scalar(v, want)
	if !ok {
		return
	}
	if v.Node.Kind != IntNode && !(v.Node.Replaced && intRE.MatchString(s)) {
		hint := ""
		if intRE.MatchString(s) {
			hint = "remove the quotes"
		}
		d.InvalidValue(v, hint, "is not %s", want)
		return
	}
	if digits := strings.TrimLeft(s, "+-"); len(digits) > 1 && digits[0] == '0' {
		d.InvalidValue(v, "remove the leading zero", "is not %s", want)
		return
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || I(n) < t.Min || I(n) > t.Max {
		d.InvalidValue(v, "", "is not from %d to %d", t.Min, t.Max)
		return
	}
	*into = I(n)
}

func (t Integer[I]) Meta() Meta {
	return Meta{
		Words:  t.words(),
		Schema: OrEnv(map[string]any{"type": "integer", "minimum": t.Min, "maximum": t.Max}),
	}
}

// Boolean is true or false.
type Boolean struct{}

func (Boolean) Read(d *Checker, v Value, into *bool) {
	s, ok := d.Scalar(v, "true or false")
	if !ok {
		return
	}
	if v.Node.Kind != boolNode && !(v.Node.Replaced && plainKind(s) == boolNode) {
		d.InvalidValue(v, "", "is not true or false")
		return
	}
	*into = strings.EqualFold(s, "true")
}

func (Boolean) Meta() Meta {
	return Meta{Words: "`true` or `false`", Schema: OrEnv(map[string]any{"type": "boolean"})}
}

// Duration is a length of time within bounds.
type Duration struct{ Min, Max time.Duration }

func (t Duration) Read(d *Checker, v Value, into *time.Duration) {
	s, ok := d.Scalar(v, "a duration")
	if !ok {
		return
	}
	n, ok := parseDuration(s)
	if !ok || v.Node.Kind != TextNode && !v.Node.Replaced {
		d.InvalidValue(v, "write it like 30s, 10m, 1h30m or 1d12h", "is not a duration")
		return
	}
	if n < t.Min || n > t.Max {
		d.InvalidValue(v, "", "is not from %s to %s", FormatDuration(t.Min), FormatDuration(t.Max))
		return
	}
	*into = n
}

func (t Duration) Meta() Meta {
	return Meta{
		Words:  fmt.Sprintf("duration, %s to %s", FormatDuration(t.Min), FormatDuration(t.Max)),
		Schema: OrEnv(map[string]any{"type": "string", "pattern": `^([0-9]+d)?([0-9.]+(ns|us|µs|ms|s|m|h))*$`}),
	}
}

// Size is a number of bytes within bounds.
type Size struct{ Min, Max int64 }

func (t Size) Read(d *Checker, v Value, into *int) {
	s, ok := d.Scalar(v, "a size")
	if !ok {
		return
	}
	n, ok := parseSize(s)
	if !ok {
		d.InvalidValue(v, "write it with a unit: B, KB, MB, GB, KiB, MiB or GiB", "is not a size")
		return
	}
	if n < t.Min || n > t.Max {
		d.InvalidValue(v, "", "is not from %s to %s", formatSize(t.Min), formatSize(t.Max))
		return
	}
	*into = int(n)
}

func (t Size) Meta() Meta {
	return Meta{
		Words:  fmt.Sprintf("size, %s to %s", formatSize(t.Min), formatSize(t.Max)),
		Schema: OrEnv(map[string]any{"type": "string", "pattern": sizePattern}),
	}
}

// Ratio is a share of a whole, stored as 0 to 1.
type Ratio struct{}

func (Ratio) Read(d *Checker, v Value, into *float64) {
	s, ok := d.Scalar(v, "a ratio")
	if !ok {
		return
	}
	n, ok := parseRatio(s)
	if !ok {
		d.InvalidValue(v, "write it from 0% to 100%, or as a number below 1", "is not a ratio")
		return
	}
	*into = n
}

func (Ratio) Meta() Meta {
	return Meta{Words: "ratio, such as `1%` or `0.01`", Schema: OrEnv(map[string]any{"anyOf": []any{
		map[string]any{"type": "number", "minimum": 0, "exclusiveMaximum": 1},
		map[string]any{"type": "string", "pattern": ratioPattern},
	}})}
}

// Character is one ASCII character that is no line end.
type Character struct{}

func (Character) Read(d *Checker, v Value, into *byte) {
	s, known, ok := d.Text(v)
	if !ok || !known {
		return
	}
	if s == "tab" || s == `\t` {
		s = "\t"
	}
	if len(s) != 1 || s[0] > '~' || s[0] < ' ' && s[0] != '\t' {
		d.InvalidValue(v, `for a tab write tab or "\t"`, "is not one ASCII character")
		return
	}
	*into = s[0]
}

func (Character) Meta() Meta {
	return Meta{
		Words:  "one ASCII character, or `tab`",
		Schema: OrEnv(map[string]any{"type": "string", "pattern": `^([\t -~]|tab|\\t)$`}),
	}
}
