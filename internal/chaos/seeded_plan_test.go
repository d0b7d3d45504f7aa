package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// step is one fault of TestSeeded: what happens, when, to which worker, and for how long.
type step struct {
	what   string
	at     time.Duration // from the beginning
	length time.Duration // 0: it is over at once
	victim int           // -1: none or all
}

func (s step) String() string {
	text := fmt.Sprintf("%6.1fs %s", s.at.Seconds(), s.what)
	if s.victim >= 0 {
		text += fmt.Sprintf(" of worker %d", s.victim)
	}
	if s.length > 0 {
		text += fmt.Sprintf(" for %.1fs", s.length.Seconds())
	}
	return text
}

// possible is a kind of step with its shortest and longest length.
type possible struct {
	what        string
	least, most time.Duration
	victim      bool
}

const (
	longFreeze   = "long freeze"
	mistaken     = "mistaken death"
	fastRestart  = "fast restart of the server"
	crashRestart = "crash of the server"
)

func possibilities() []possible {
	const s = time.Second
	return []possible{
		{"kill", 0, 0, true},
		{"end", 0, 0, true}, // SIGTERM
		{"freeze", s, 4 * s, true},
		{longFreeze, 24 * s, 28 * s, true}, // it is taken for dead
		{mistaken, 0, 0, true},
		{mistaken, 0, 0, true},
		{mistaken, 0, 0, true},
		{string(cut), s, 20 * s, true},
		{string(cut), 14 * s, 24 * s, true}, // others have its jobs meanwhile
		{string(halfOpen), 14 * s, 24 * s, true},
		{string(stall), s, 30 * s, true},
		{string(halfOpen), s, 20 * s, true},
		{string(forgotten), s, 20 * s, true},
		{"row lock", 10 * s, 60 * s, false},
		{"row lock", 40 * s, 60 * s, false}, // longer than an orphan is one
		{"open cancel", 10 * s, 60 * s, false},
		{"prepared transaction", 10 * s, 60 * s, false},
		{"vacuum full", s, 8 * s, false},
		{fastRestart, 0, 0, false},
		{crashRestart, 0, 0, false},
		{"poison", 0, 0, false},
		{"results that cannot be stored", 0, 0, false},
	}
}

// draw makes the plan of a seed. Each possibility comes once before any comes again.
func draw(seed uint64, length time.Duration, workers int) []step {
	random := rand.New(rand.NewPCG(seed, 2))
	free := make([]time.Duration, workers) // when the fault of that worker is over
	var plan []step
	var deck []possible
	at := 3 * time.Second
	for at < length {
		if len(deck) == 0 {
			deck = possibilities()
			random.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		}
		next := deck[0]
		deck = deck[1:]
		s := step{what: next.what, at: at, victim: -1}
		if next.most > 0 {
			s.length = next.least + time.Duration(random.Int64N(int64(next.most-next.least)))
			if next.what != longFreeze { // a short run must come to its end
				s.length = min(s.length, length/2)
			}
		}
		if next.victim {
			s.victim = random.IntN(workers)
			if free[s.victim] > at {
				s.victim = slices.Index(free, slices.Min(free))
			}
			s.at = max(at, free[s.victim])
			free[s.victim] = s.at + s.length + 2*time.Second
		}
		if s.at < length {
			plan = append(plan, s)
		}
		at += time.Second + time.Duration(random.Int64N(int64(2500*time.Millisecond)))
	}
	slices.SortStableFunc(plan, func(a, b step) int { return int(a.at - b.at) })
	return plan
}
