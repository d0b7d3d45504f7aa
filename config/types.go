package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// text is any text that check accepts.
type text struct {
	words   string
	pattern string // for the schema; empty: any
	secret  bool   // never shown in a message
	// check returns what is wrong, as words that follow the text, and what to do.
	check func(s string) (problem, hint string)
}

func (t text) read(d *decoder, v value, into *string) {
	if s, ok := t.text(d, v); ok {
		*into = s
	}
}

// text returns the text of v, and whether there is one that check accepts or cannot judge.
func (t text) text(d *decoder, v value) (string, bool) {
	s, known, ok := d.anyText(v, t.secret)
	if !ok || !known || t.check == nil {
		return s, ok
	}
	problem, hint := t.check(s)
	switch {
	case problem == "":
		return s, true
	case t.secret, maybeSecret(problem):
		d.fail(v, hint, "%s", problem)
	default:
		d.refuse(v, hint, "%s", problem)
	}
	return "", false
}

func (t text) shape() shape {
	s := map[string]any{"type": "string"}
	if t.pattern != "" {
		s["pattern"] = t.pattern
		s = orEnv(s)
	}
	return shape{words: t.words, schema: s, secret: t.secret}
}

// choice is one of a few words.
type choice []string

func (c choice) read(d *decoder, v value, into *string) {
	s, known, ok := d.text(v)
	switch {
	case !ok:
		return
	case known && !slices.Contains(c, s):
		c.refuse(d, v, s)
		return
	}
	*into = s
}

func (c choice) refuse(d *decoder, v value, got string) {
	hint := ""
	if s := suggest(got, c); s != "" {
		hint = "did you mean " + s + "?"
	}
	if len(c) == 1 {
		d.refuse(v, hint, "is not %s, the only one so far", c[0])
		return
	}
	d.refuse(v, hint, "is not one of %s", strings.Join(c, ", "))
}

func (c choice) shape() shape {
	return shape{words: "`" + strings.Join(c, "`, `") + "`", schema: orEnv(map[string]any{"enum": []string(c)})}
}

// integer is a whole number within bounds.
type integer[I int | int64] struct{ min, max I }

func (t integer[I]) words() string {
	return fmt.Sprintf("whole number, %d to %d", t.min, t.max)
}

func (t integer[I]) read(d *decoder, v value, into *I) {
	const want = "a whole number"
	s, ok := d.scalar(v, want)
	if !ok {
		return
	}
	if v.node.kind != intNode && !(v.node.replaced && intRE.MatchString(s)) {
		hint := ""
		if intRE.MatchString(s) {
			hint = "remove the quotes"
		}
		d.refuse(v, hint, "is not %s", want)
		return
	}
	if digits := strings.TrimLeft(s, "+-"); len(digits) > 1 && digits[0] == '0' {
		d.refuse(v, "remove the leading zero", "is not %s", want)
		return
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || I(n) < t.min || I(n) > t.max {
		d.refuse(v, "", "is not from %d to %d", t.min, t.max)
		return
	}
	*into = I(n)
}

func (t integer[I]) shape() shape {
	return shape{
		words:  t.words(),
		schema: orEnv(map[string]any{"type": "integer", "minimum": t.min, "maximum": t.max}),
	}
}

// boolean is true or false.
type boolean struct{}

func (boolean) read(d *decoder, v value, into *bool) {
	s, ok := d.scalar(v, "true or false")
	if !ok {
		return
	}
	if v.node.kind != boolNode && !(v.node.replaced && plainKind(s) == boolNode) {
		d.refuse(v, "", "is not true or false")
		return
	}
	*into = strings.EqualFold(s, "true")
}

func (boolean) shape() shape {
	return shape{words: "`true` or `false`", schema: orEnv(map[string]any{"type": "boolean"})}
}

// duration is a length of time within bounds.
type duration struct{ min, max time.Duration }

func (t duration) read(d *decoder, v value, into *time.Duration) {
	s, ok := d.scalar(v, "a duration")
	if !ok {
		return
	}
	n, ok := parseDuration(s)
	if !ok || v.node.kind != textNode && !v.node.replaced {
		d.refuse(v, "write it like 30s, 10m, 1h30m or 1d12h", "is not a duration")
		return
	}
	if n < t.min || n > t.max {
		d.refuse(v, "", "is not from %s to %s", formatDuration(t.min), formatDuration(t.max))
		return
	}
	*into = n
}

func (t duration) shape() shape {
	return shape{
		words:  fmt.Sprintf("duration, %s to %s", formatDuration(t.min), formatDuration(t.max)),
		schema: orEnv(map[string]any{"type": "string", "pattern": `^([0-9]+d)?([0-9.]+(ns|us|µs|ms|s|m|h))*$`}),
	}
}

// size is a number of bytes within bounds.
type size struct{ min, max int64 }

func (t size) read(d *decoder, v value, into *int) {
	s, ok := d.scalar(v, "a size")
	if !ok {
		return
	}
	n, ok := parseSize(s)
	if !ok {
		d.refuse(v, "write it with a unit: B, KB, MB, GB, KiB, MiB or GiB", "is not a size")
		return
	}
	if n < t.min || n > t.max {
		d.refuse(v, "", "is not from %s to %s", formatSize(t.min), formatSize(t.max))
		return
	}
	*into = int(n)
}

func (t size) shape() shape {
	return shape{
		words:  fmt.Sprintf("size, %s to %s", formatSize(t.min), formatSize(t.max)),
		schema: orEnv(map[string]any{"type": "string", "pattern": sizePattern}),
	}
}

// ratio is a share of a whole, stored as 0 to 1.
type ratio struct{}

func (ratio) read(d *decoder, v value, into *float64) {
	s, ok := d.scalar(v, "a ratio")
	if !ok {
		return
	}
	n, ok := parseRatio(s)
	if !ok {
		d.refuse(v, "write it from 0% to 100%, or as a number below 1", "is not a ratio")
		return
	}
	*into = n
}

func (ratio) shape() shape {
	return shape{words: "ratio, such as `1%` or `0.01`", schema: orEnv(map[string]any{"anyOf": []any{
		map[string]any{"type": "number", "minimum": 0, "exclusiveMaximum": 1},
		map[string]any{"type": "string", "pattern": ratioPattern},
	}})}
}

// character is one ASCII character that is no line end.
type character struct{}

func (character) read(d *decoder, v value, into *byte) {
	s, known, ok := d.text(v)
	if !ok || !known {
		return
	}
	if s == "tab" || s == `\t` {
		s = "\t"
	}
	if len(s) != 1 || s[0] > '~' || s[0] < ' ' && s[0] != '\t' {
		d.refuse(v, `for a tab write tab or "\t"`, "is not one ASCII character")
		return
	}
	*into = s[0]
}

func (character) shape() shape {
	return shape{
		words:  "one ASCII character, or `tab`",
		schema: orEnv(map[string]any{"type": "string", "pattern": `^([\t -~]|tab|\\t)$`}),
	}
}
