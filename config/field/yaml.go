package field

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/tidemill/tidemill/internal/yamlsyntax"
)

// MaxBytes is the size of a file that no honest one meets.
const MaxBytes = 1 << 20

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

// parseYAML reports why the text has no syntax tree.
func (d *Checker) parseYAML(data []byte) (*ast.File, bool) {
	file, bad := yamlsyntax.Parse(string(data))
	if bad == nil {
		return file, true
	}
	pos := Position{bad.Line, bad.Column}
	switch {
	case bad.TooDeep:
		d.report(pos, nil, "", "nested deeper than %d levels", yamlsyntax.MaxDepth)
	case bad.Syntax == nil:
		d.report(pos, nil, "simplify the unusual parts", "the YAML parser does not understand the file")
	default:
		message, hint := bad.Syntax.Error(), ""
		switch {
		case pos.Line == 0:
		case strings.Contains(message, "'\t'"):
			message, hint = "a tab where spaces are expected", "indent with spaces"
		case strings.Contains(line(data, pos.Line), "{{"):
			hint = "put a text that begins with {{ in quotes"
		case bareStarRE.MatchString(line(data, pos.Line)):
			hint = "put a text that begins with * or @ in quotes"
		}
		d.report(pos, nil, hint, "not YAML: %s", strings.ReplaceAll(message, "\n", " "))
	}
	return nil, false
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
	line, column := yamlsyntax.At(tk)
	return Position{line, column}
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
