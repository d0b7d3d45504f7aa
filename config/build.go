package config

import (
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// builder turns the syntax tree of the YAML library into nodes.
type builder struct {
	*decoder
	anchors map[string]*node
	broken  bool // a bound is crossed: the tree must not be walked
}

const maxMerged = 100 // mappings in one merge key

func (b *builder) build(n ast.Node, at path) *node {
	out := b.buildNode(n, at)
	if out.size > 0 { // an alias: measured where its anchor stands
		return out
	}
	out.size, out.depth = 1, 1
	children := func(c *node) {
		out.size = min(maxNodes+1, out.size+c.size)
		out.depth = max(out.depth, c.depth+1)
	}
	for _, e := range out.entries {
		children(e.value)
	}
	for _, c := range out.items {
		children(c)
	}
	switch {
	case b.broken:
	case out.size > maxNodes:
		b.broken = true
		b.failAt(out.pos, at, "", "holds more than %d values", maxNodes)
	case out.depth > maxDepth:
		b.broken = true
		b.failAt(out.pos, at, "", "nested deeper than %d levels", maxDepth)
	}
	return out
}

func (b *builder) buildNode(n ast.Node, at path) *node {
	if n == nil {
		return &node{}
	}
	pos := tokenPosition(n.GetToken())
	switch n := n.(type) {
	case *ast.MappingNode:
		return b.mapping(n.Values, pos, at)
	case *ast.MappingValueNode:
		return b.mapping([]*ast.MappingValueNode{n}, pos, at)
	case *ast.SequenceNode:
		out := &node{kind: listNode, pos: pos}
		for i, item := range n.Values {
			if pair := glued(item); pair != nil {
				out.items = append(out.items, b.refuseGlued(pair, at.join(index(i))))
				continue
			}
			out.items = append(out.items, b.build(item, at.join(index(i))))
		}
		return out
	case *ast.AnchorNode:
		out := b.build(n.Value, at)
		// Known only from here on, so no alias can lead to its own inside.
		b.anchors[anchorName(n.Name)] = out
		return out
	case *ast.AliasNode:
		return b.alias(n, pos, at)
	case *ast.TagNode:
		b.failAt(pos, at, "quote the value to keep it as text", "tags such as %s are not supported", n.Start.Value)
		return b.build(n.Value, at)
	case *ast.LiteralNode:
		return b.scalar(n.Value.Value, pos, at, false)
	case *ast.NullNode:
		out := &node{pos: pos}
		if n.Token.Type == token.NullType { // written as null, not just left empty
			out.source = n.Token.Value
		}
		return out
	case *ast.StringNode:
		quoted := n.Token.Type == token.SingleQuoteType || n.Token.Type == token.DoubleQuoteType
		return b.scalar(n.Value, pos, at, !quoted)
	case ast.ScalarNode:
		return b.scalar(n.GetToken().Value, pos, at, true)
	default:
		b.failAt(pos, at, "", "YAML %s is not supported here", strings.ToLower(n.Type().String()))
		return &node{pos: pos}
	}
}

func anchorName(n ast.Node) string {
	if n == nil || n.GetToken() == nil {
		return ""
	}
	return n.GetToken().Value
}

func (b *builder) alias(n *ast.AliasNode, pos Position, at path) *node {
	name := anchorName(n.Value)
	out, ok := b.anchors[name]
	if !ok {
		hint := "define &" + shorten(name) + " before it is used"
		if strings.ContainsAny(name, " */") { // a cron expression
			hint = "put a text that begins with * in quotes"
		}
		b.failAt(pos, at, hint, "alias *%s has no anchor", shorten(name))
		return &node{pos: pos}
	}
	return out
}

// scalar replaces names in the text. What came from outside never becomes null, so
// that an empty variable is an empty text.
func (b *builder) scalar(text string, pos Position, at path, plain bool) *node {
	e := expand(text, b.opts.Lookup)
	out := &node{kind: textNode, pos: pos, text: e.text, source: text, replaced: e.replaced}
	if e.problem != "" {
		b.failAt(pos, at, "write $$ for a dollar", "%s", e.problem)
	}
	for _, name := range e.unset {
		out.unresolved = true
		if !b.opts.Offline {
			b.failAt(pos, at, "set it, or write ${"+name+":-default}", "${%s} is not set", name)
		}
	}
	if plain && !out.unresolved {
		out.kind = plainKind(e.text)
		if out.kind == nullNode && e.replaced {
			out.kind = textNode
		}
	}
	return out
}

func (b *builder) mapping(values []*ast.MappingValueNode, pos Position, at path) *node {
	out := &node{kind: mapNode, pos: pos, byKey: map[string]int{}}
	var merged []*node
	for _, v := range values {
		if v.Key.IsMergeKey() {
			merged = append(merged, b.mergeSources(v.Value, at)...)
			continue
		}
		key, keyPos, ok := b.key(v.Key, at)
		if !ok {
			continue
		}
		if glued(v) != nil {
			out.add(entry{key, keyPos, b.refuseGlued(v, at.join(key))})
			continue
		}
		value := b.build(v.Value, at.join(key))
		if first, dup := out.find(key); dup {
			b.failAt(keyPos, at.join(key), "remove one of them", "defined twice; first at line %d", first.pos.Line)
			continue
		}
		out.add(entry{key, keyPos, value})
	}
	if len(out.entries) > 0 {
		out.pos = out.entries[0].pos // the library gives the place of the colon
	}
	for _, source := range merged { // an earlier one wins, the mapping's own entries before all
		for _, e := range source.entries {
			if _, dup := out.find(e.key); !dup {
				out.add(e)
			}
		}
	}
	return out
}

func (b *builder) key(n ast.MapKeyNode, at path) (string, Position, bool) {
	pos := tokenPosition(n.GetToken())
	if explicit, ok := n.(*ast.MappingKeyNode); ok {
		if scalar, ok := explicit.Value.(ast.MapKeyNode); ok {
			return b.key(scalar, at)
		}
	}
	switch n.(type) {
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, pos, true
	default:
		b.failAt(pos, at, "write the key as plain text", "a key of this form is not supported")
		return "", pos, false
	}
}

func (b *builder) mergeSources(n ast.Node, at path) []*node {
	at = at.join("<<")
	source := b.build(n, at)
	list := []*node{source}
	if source.kind == listNode {
		list = source.items
	}
	if len(list) > maxMerged {
		b.failAt(source.pos, at, "", "merges more than %d mappings", maxMerged)
		return nil
	}
	for _, one := range list {
		if one.kind != mapNode {
			b.failAt(source.pos, at, "write <<: *name of a mapping", "merges %s, not a mapping", one.kind.what())
			return nil
		}
	}
	return list
}
