package convert

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// document is the tidemill.yaml in the making.
type document struct {
	intro     []string // comments at the top, a line each
	top       []member // of the top level, but for jobs and schedules
	jobs      []*job
	schedules []*schedule
	taken     names // of jobs
	ticking   names // of schedules
	size      int   // bytes of jobs and schedules, roughly
}

// field is a field and its value as YAML. A value with line ends is a block, indented under the name.
type member struct {
	name, value string
	note        []string // comments above it
}

type job struct {
	note   []string
	name   string
	fields []member
}

type schedule struct {
	note   []string
	name   string
	job    string
	fields []member
}

// addJob gives the job a name that no other has, made of the first text that makes one.
func (d *document) addJob(from []string, j *job) *job {
	if d.taken == nil {
		d.taken = names{}
	}
	j.name = d.taken.take(from)
	d.jobs = append(d.jobs, j)
	d.grow(j.note, j.fields)
	return j
}

func (d *document) addSchedule(from []string, s *schedule) {
	if d.ticking == nil {
		d.ticking = names{}
	}
	s.name = d.ticking.take(from)
	d.schedules = append(d.schedules, s)
	d.grow(s.note, s.fields)
}

// grow counts what is added: a small file can repeat a large text very often.
func (d *document) grow(note []string, fields []member) {
	for _, text := range note {
		d.size += len(text)
	}
	for _, f := range fields {
		d.size += len(f.name) + len(f.value)
	}
}

// full tells that a configuration can hold no more.
func (d *document) full() bool { return d.size > MaxBytes }

// inside are the schedules that can be in their jobs: the only one of a job, and of its name.
func (d *document) inside() map[string]*schedule {
	count := map[string]int{}
	for _, s := range d.schedules {
		count[s.job]++
	}
	found := map[string]*schedule{}
	for _, s := range d.schedules {
		if count[s.job] == 1 && s.name == s.job {
			found[s.job] = s
		}
	}
	return found
}

const maxName = 64 // of jobs and schedules

// names are those that are taken, each with the number to try next for another of it.
type names map[string]int

// take makes a name of the first text that makes one, with a number after it if that is taken.
func (n names) take(from []string) string {
	base := "job"
	for _, text := range from {
		if plain := plainName(text); plain != "" {
			base = plain
			break
		}
	}
	name := base
	for number := max(2, n[base]); n[name] > 0; number++ {
		end := "-" + strconv.Itoa(number)
		name = strings.TrimRight(base[:min(len(base), maxName-len(end))], "-_") + end
		n[base] = number + 1
	}
	n[name] = max(n[name], 2)
	return name
}

// plainName turns a text into a name of a job: Reports::NightlyJob into reports-nightly-job.
func plainName(text string) string {
	var b strings.Builder
	before := ' '
	runes := []rune(text)
	for i, r := range runes {
		switch {
		case r >= 'A' && r <= 'Z':
			small := i+1 < len(runes) && runes[i+1] >= 'a' && runes[i+1] <= 'z'
			if isSmall(before) || before >= 'A' && before <= 'Z' && small {
				b.WriteByte('-')
			}
			b.WriteRune(r - 'A' + 'a')
		case isSmall(r), r == '_':
			b.WriteRune(r)
		default:
			if s := b.String(); s != "" && !strings.HasSuffix(s, "-") {
				b.WriteByte('-')
			}
		}
		before = r
	}
	name := strings.Trim(b.String(), "-_")
	return strings.TrimRight(name[:min(len(name), maxName)], "-_")
}

func isSmall(r rune) bool { return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' }

func sortProblems(problems []Problem) {
	slices.SortStableFunc(problems, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
}

const maxShown = 80 // characters of the file in a message

func shorten(s string) string {
	if r := []rune(s); len(r) > maxShown {
		return string(r[:maxShown-1]) + "…"
	}
	return s
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
