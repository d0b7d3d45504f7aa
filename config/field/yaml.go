package field

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds that no honest file meets. They keep the recursion of the YAML library
// and the expansion of aliases small.
const (
	MaxBytes = 1 << 20
	maxDepth = 100
	maxNodes = 100_000
)

// ParseTree parses one YAML document. The tree is nil when the text is not YAML;
// other problems, such as duplicate keys, leave a usable tree.
func (d *Checker) ParseTree(data []byte) *Node {
	data, ok := d.clean(data)
	if !ok {
		return nil
	}
	file, ok := d.parseYAML(data)
	if !ok {
		return nil
	}
	body, ok := d.onlyDocument(file)
	if !ok {
		return nil
	}
	b := builder{Checker: d, anchors: map[string]*Node{}}
	root := b.build(body, nil)
	if b.broken {
		return nil
	}
	return root
}

// clean checks the encoding and returns the text without byte order mark and with
// plain line ends.
func (d *Checker) clean(data []byte) ([]byte, bool) {
	if len(data) > MaxBytes {
		d.report(Position{}, nil, "", "the file is larger than 1 MiB")
		return nil, false
	}
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		d.report(Position{1, 1}, nil, "save the file as UTF-8", "the file is UTF-16")
		return nil, false
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	pos := Position{1, 1}
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			d.report(pos, nil, "save the file as UTF-8", "byte 0x%02x is not UTF-8", data[i])
			return nil, false
		case r == '\n':
			pos = Position{pos.Line + 1, 0}
		case r != '\t' && r < ' ' || r == 0x7f || r == '\ufeff':
			d.report(pos, nil, "remove it, or write it as an escape in double quotes", "control character %U", r)
			return nil, false
		}
		pos.Column++
		i += size
	}
	return data, true
}

// parseYAML runs the YAML library. Its parser recurses, so the depth is checked on
// the tokens first: a stack overflow cannot be recovered from. Other panics of the
// library are reported as a syntax that is not understood.
func (d *Checker) parseYAML(data []byte) (file *ast.File, ok bool) {
	defer func() {
		if recover() != nil {
			d.report(Position{}, nil, "simplify the unusual parts", "the YAML parser does not understand the file")
			file, ok = nil, false
		}
	}()
	tokens := lexer.Tokenize(string(data))
	if tk := tooDeep(tokens); tk != nil {
		d.report(tokenPosition(tk), nil, "", "nested deeper than %d levels", maxDepth)
		return nil, false
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey()) // duplicates are found here, all of them
	if err != nil {
		d.syntaxError(data, err)
		return nil, false
	}
	return file, true
}

func (d *Checker) syntaxError(data []byte, err error) {
	var syntax yaml.Error
	if !errors.As(err, &syntax) {
		d.report(Position{}, nil, "", "not YAML: %s", strings.ReplaceAll(err.Error(), "\n", " "))
		return
	}
	pos, message, hint := tokenPosition(syntax.GetToken()), syntax.GetMessage(), ""
	switch {
	case strings.Contains(message, "'\t'"):
		message, hint = "a tab where spaces are expected", "indent with spaces"
	case strings.Contains(line(data, pos.Line), "{{"):
		hint = "put a text that begins with {{ in quotes"
	case bareStarRE.MatchString(line(data, pos.Line)):
		hint = "put a text that begins with * or @ in quotes"
	}
	d.report(pos, nil, hint, "not YAML: %s", strings.ReplaceAll(message, "\n", " "))
}

// bareStarRE finds what is not an alias and was meant as a cron expression.
var bareStarRE = regexp.MustCompile(`[-:,{[]\s+(\*([\s/,-]|$)|@)`)

// line is the line of data with that number, "" if there is none.
func line(data []byte, number int) string {
	lines := bytes.SplitN(data, []byte("\n"), number+1)
	if number < 1 || number > len(lines) {
		return ""
	}
	return string(lines[number-1])
}

func tokenPosition(tk *token.Token) Position {
	if tk == nil || tk.Position == nil {
		return Position{}
	}
	return Position{max(1, tk.Position.Line), max(1, tk.Position.Column)}
}

// tooDeep returns the first token that nests too deep in brackets or in list
// dashes on one line. Deeper levels by indentation cost a line each and are
// bounded by the size of the file.
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
		if depth > maxDepth || dashes > maxDepth {
			return tk
		}
	}
	return nil
}

func (d *Checker) onlyDocument(file *ast.File) (ast.Node, bool) {
	var body ast.Node
	for i, doc := range file.Docs {
		switch {
		case i > 0 && doc.Start != nil:
			d.report(tokenPosition(doc.Start), nil, "remove the line ---", "a second document begins here")
			return nil, false
		case doc.Body == nil:
		case doc.Body.Type() == ast.DirectiveType:
			d.report(tokenPosition(doc.Body.GetToken()), nil, "remove this line", "directives are not supported")
			return nil, false
		case body != nil:
			d.report(tokenPosition(doc.Body.GetToken()), nil, "remove the line ...", "a second document begins here")
			return nil, false
		default:
			body = doc.Body
		}
	}
	if body == nil {
		d.report(Position{1, 1}, nil, "describe at least one job under jobs", "the file is empty")
		return nil, false
	}
	return body, true
}

// yamlDefault reads a default out of the field tables.
func yamlDefault(text string) *Node {
	d := New("", Opts{Lookup: func(string) (string, bool) { return "", false }})
	root := d.ParseTree([]byte("v: " + text))
	e, ok := root.Find("v")
	if !ok {
		panic(fmt.Sprintf("field table: default %q is not YAML", text)) // a mistake in this package, found by any test
	}
	return e.Value
}
