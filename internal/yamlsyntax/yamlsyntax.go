// Package yamlsyntax runs the YAML library on files of strangers.
package yamlsyntax

import (
	"errors"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds that no honest file meets. They keep recursion and the expansion of aliases small.
const (
	MaxDepth = 100
	MaxNodes = 100_000
)

// Error is why a file has no syntax tree.
type Error struct {
	Line, Column int   // 0: unknown
	Syntax       error // what the library found; nil: see TooDeep
	TooDeep      bool  // it nests deeper than MaxDepth; otherwise the library does not understand the file
}

// Parse returns the syntax tree, with all entries of a mapping that has a key twice. The parser of the library recurses, so the depth is
// checked on the tokens first: a stack overflow cannot be recovered from, unlike its other panics.
func Parse(text string) (file *ast.File, bad *Error) {
	defer func() {
		if recover() != nil {
			file, bad = nil, &Error{}
		}
	}()
	tokens := lexer.Tokenize(text)
	if tk := tooDeep(tokens); tk != nil {
		line, column := At(tk)
		return nil, &Error{Line: line, Column: column, TooDeep: true}
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err == nil {
		return file, nil
	}
	var syntax yaml.Error
	if !errors.As(err, &syntax) {
		return nil, &Error{Syntax: err}
	}
	line, column := At(syntax.GetToken())
	return nil, &Error{Line: line, Column: column, Syntax: errors.New(syntax.GetMessage())}
}

// At is the place of a token, 0 if it has none.
func At(tk *token.Token) (line, column int) {
	if tk == nil || tk.Position == nil {
		return 0, 0
	}
	return max(1, tk.Position.Line), max(1, tk.Position.Column)
}

// tooDeep returns the first token that nests too deep in brackets or in list dashes on one line. Deeper levels by
// indentation cost a line each and are bounded by the size of the file.
func tooDeep(tokens token.Tokens) *token.Token {
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
		if depth > MaxDepth || dashes > MaxDepth {
			return tk
		}
	}
	return nil
}
