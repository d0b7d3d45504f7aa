package field

import (
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// glued returns n if it is a key and a value with nothing between colon and value, which only the library takes for a mapping: for YAML
// itself [8080:80] is a list of one text, and {a:1} has a key called a:1. A key in quotes needs no space.
func glued(n ast.Node) *ast.MappingValueNode {
	if mapping, ok := n.(*ast.MappingNode); ok && len(mapping.Values) == 1 && mapping.Start.Type != token.MappingStartType {
		n = mapping.Values[0]
	}
	pair, ok := n.(*ast.MappingValueNode)
	if !ok || pair.Value == nil || pair.Start == nil || pair.Start.Type != token.MappingValueType {
		return nil
	}
	if _, ok := pair.Value.(ast.ScalarNode); !ok || pair.Value.Type() == ast.NullType || pair.Value.Type() == ast.LiteralType {
		return nil
	}
	key, value := pair.Key.GetToken(), pair.Value.GetToken()
	if key == nil || value == nil || key.Type == token.SingleQuoteType || key.Type == token.DoubleQuoteType {
		return nil
	}
	colon := pair.Start.Position
	if colon.Line != value.Position.Line || colon.Column+1 != value.Position.Column {
		return nil
	}
	return pair
}

// refuseGlued says so. Of a value that may be a secret nothing is shown.
func (b *builder) refuseGlued(pair *ast.MappingValueNode, at Path) *Node {
	pos := tokenPosition(pair.Key.GetToken())
	b.report(pos, at, "put the text in quotes, or write a space after the colon", "no space follows the colon after %s", Shorten(pair.Key.GetToken().Value))
	return &Node{Kind: TextNode, pos: pos, Source: "…", unresolved: true, size: 1, depth: 1}
}
