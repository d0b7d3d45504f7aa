package convert

import (
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/tidemill/tidemill/internal/yamlsyntax"
)

// parseYAML reads the one document of a YAML file.
func (c *converter) parseYAML(text string) (*node, error) {
	file, err := c.syntaxTree(text)
	if err != nil {
		return nil, err
	}
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.DirectiveType {
			continue
		}
		b := treeBuilder{converter: c, anchors: map[string]*node{}}
		root := b.build(doc.Body, 0)
		if b.err != nil {
			return nil, b.err
		}
		return root, nil
	}
	return nil, fmt.Errorf("%s: the file is empty", c.file)
}

func (c *converter) syntaxTree(text string) (*ast.File, error) {
	file, bad := yamlsyntax.Parse(text)
	switch {
	case bad == nil:
		return file, nil
	case bad.TooDeep:
		return nil, c.fail(bad.Line, "nested deeper than %d levels", yamlsyntax.MaxDepth)
	case bad.Syntax == nil:
		return nil, fmt.Errorf("%s: the YAML parser does not understand the file; simplify its unusual parts", c.file)
	case bad.Line == 0:
		return nil, fmt.Errorf("%s: not YAML: %s", c.file, oneLine(bad.Syntax.Error()))
	}
	return nil, c.fail(bad.Line, "not YAML: %s", oneLine(bad.Syntax.Error()))
}

func lineOf(tk *token.Token) int {
	line, _ := yamlsyntax.At(tk)
	return max(1, line)
}

// treeBuilder turns the syntax tree of the library into nodes.
type treeBuilder struct {
	*converter
	anchors map[string]*node
	count   int
	err     error
}

func (b *treeBuilder) build(n ast.Node, depth int) *node {
	b.count++
	if n == nil || b.err != nil {
		return &node{}
	}
	line := lineOf(n.GetToken())
	if depth > yamlsyntax.MaxDepth || b.count > yamlsyntax.MaxNodes {
		b.err = b.fail(line, "more than %d levels or %d values", yamlsyntax.MaxDepth, yamlsyntax.MaxNodes)
		return &node{}
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		return b.mapping(n.Values, line, depth)
	case *ast.MappingValueNode:
		return b.mapping([]*ast.MappingValueNode{n}, line, depth)
	case *ast.SequenceNode:
		out := &node{kind: listNode, line: line}
		for _, item := range n.Values {
			out.items = append(out.items, b.build(item, depth+1))
		}
		return out
	case *ast.AnchorNode:
		out := b.build(n.Value, depth+1)
		b.anchors[n.Name.GetToken().Value] = out // known only from here on, so no alias leads to its own inside
		return out
	case *ast.AliasNode:
		name := n.Value.GetToken().Value
		if out, ok := b.anchors[name]; ok {
			return out
		}
		b.err = b.fail(line, "not YAML: alias *%s has no anchor", shorten(name))
		return &node{}
	case *ast.TagNode:
		b.problem(line, n.Start.Value, "look at the value", "tags of YAML mean nothing here")
		return b.build(n.Value, depth+1)
	case *ast.LiteralNode:
		return &node{kind: scalarNode, line: line, text: n.Value.Value, quoted: true}
	case *ast.NullNode:
		return &node{line: line}
	case *ast.StringNode:
		quoted := n.Token.Type == token.SingleQuoteType || n.Token.Type == token.DoubleQuoteType
		return &node{kind: scalarNode, line: line, text: n.Value, quoted: quoted}
	case ast.ScalarNode:
		return &node{kind: scalarNode, line: line, text: n.GetToken().Value}
	}
	b.problem(line, n.GetToken().Value, "", "this form of YAML is not understood")
	return &node{line: line}
}

func (b *treeBuilder) mapping(values []*ast.MappingValueNode, line, depth int) *node {
	out := &node{kind: mapNode, line: line}
	seen := map[string]bool{}
	var merged []*node
	for _, v := range values {
		if v.Key.IsMergeKey() {
			source := b.build(v.Value, depth+1)
			if source.kind == listNode {
				merged = append(merged, source.items...)
			} else {
				merged = append(merged, source)
			}
			continue
		}
		at := lineOf(v.Key.GetToken())
		key := strings.TrimPrefix(v.Key.GetToken().Value, ":")
		value := b.build(v.Value, depth+1)
		if seen[key] {
			b.problem(at, key, "keep one of them", "it is there twice, and the first is taken")
			continue
		}
		seen[key] = true
		out.entries = append(out.entries, entry{key, at, value})
	}
	if len(out.entries) > 0 {
		out.line = out.entries[0].line // the library gives the place of the colon
	}
	for _, source := range merged {
		for _, e := range source.entries {
			if b.count++; b.count > yamlsyntax.MaxNodes {
				b.err = b.fail(line, "more than %d values", yamlsyntax.MaxNodes)
				return out
			}
			if !seen[e.key] {
				seen[e.key] = true
				out.entries = append(out.entries, e)
			}
		}
	}
	return out
}
