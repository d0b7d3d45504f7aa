package field

import (
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/tidemill/tidemill/internal/yamlsyntax"
)

// builder turns the syntax tree of the YAML library into nodes.
type builder struct {
	*Checker
	anchors map[string]*Node
	broken  bool // a bound is crossed: the tree must not be walked
}

const maxMerged = 100 // mappings in one merge key

func (b *builder) build(n ast.Node, at Path) *Node {
	out := b.buildNode(n, at)
	if out.size > 0 { // an alias: measured where its anchor is
		return out
	}
	out.size, out.depth = 1, 1
	children := func(c *Node) {
		out.size = min(yamlsyntax.MaxNodes+1, out.size+c.size)
		out.depth = max(out.depth, c.depth+1)
	}
	for _, e := range out.Entries {
		children(e.Value)
	}
	for _, c := range out.Items {
		children(c)
	}
	switch {
	case b.broken:
	case out.size > yamlsyntax.MaxNodes:
		b.broken = true
		b.report(out.pos, at, "", "holds more than %d values", yamlsyntax.MaxNodes)
	case out.depth > yamlsyntax.MaxDepth:
		b.broken = true
		b.report(out.pos, at, "", "nested deeper than %d levels", yamlsyntax.MaxDepth)
	}
	return out
}

func (b *builder) buildNode(n ast.Node, at Path) *Node {
	if n == nil {
		return &Node{}
	}
	pos := tokenPosition(n.GetToken())
	switch n := n.(type) {
	case *ast.MappingNode:
		return b.mapping(n.Values, pos, at)
	case *ast.MappingValueNode:
		return b.mapping([]*ast.MappingValueNode{n}, pos, at)
	case *ast.SequenceNode:
		out := &Node{Kind: ListNode, pos: pos}
		for i, item := range n.Values {
			if pair := glued(item); pair != nil {
				out.Items = append(out.Items, b.refuseGlued(pair, at.Join(Index(i))))
				continue
			}
			out.Items = append(out.Items, b.build(item, at.Join(Index(i))))
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
		b.report(pos, at, "quote the value to keep it as text", "tags such as %s are not supported", n.Start.Value)
		return b.build(n.Value, at)
	case *ast.LiteralNode:
		return b.scalar(n.Value.Value, pos, at, false)
	case *ast.NullNode:
		out := &Node{pos: pos}
		if n.Token.Type == token.NullType { // written as null, not just left empty
			out.Source = n.Token.Value
		}
		return out
	case *ast.StringNode:
		quoted := n.Token.Type == token.SingleQuoteType || n.Token.Type == token.DoubleQuoteType
		return b.scalar(n.Value, pos, at, !quoted)
	case ast.ScalarNode:
		return b.scalar(n.GetToken().Value, pos, at, true)
	default:
		b.report(pos, at, "", "YAML %s is not supported here", strings.ToLower(n.Type().String()))
		return &Node{pos: pos}
	}
}

func anchorName(n ast.Node) string {
	if n == nil || n.GetToken() == nil {
		return ""
	}
	return n.GetToken().Value
}

func (b *builder) alias(n *ast.AliasNode, pos Position, at Path) *Node {
	name := anchorName(n.Value)
	out, ok := b.anchors[name]
	if !ok {
		hint := "define &" + Shorten(name) + " before it is used"
		if strings.ContainsAny(name, " */") { // a cron expression
			hint = "put a text that begins with * in quotes"
		}
		b.report(pos, at, hint, "alias *%s has no anchor", Shorten(name))
		return &Node{pos: pos}
	}
	return out
}

// scalar replaces names in the text. What came from outside never becomes null, so
// that an empty variable is an empty text.
func (b *builder) scalar(text string, pos Position, at Path, plain bool) *Node {
	e := Expand(text, b.Opts.Lookup)
	out := &Node{Kind: TextNode, pos: pos, Text: e.Text, Source: text, Replaced: e.Replaced}
	if e.Problem != "" {
		b.report(pos, at, "write $$ for a dollar", "%s", e.Problem)
	}
	for _, name := range e.Unset {
		out.unresolved = true
		if !b.Opts.Offline {
			b.report(pos, at, "set it, or write ${"+name+":-default}", "${%s} is not set", name)
		}
	}
	if plain && !out.unresolved {
		out.Kind = plainKind(e.Text)
		if out.Kind == NullNode && e.Replaced {
			out.Kind = TextNode
		}
	}
	return out
}

func (b *builder) mapping(values []*ast.MappingValueNode, pos Position, at Path) *Node {
	out := &Node{Kind: MapNode, pos: pos, byKey: map[string]int{}}
	var merged []*Node
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
			out.add(Entry{key, keyPos, b.refuseGlued(v, at.Join(key))})
			continue
		}
		value := b.build(v.Value, at.Join(key))
		if first, dup := out.Find(key); dup {
			b.report(keyPos, at.Join(key), "remove one of them", "defined twice; first at line %d", first.pos.Line)
			continue
		}
		out.add(Entry{key, keyPos, value})
	}
	if len(out.Entries) > 0 {
		out.pos = out.Entries[0].pos // the library gives the place of the colon
	}
	for _, source := range merged { // an earlier one wins, the mapping's own entries before all
		for _, e := range source.Entries {
			if _, dup := out.Find(e.Key); !dup {
				out.add(e)
			}
		}
	}
	return out
}

func (b *builder) key(n ast.MapKeyNode, at Path) (string, Position, bool) {
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
		b.report(pos, at, "write the key as plain text", "a key of this form is not supported")
		return "", pos, false
	}
}

func (b *builder) mergeSources(n ast.Node, at Path) []*Node {
	at = at.Join("<<")
	source := b.build(n, at)
	list := []*Node{source}
	if source.Kind == ListNode {
		list = source.Items
	}
	if len(list) > maxMerged {
		b.report(source.pos, at, "", "merges more than %d mappings", maxMerged)
		return nil
	}
	for _, one := range list {
		if one.Kind != MapNode {
			b.report(source.pos, at, "write <<: *name of a mapping", "merges %s, not a mapping", one.Kind.What())
			return nil
		}
	}
	return list
}
