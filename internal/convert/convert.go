package convert

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/config/field"
	"github.com/tidemill/tidemill/internal/cron"
)

// MaxBytes is the size of the largest file that is read.
const MaxBytes = 1 << 20

// Format is what kind of file is converted.
type Format string

// The formats.
const (
	Sidekiq     Format = "sidekiq"      // sidekiq.yml, its schedule included
	SidekiqCron Format = "sidekiq-cron" // a schedule of sidekiq-cron or sidekiq-scheduler alone
	Vercel      Format = "vercel"       // vercel.json
	Crontab     Format = "crontab"      // of a user or of the system
)

// Formats are all of them.
func Formats() []Format { return []Format{Sidekiq, SidekiqCron, Vercel, Crontab} }

// Opts tune Convert. The zero value is ready for use.
type Opts struct {
	// Format is found by the name and the content of the file unless it is given.
	Format Format
	// Timezone is the IANA name of the zone in which a file without one of its own was read; empty: UTC, with a note.
	Timezone string
	// Environment is the section of sidekiq.yml that counts; default production.
	Environment string
	// Kinds are those that the result may have.
	Kinds []config.Kind
	// System reports whether the lines of a crontab name a user, as those of /etc/crontab do. Nil: found by name and content.
	System *bool
}

// Problem is something in the file that was not carried over.
type Problem struct {
	File string
	Line int    // from 1
	What string // as the file has it, shortened
	Why  string
	Hint string // what to do
}

// String gives the problem on one line:
//
//	crontab:3: @reboot /srv/app/warm; a start of the machine is no time; start it with the machine, by systemd
func (p Problem) String() string {
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.text())
}

func (p Problem) text() string {
	parts := []string{p.What, p.Why}
	if p.Hint != "" {
		parts = append(parts, p.Hint)
	}
	return strings.Join(parts, "; ")
}

// Result is a converted file.
type Result struct {
	Format   Format
	YAML     []byte    // a tidemill.yaml with comments
	Problems []Problem // in the order of the file; empty: all was carried over
	Notes    []string  // what to look at, though all was carried over
}

// Convert converts the file that data holds; name stands for it in messages. The error tells that nothing of it could be
// converted, because it cannot be read as any format, or holds nothing that Tidemill could do.
func Convert(name string, data []byte, opts Opts) (*Result, error) {
	text, err := clean(name, data)
	if err != nil {
		return nil, err
	}
	if opts.Format == "" {
		if opts.Format, err = detect(name, text); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if opts.Timezone != "" {
		if _, err := cron.Parse(cron.Spec{Cron: "@daily", Timezone: opts.Timezone}); err != nil {
			return nil, err
		}
	}
	opts.Environment = cmp.Or(opts.Environment, "production")
	c := &converter{opts: opts, file: name}
	if err := c.convert(text); err != nil {
		return nil, err
	}
	return c.result()
}

// converter collects what a file becomes.
type converter struct {
	document
	opts     Opts
	file     string
	problems []Problem
	notes    []string
	budget   int            // bytes of arguments that may still be copied; aliases repeat them
	zoneless bool           // a schedule names no time zone
	marks    *regexp.Regexp // of the tags of a template, in what is shown; nil: none
}

func (c *converter) convert(text string) error {
	c.budget = MaxBytes
	switch c.opts.Format {
	case Sidekiq:
		return c.sidekiq(text)
	case SidekiqCron:
		return c.sidekiqCron(text)
	case Vercel:
		return c.vercel(text)
	case Crontab:
		return c.crontab(text)
	}
	return fmt.Errorf("%q is not a format that is known", c.opts.Format)
}

// problem records what was not carried over.
func (c *converter) problem(line int, what, hint, why string, args ...any) {
	if c.marks != nil {
		what = c.marks.ReplaceAllString(what, "<%= … %>")
	}
	if len(what) > 1000 {
		what = strings.ToValidUTF8(what[:1000], "")
	}
	c.problems = append(c.problems, Problem{File: c.file, Line: line, What: cmp.Or(shorten(oneLine(what)), "(empty)"), Why: fmt.Sprintf(why, args...), Hint: hint})
}

// note records what has no counterpart here, and needs none.
func (c *converter) note(line int, what, why string) {
	c.notes = append(c.notes, fmt.Sprintf("%s:%d: %s: %s", c.file, line, shorten(oneLine(what)), why))
}

// zoneField is the zone of the schedules that name none. It stands alone at the top, so that it is fixed in one place.
func (c *converter) zoneField(whose []string, note string) []member {
	if !c.zoneless {
		return nil
	}
	if c.opts.Timezone != "" {
		return []member{{name: "timezone", value: value(c.opts.Timezone).scalar()}}
	}
	c.notes = append(c.notes, note+"; UTC is taken, --timezone gives another")
	return []member{{name: "timezone", value: "UTC", note: whose}}
}

func (c *converter) fail(line int, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %w", c.file, line, fmt.Errorf(format, args...))
}

// result renders the document and has package config read it, so that nobody is handed a file that would be refused.
func (c *converter) result() (*Result, error) {
	if c.full() {
		return nil, fmt.Errorf("%s: what it becomes is larger than 1 MiB, which no configuration may be; split the file", c.file)
	}
	sortProblems(c.problems)
	yaml := c.render(c.problems)
	if _, err := config.Parse("the result", yaml, &config.Opts{Kinds: c.opts.Kinds, Offline: true, Lookup: noVariables}); err != nil {
		if list, ok := errors.AsType[field.Errors](err); ok && len(list) > 0 {
			err = list[0]
		}
		return nil, fmt.Errorf("%s: what it becomes would be refused, split it or convert it by hand: %w", c.file, err)
	}
	return &Result{Format: c.opts.Format, YAML: yaml, Problems: c.problems, Notes: c.notes}, nil
}

func noVariables(string) (string, bool) { return "", false }
