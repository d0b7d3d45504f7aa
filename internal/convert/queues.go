package convert

import (
	"fmt"
	"strconv"
	"strings"
)

// queue is one that a process of Sidekiq works on.
type queue struct {
	name    string // as Tidemill takes it
	weight  int    // 0: none was given
	workers int
	from    value  // a variable with the number of workers; empty: workers
	note    string // after the number
}

const maxWorkers = 10_000 // of a queue

// readQueues shares out what the queues of Sidekiq have together.
func (f *sidekiqFile) readQueues(settings *node) {
	f.shareOut(settings, settings.line)
	capsules := settings.get("capsules")
	if capsules == nil {
		return
	}
	if capsules.kind != mapNode {
		f.problem(max(1, capsules.line), "capsules: "+capsules.what(), "", "not a mapping of capsules")
		return
	}
	for _, e := range capsules.entries {
		f.shareOut(e.value, e.line)
	}
}

// shareOut reads concurrency and queues of a process or of one of its capsules.
func (f *sidekiqFile) shareOut(settings *node, line int) {
	total, from := sidekiqConcurrency, value("")
	list := settings.get("queues")
	for _, e := range settings.entries {
		if e.key != "concurrency" {
			continue
		}
		if v, ok := f.erb.only(e.value.text); ok && v.counts() && (list == nil || len(list.items) == 1) {
			from = variable(v.name, v.fallback)
			break
		}
		if n, ok := f.number(e, 1, maxWorkers); ok {
			total = n
		}
	}
	var queues []*queue
	switch {
	case list == nil:
		queues = f.addQueue(queues, line, "default", 0)
	case list.kind != listNode || len(list.items) == 0:
		f.problem(max(1, list.line), "queues: "+list.what(), "write a list", "not a list of queues")
		queues = f.addQueue(queues, line, "default", 0)
	default:
		for _, item := range list.items {
			queues = f.readQueue(queues, item)
		}
	}
	split(queues, total)
	for _, q := range queues {
		q.from = from
	}
}

// readQueue reads a name, or a list of name and weight.
func (f *sidekiqFile) readQueue(queues []*queue, item *node) []*queue {
	name, weight := item, 0
	if item.kind == listNode && len(item.items) == 2 && item.items[0].kind == scalarNode {
		name = item.items[0]
		n, ok := item.items[1].integer()
		if !ok || n < 1 || n > 10_000 {
			f.problem(item.line, name.text+": "+item.items[1].what(), "write a number from 1 on", "not a weight; 1 is taken")
			n = 1
		}
		weight = int(n)
	}
	if name.kind != scalarNode || name.text == "" {
		f.problem(max(1, item.line), item.what(), "write a name, or [name, weight]", "not a queue")
		return queues
	}
	if f.erb.in(name.text) {
		if _, ok := f.erb.value(name.text); ok {
			f.problem(name.line, "a queue of a variable's name", "write the name", "names cannot come from outside")
		}
		return queues
	}
	return f.addQueue(queues, name.line, name.symbol(), weight)
}

// addQueue adds a queue unless it is there: a name that is listed again has more weight.
func (f *sidekiqFile) addQueue(queues []*queue, line int, name string, weight int) []*queue {
	if q, ok := f.byName[name]; ok {
		q.weight = max(q.weight, 1) + max(weight, 1)
		return queues
	}
	q := &queue{name: queueName(name), weight: weight}
	if q.name != name {
		f.problem(line, name, "enqueue to "+q.name, "not a name that a queue can have; it is %s here", q.name)
	}
	if other, ok := f.here[q.name]; ok {
		f.byName[name] = other
		return queues
	}
	f.byName[name], f.here[q.name] = q, q
	f.queues = append(f.queues, q)
	return append(queues, q)
}

// queueName is a name as River takes it: lower-case letters and digits, joined by single - or _.
func queueName(text string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(text) {
		switch s := b.String(); {
		case isSmall(r):
			b.WriteRune(r)
		case s == "" || strings.HasSuffix(s, "-") || strings.HasSuffix(s, "_"):
		case r == '_':
			b.WriteByte('_')
		default:
			b.WriteByte('-')
		}
	}
	name := strings.Trim(b.String()[:min(b.Len(), maxName)], "-_")
	if name == "" {
		return "queue"
	}
	return name
}

// split divides total by weight, at least 1 for each, so that the sum is total if that is enough for all. What rounding
// leaves goes to the first queues with the largest rest.
func split(queues []*queue, total int) {
	weights := 0
	for _, q := range queues {
		weights += max(1, q.weight)
	}
	left := total
	for _, q := range queues {
		q.workers = max(1, total*max(1, q.weight)/weights)
		left -= q.workers
	}
	for ; left != 0; left -= sign(left) {
		q := furthest(queues, total, weights, left)
		if q == nil {
			return // each has 1, and that is more than total
		}
		q.workers += sign(left)
	}
}

// furthest is the queue whose share is furthest below what its weight gives it or, with left below zero, furthest above.
func furthest(queues []*queue, total, weights, left int) *queue {
	var best *queue
	most := 0
	for _, q := range queues {
		if left < 0 && q.workers == 1 {
			continue
		}
		if gap := sign(left) * (total*max(1, q.weight) - q.workers*weights); best == nil || gap > most {
			best, most = q, gap
		}
	}
	return best
}

func sign(n int) int {
	if n < 0 {
		return -1
	}
	return 1
}

// ensureQueue is the name here of a queue that a schedule names.
func (f *sidekiqFile) ensureQueue(line int, name string) string {
	if q, ok := f.byName[name]; ok {
		return q.name
	}
	before := len(f.queues)
	f.addQueue(nil, line, name, 0)
	if len(f.queues) > before {
		q := f.queues[before]
		q.workers, q.note = sidekiqConcurrency, "of the schedule; the queues of sidekiq.yml are without it"
		if f.opts.Format == SidekiqCron {
			q.note = "how many at a time is in sidekiq.yml"
		}
	}
	return f.byName[name].name
}

func (f *sidekiqFile) queueFields() []member {
	if len(f.queues) == 0 {
		return nil
	}
	var b strings.Builder
	sum, weighted, shared := 0, false, 0
	for i, q := range f.queues {
		if i > 0 {
			b.WriteByte('\n')
		}
		number := strconv.Itoa(q.workers)
		if q.from != "" {
			number = quote(string(q.from))
		}
		b.WriteString(q.name + ": " + number)
		if q.note != "" {
			b.WriteString("   # " + q.note)
			continue
		}
		shared++
		sum += q.workers
		weighted = weighted || q.weight > 0
	}
	out := member{name: "queues", value: b.String() + "\n"}
	if shared > 1 {
		out.note = f.queueNote(sum, weighted)
	}
	return []member{out}
}

func (f *sidekiqFile) queueNote(sum int, weighted bool) []string {
	note := []string{
		"Sidekiq's queues share the threads of a process; here each has workers of its own, which no other can use.",
		fmt.Sprintf("The threads are split by weight, at least 1 each; together %d in each worker process.", sum),
	}
	if !weighted {
		note[1] = fmt.Sprintf("The threads are split evenly, at least 1 each; together %d in each worker process.", sum)
		note = append(note,
			"Sidekiq takes these queues in strict order, the first one empty before the second. Where that matters use one queue",
			"and the priority of its jobs, 1 (first) to 4.")
	}
	return note
}
