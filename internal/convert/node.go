package convert

import "strings"

type nodeKind int

const (
	nullNode nodeKind = iota
	scalarNode
	listNode
	mapNode
)

// node is a value of a YAML or JSON file.
type node struct {
	kind    nodeKind
	line    int
	text    string // of a scalar
	quoted  bool   // certainly text
	items   []*node
	entries []entry
}

// entry is a field of a mapping. Keys have lost the colon that makes them symbols of Ruby.
type entry struct {
	key   string
	line  int
	value *node
}

// get is the value of a field, nil if there is none.
func (n *node) get(key string) *node {
	for _, e := range n.entries {
		if e.key == key {
			return e.value
		}
	}
	return nil
}

// symbol is the text of a scalar, without the colon of a Ruby symbol.
func (n *node) symbol() string {
	if n.quoted {
		return n.text
	}
	return strings.TrimPrefix(n.text, ":")
}

func (n *node) what() string {
	switch n.kind {
	case listNode:
		return "a list"
	case mapNode:
		return "a mapping"
	case nullNode:
		return "empty"
	}
	return n.text
}

// truth reads a truth value as Ruby's YAML does.
func (n *node) truth() (is, ok bool) {
	if n.kind != scalarNode || n.quoted {
		return false, false
	}
	switch strings.ToLower(n.text) {
	case "true", "yes", "on":
		return true, true
	case "false", "no", "off":
		return false, true
	}
	return false, false
}
