package cron_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tidemill/tidemill/internal/cron"
)

// wrong is an expression in which one item of a field is wrong.
type wrong struct {
	fields []string
	at     int
}

func (w wrong) text() string { return strings.Join(w.fields, " ") }

func (w wrong) with(field string) string {
	fields := append([]string{}, w.fields...)
	fields[w.at] = field
	return strings.Join(fields, " ")
}

// randomWrong prefers what people get wrong: ranges over an end, steps that are too long, values that are too great, and
// what a slip of the finger leaves.
func randomWrong(r *rand.Rand) wrong {
	most := []int{59, 23, 31, 12, 7}
	w := wrong{strings.Fields("* * * * *"), r.IntN(5)}
	n := func() int { return r.IntN(most[w.at] + 2) }
	item := fmt.Sprintf("%d-%d", n(), n())
	switch r.IntN(6) {
	case 0:
		item = fmt.Sprintf("/%d", n())
	case 1:
		item = fmt.Sprintf("*/%d", n()*n()*n())
	case 2:
		item = fmt.Sprintf("%d/%d", n(), n())
	case 3:
		item += fmt.Sprintf("/%d", n())
	case 4:
		item = []string{"fri-mon", "sun-sat", "dec-feb", "7-1", "mon-0", "?", "-1", "5-", "sat-tue/2"}[r.IntN(9)]
	}
	w.fields[w.at] = item
	return w
}

var (
	fieldHintRE = regexp.MustCompile(`write (?:two ranges, |the values, )?([0-9a-z*][0-9a-z*,/-]*)$`)
	everyHintRE = regexp.MustCompile(`write every: (\S+) in place of cron$`)
)

// What a hint shows can be written as it is.
func TestHintsAreAccepted(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	hints := map[string]int{}
	for range 20_000 {
		w := randomWrong(r)
		_, err := cron.Parse(cron.Spec{Cron: w.text()})
		var problem *cron.SpecError
		if !errors.As(err, &problem) || problem.Hint == "" {
			continue
		}
		spec := cron.Spec{}
		if m := everyHintRE.FindStringSubmatch(problem.Hint); m != nil {
			hours, err := time.ParseDuration(m[1])
			if err != nil {
				t.Fatalf("seed %d: %q: %q: %v", seed, w.text(), problem.Hint, err)
			}
			spec.Every = hours
			hints["every"]++
		} else if m := fieldHintRE.FindStringSubmatch(problem.Hint); m != nil {
			spec.Cron = w.with(m[1])
			hints["field"]++
		} else {
			t.Fatalf("seed %d: %q: the hint %q shows nothing that this test knows", seed, w.text(), problem.Hint)
		}
		if _, err := cron.Parse(spec); err != nil {
			t.Fatalf("seed %d: %q: the hint %q is refused: %v", seed, w.text(), problem.Hint, err)
		}
	}
	if hints["every"] < 100 || hints["field"] < 100 {
		t.Errorf("hints are %v, too few to say something", hints)
	}
}

// A range over the end has the values that count on from its beginning.
func TestHintsForRangesMeanTheSame(t *testing.T) {
	t.Parallel()
	for low := range 24 {
		for high := range low {
			for step := 1; step <= 24; step++ {
				w := wrong{strings.Fields(fmt.Sprintf("0 %d-%d/%d * * *", low, high, step)), 1}
				_, err := cron.Parse(cron.Spec{Cron: w.text()})
				var problem *cron.SpecError
				if !errors.As(err, &problem) {
					t.Fatalf("%s: %v", w.text(), err)
				}
				want := map[int]bool{}
				for n := low; n <= high+24; n += step {
					want[n%24] = true
				}
				s := parse(t, w.with(fieldHintRE.FindStringSubmatch(problem.Hint)[1]), "")
				from := at(t, "2026-01-01T00:00:00Z")
				ticks := s.Between(from.Add(-1), from.Add(23*time.Hour), 99)
				for _, tick := range ticks {
					if !want[tick.Hour()] {
						t.Fatalf("%s: the hint %q has hour %d", w.text(), problem.Hint, tick.Hour())
					}
				}
				if len(ticks) != len(want) {
					t.Fatalf("%s: the hint %q has %d hours, want %d", w.text(), problem.Hint, len(ticks), len(want))
				}
			}
		}
	}
}
