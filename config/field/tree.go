package field

import (
	"slices"
	"strconv"
)

// Node is a YAML value with aliases resolved and names replaced. Aliases share
// nodes, so a node does not know its key; see value.
type Node struct {
	Kind    NodeKind
	pos     Position
	Text    string         // of a scalar, after replacement
	Source  string         // of a scalar, as the file has it; what messages show, for it holds no secret from outside
	Entries []Entry        // of a mapping, in the order of the file
	byKey   map[string]int // place of a key in entries
	Items   []*Node        // of a list

	Replaced   bool // the text came from outside at least in part
	unresolved bool // offline: a name without value is left in the text

	// size and depth are those of the subtree with aliases expanded. They are
	// bounded, so that walking the tree ends soon whatever the aliases do.
	size, depth int
}

type Entry struct {
	Key   string
	pos   Position // of the key
	Value *Node
}

type NodeKind int

const (
	NullNode NodeKind = iota
	boolNode
	IntNode
	floatNode
	TextNode
	ListNode
	MapNode
)

// What names the kind in messages.
func (k NodeKind) What() string {
	switch k {
	case boolNode:
		return "a truth value"
	case IntNode, floatNode:
		return "a number"
	case TextNode:
		return "text"
	case ListNode:
		return "a list"
	case MapNode:
		return "a mapping"
	default:
		return "empty"
	}
}

func (n *Node) Scalar() bool { return n.Kind != ListNode && n.Kind != MapNode }

// Find returns the entry of a mapping with that key.
func (n *Node) Find(key string) (Entry, bool) {
	if n == nil {
		return Entry{}, false
	}
	i, ok := n.byKey[key]
	if !ok {
		return Entry{}, false
	}
	return n.Entries[i], true
}

// add appends an entry with a new key.
func (n *Node) add(e Entry) {
	n.byKey[e.Key] = len(n.Entries)
	n.Entries = append(n.Entries, e)
}

// Value is a node at its place: what a type of the field tables reads.
type Value struct {
	Node *Node
	at   Path
	Pos  Position // of the key, for an item of a list its own
}

func (v Value) Entry(e Entry) Value { return Value{Node: e.Value, at: v.at.Join(e.Key), Pos: e.pos} }

func (v Value) Item(i int) Value {
	n := v.Node.Items[i]
	return Value{Node: n, at: v.at.Join(Index(i)), Pos: n.pos}
}

// Locate follows p from root as far as the file has it and returns the node there
// and its place, and whether that is the end of p.
func Locate(root *Node, p []string) (n *Node, pos Position, found bool) {
	if root == nil {
		return nil, Position{}, false
	}
	n, pos = root, root.pos
	for _, name := range p {
		if i, ok := listIndex(name); ok && i < len(n.Items) {
			n = n.Items[i]
			pos = n.pos
			continue
		}
		e, ok := n.Find(name)
		if !ok {
			return n, pos, false
		}
		n, pos = e.Value, e.pos
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

// HasUnresolved reports whether a name is left in n or below it.
func (n *Node) HasUnresolved() bool {
	return n.unresolved ||
		slices.ContainsFunc(n.Items, (*Node).HasUnresolved) ||
		slices.ContainsFunc(n.Entries, func(e Entry) bool { return e.Value.HasUnresolved() })
}
