package convert

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
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

// syntaxTree runs the YAML library. Its parser recurses, so the depth is checked on the tokens first: a stack overflow
// cannot be recovered from, unlike its other panics.
func (c *converter) syntaxTree(text string) (file *ast.File, err error) {
	defer func() {
		if recover() != nil {
			file, err = nil, fmt.Errorf("%s: the YAML parser does not understand the file; simplify its unusual parts", c.file)
		}
	}()
	tokens := lexer.Tokenize(text)
	if line := tooDeep(tokens); line > 0 {
		return nil, c.fail(line, "nested deeper than %d levels", maxDepth)
	}
	file, err = parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err == nil {
		return file, nil
	}
	var syntax yaml.Error
	if errors.As(err, &syntax) {
		return nil, c.fail(lineOf(syntax.GetToken()), "not YAML: %s", oneLine(syntax.GetMessage()))
	}
	return nil, fmt.Errorf("%s: not YAML: %s", c.file, oneLine(err.Error()))
}

func lineOf(tk *token.Token) int {
	if tk == nil || tk.Position == nil {
		return 1
	}
	return max(1, tk.Position.Line)
}

// tooDeep is the line of the first token that nests too deep in brackets or in dashes of one line, 0 if there is none.
// Deeper levels by indentation cost a line each, and are bounded by the size of the file.
func tooDeep(tokens token.Tokens) int {
	depth, dashes, line := 0, 0, 0
	for _, tk := range tokens {
		if tk.Position.Line != line {
			dashes, line = 0, tk.Position.Line
		}
		switch tk.Type {
		case token.MappingStartType, token.SequenceStartType:
			depth++
		case token.MappingEndType, token.SequenceEndType:
			depth--
		case token.SequenceEntryType, token.MappingKeyType:
			dashes++
		}
		if depth > maxDepth || dashes > maxDepth {
			return max(1, line)
		}
	}
	return 0
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
	if depth > maxDepth || b.count > maxNodes {
		b.err = b.fail(line, "more than %d levels or %d values", maxDepth, maxNodes)
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
			if b.count++; b.count > maxNodes {
				b.err = b.fail(line, "more than %d values", maxNodes)
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
