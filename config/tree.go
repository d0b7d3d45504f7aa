package config

import (
	"slices"
	"strconv"
)

// node is a YAML value with aliases resolved and names replaced. Aliases share
// nodes, so a node does not know its key; see value.
type node struct {
	kind    nodeKind
	pos     Position
	text    string         // of a scalar, after replacement
	source  string         // of a scalar, as the file has it; what messages show, for it holds no secret from outside
	entries []entry        // of a mapping, in the order of the file
	byKey   map[string]int // place of a key in entries
	items   []*node        // of a list

	replaced   bool // the text came from outside at least in part
	unresolved bool // offline: a name without value is left in the text

	// size and depth are those of the subtree with aliases expanded. They are
	// bounded, so that walking the tree ends soon whatever the aliases do.
	size, depth int
}

type entry struct {
	key   string
	pos   Position // of the key
	value *node
}

type nodeKind int

const (
	nullNode nodeKind = iota
	boolNode
	intNode
	floatNode
	textNode
	listNode
	mapNode
)

// what names the kind in messages.
func (k nodeKind) what() string {
	switch k {
	case boolNode:
		return "a truth value"
	case intNode, floatNode:
		return "a number"
	case textNode:
		return "text"
	case listNode:
		return "a list"
	case mapNode:
		return "a mapping"
	default:
		return "empty"
	}
}

func (n *node) scalar() bool { return n.kind != listNode && n.kind != mapNode }

// find returns the entry of a mapping with that key.
func (n *node) find(key string) (entry, bool) {
	if n == nil {
		return entry{}, false
	}
	i, ok := n.byKey[key]
	if !ok {
		return entry{}, false
	}
	return n.entries[i], true
}

// add appends an entry with a new key.
func (n *node) add(e entry) {
	n.byKey[e.key] = len(n.entries)
	n.entries = append(n.entries, e)
}

// value is a node at its place: what a type of the field tables reads.
type value struct {
	node *node
	at   path
	pos  Position // of the key, for an item of a list its own
}

func (v value) entry(e entry) value { return value{node: e.value, at: v.at.join(e.key), pos: e.pos} }

func (v value) item(i int) value {
	n := v.node.items[i]
	return value{node: n, at: v.at.join(index(i)), pos: n.pos}
}

// locate follows p from root as far as the file has it and returns the node there
// and its place, and whether that is the end of p.
func locate(root *node, p []string) (n *node, pos Position, found bool) {
	if root == nil {
		return nil, Position{}, false
	}
	n, pos = root, root.pos
	for _, name := range p {
		if i, ok := listIndex(name); ok && i < len(n.items) {
			n = n.items[i]
			pos = n.pos
			continue
		}
		e, ok := n.find(name)
		if !ok {
			return n, pos, false
		}
		n, pos = e.value, e.pos
	}
	return n, pos, true
}

func listIndex(name string) (int, bool) {
	if len(name) < 3 || name[0] != '[' || name[len(name)-1] != ']' {
		return 0, false
	}
	i, err := strconv.Atoi(name[1 : len(name)-1])
	return i, err == nil && i >= 0
}

// hasUnresolved tells whether a name is left in n or below it.
func (n *node) hasUnresolved() bool {
	return n.unresolved ||
		slices.ContainsFunc(n.items, (*node).hasUnresolved) ||
		slices.ContainsFunc(n.entries, func(e entry) bool { return e.value.hasUnresolved() })
}
