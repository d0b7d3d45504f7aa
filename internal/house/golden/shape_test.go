package golden

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// shape is what values of JSON in one place have in common.
type shape struct {
	objects int
	times   int // how often there was a value here
	types   map[string]bool
	fields  map[string]*shape
	items   *shape
}

// shapeOf gives a line for each place in the values of a text of JSON: where, and which types. A ? follows a field
// that not all objects of its place have.
func shapeOf(text string) (string, error) {
	all := &shape{}
	decoder := json.NewDecoder(strings.NewReader(text))
	for {
		var v any
		err := decoder.Decode(&v)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", fmt.Errorf("%w in %q", err, text)
		}
		all.add(v)
	}
	var out strings.Builder
	all.print(&out, "", false)
	return out.String(), nil
}

func (s *shape) add(v any) {
	if s.types == nil {
		s.types, s.fields = map[string]bool{}, map[string]*shape{}
	}
	s.times++
	switch v := v.(type) {
	case nil:
		s.types["null"] = true
	case bool:
		s.types["boolean"] = true
	case float64:
		s.types["number"] = true
	case string:
		if _, err := time.Parse(time.RFC3339, v); err == nil {
			s.types["time"] = true
		} else {
			s.types["string"] = true
		}
	case []any:
		s.types["array"] = true
		for _, item := range v {
			if s.items == nil {
				s.items = &shape{}
			}
			s.items.add(item)
		}
	case map[string]any:
		s.types["object"] = true
		s.objects++
		for key, value := range v {
			if s.fields[key] == nil {
				s.fields[key] = &shape{}
			}
			s.fields[key].add(value)
		}
	}
}

func (s *shape) print(out *strings.Builder, at string, optional bool) {
	place := strings.TrimPrefix(at, ".")
	if place == "" {
		place = "all"
	}
	if optional {
		place += "?"
	}
	types := "nothing"
	if s.times > 0 {
		types = strings.Join(slices.Sorted(maps.Keys(s.types)), " or ")
	}
	fmt.Fprintf(out, "  %s: %s\n", place, types)
	for _, key := range slices.Sorted(maps.Keys(s.fields)) {
		s.fields[key].print(out, at+"."+key, s.fields[key].times < s.objects)
	}
	if s.items != nil {
		s.items.print(out, at+"[]", false)
	}
}

func TestShapeOf(t *testing.T) {
	t.Parallel()
	got, err := shapeOf(`[{"id": 1, "at": "2026-01-31T09:00:00Z", "tags": []}, {"id": null, "more": {"a": true}, "tags": ["x"]}]`)
	if err != nil {
		t.Fatal(err)
	}
	want := `  all: array
  []: object
  [].at?: time
  [].id: null or number
  [].more?: object
  [].more.a: boolean
  [].tags: array
  [].tags[]: string
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := shapeOf("12 done"); err == nil {
		t.Error("text after a value is taken for JSON")
	}
}
