package valuefmt

import (
	"bytes"
	"fmt"

	"github.com/tidwall/gjson"
)

func (f Format) compileArray() (*Converter, error) {
	var element Format
	if f.Element != nil {
		element = *f.Element
	}
	if element.Type == Array {
		return nil, problem("element", "", "is an array itself, which is not supported", "import the text as json")
	}
	convert, err := element.Compile()
	if err != nil {
		return nil, within("element", err)
	}
	whole := jsonArray{convert}.append
	if f.Separator == "" {
		return &Converter{text: whole}, nil
	}
	split := splitArray{convert, []byte(f.Separator), element.Type == "" || element.Type == Text}
	return &Converter{text: split.append, value: whole}, nil
}

// splitArray takes elements between separators. An empty element is an empty
// text, or NULL where the elements are something else.
type splitArray struct {
	element   *Converter
	separator []byte
	text      bool
}

func (a splitArray) append(dst, value []byte) ([]byte, error) {
	dst = append(dst, '{')
	if value = bytes.TrimSpace(value); len(value) == 0 {
		return append(dst, '}'), nil
	}
	for n := 1; ; n++ {
		one, rest, more := bytes.Cut(value, a.separator)
		one = bytes.TrimSpace(one)
		var err error
		if len(one) == 0 && !a.text {
			dst = append(dst, "NULL"...)
		} else if dst, err = appendElement(dst, one, a.element.Append); err != nil {
			return nil, fmt.Errorf("element %d: %w", n, err)
		}
		if !more {
			return append(dst, '}'), nil
		}
		dst = append(dst, ',')
		value = rest
	}
}

// jsonArray takes a JSON array of values that are no arrays; null is NULL. Its numbers and truth values are written as
// JSON has them, its strings in the format of the elements.
type jsonArray struct{ element *Converter }

func (a jsonArray) append(dst, value []byte) ([]byte, error) {
	if !gjson.ValidBytes(value) {
		return nil, fmt.Errorf("%s is not a JSON array", quoted(value))
	}
	array := gjson.ParseBytes(value)
	if !array.IsArray() {
		return nil, fmt.Errorf("%s is not a JSON array", quoted(value))
	}
	dst = append(dst, '{')
	var err error
	n := 0
	array.ForEach(func(_, v gjson.Result) bool {
		if n++; n > 1 {
			dst = append(dst, ',')
		}
		switch {
		case v.Type == gjson.Null:
			dst = append(dst, "NULL"...)
			return true
		case v.IsArray():
			err = fmt.Errorf("element %d is an array; arrays of arrays are not supported", n)
			return false
		}
		text, convert := v.Raw, a.element.appendValue
		if v.Type == gjson.String && !a.element.json {
			text, convert = v.Str, a.element.appendString
		}
		if dst, err = appendElement(dst, []byte(text), convert); err != nil {
			err = fmt.Errorf("element %d: %w", n, err)
		}
		return err == nil
	})
	if err != nil {
		return nil, err
	}
	return append(dst, '}'), nil
}

// appendElement writes one element in quotes, so that none of it has a meaning.
func appendElement(dst, value []byte, convert func(dst, value []byte) ([]byte, error)) ([]byte, error) {
	dst = append(dst, '"')
	from := len(dst)
	dst, err := convert(dst, value)
	if err != nil {
		return nil, err
	}
	special := 0
	for _, b := range dst[from:] {
		if b == '"' || b == '\\' {
			special++
		}
	}
	// From the end, so that each byte moves once and no second buffer is needed.
	end := len(dst)
	dst = append(dst, make([]byte, special)...)
	for to := len(dst); special > 0; {
		end--
		to--
		dst[to] = dst[end]
		if dst[end] == '"' || dst[end] == '\\' {
			to--
			dst[to] = '\\'
			special--
		}
	}
	return append(dst, '"'), nil
}
