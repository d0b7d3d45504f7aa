package metrics

import (
	"sync"
	"unicode/utf8"
)

// other stands for every label value that was not foreseen or is one too many.
const other = "other"

const (
	maxQueues = 100
	maxNames  = 500 // kinds, and likewise jobs and schedules
	maxLength = 128 // bytes of one label value; River's own limit for kinds and queues
)

// names admits a bounded number of values of one label.
type names struct {
	fixed bool // nothing beyond what it began with
	max   int

	mu   sync.RWMutex
	seen map[string]struct{}
}

// newNames returns names that admits known and, unless it is fixed, others until there are max.
func newNames(limit int, fixed bool, known ...string) *names {
	n := &names{fixed: fixed, max: limit, seen: make(map[string]struct{}, len(known))}
	for _, name := range known {
		n.seen[name] = struct{}{}
	}
	return n
}

// admit returns name, or other. The empty name, which means none, costs no place.
func (n *names) admit(name string) string {
	if name == "" {
		return ""
	}
	n.mu.RLock()
	_, ok := n.seen[name]
	n.mu.RUnlock()
	if ok {
		return name
	}
	// The client library panics on a label value that is not UTF-8.
	if n.fixed || len(name) > maxLength || !utf8.ValidString(name) {
		return other
	}

	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.seen[name]; !ok && len(n.seen) >= n.max {
		return other
	}
	n.seen[name] = struct{}{}
	return name
}
