package convert

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/tidemill/tidemill/internal/yamlsyntax"
)

// jsonReader reads a JSON file with the lines of its values.
type jsonReader struct {
	*converter
	dec    *json.Decoder
	starts []int64 // offsets at which lines begin
	count  int
}

func (c *converter) parseJSON(text string) (*node, error) {
	r := &jsonReader{converter: c, dec: json.NewDecoder(strings.NewReader(text)), starts: []int64{0}}
	r.dec.UseNumber()
	for i := range len(text) {
		if text[i] == '\n' {
			r.starts = append(r.starts, int64(i)+1)
		}
	}
	root, err := r.value(0)
	if err == nil {
		if _, more := r.dec.Token(); !errors.Is(more, io.EOF) {
			return nil, c.fail(r.line(), "not JSON: something follows the object")
		}
		return root, nil
	}
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return nil, c.fail(r.lineAt(syntax.Offset+1), "not JSON: %s", syntax.Error())
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, c.fail(r.lineAt(int64(len(text))), "not JSON: the file ends too early")
	}
	return nil, err
}

// line is that of the token that was read last.
func (r *jsonReader) line() int { return r.lineAt(r.dec.InputOffset()) }

func (r *jsonReader) lineAt(offset int64) int {
	at, found := slices.BinarySearch(r.starts, offset)
	if found && offset > 0 {
		return at // an offset after a line end
	}
	return max(1, at)
}

func (r *jsonReader) value(depth int) (*node, error) {
	tk, err := r.dec.Token()
	if err != nil {
		return nil, err
	}
	out := &node{kind: scalarNode, line: r.line()}
	if r.count++; depth > yamlsyntax.MaxDepth || r.count > yamlsyntax.MaxNodes {
		return nil, r.fail(out.line, "more than %d levels or %d values", yamlsyntax.MaxDepth, yamlsyntax.MaxNodes)
	}
	switch tk := tk.(type) {
	case nil:
		out.kind = nullNode
	case string:
		out.text, out.quoted = tk, true
	case json.Delim:
		if tk == '[' {
			out.kind = listNode
			return out, r.list(out, depth)
		}
		out.kind = mapNode
		return out, r.object(out, depth)
	default:
		out.text = fmt.Sprint(tk)
	}
	return out, nil
}

func (r *jsonReader) list(into *node, depth int) error {
	for r.dec.More() {
		item, err := r.value(depth + 1)
		if err != nil {
			return err
		}
		into.items = append(into.items, item)
	}
	_, err := r.dec.Token()
	return err
}

func (r *jsonReader) object(into *node, depth int) error {
	seen := map[string]int{}
	for r.dec.More() {
		key, err := r.dec.Token()
		if err != nil {
			return err
		}
		e := entry{key: fmt.Sprint(key), line: r.line()}
		if e.value, err = r.value(depth + 1); err != nil {
			return err
		}
		if i, twice := seen[e.key]; twice { // the last one counts, as in JavaScript
			into.entries[i] = e
			continue
		}
		seen[e.key] = len(into.entries)
		into.entries = append(into.entries, e)
	}
	_, err := r.dec.Token()
	return err
}
