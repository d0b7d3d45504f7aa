package metrics

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNames(t *testing.T) {
	t.Parallel()

	tests := map[string]struct {
		names *names
		in    []string
		want  []string
	}{
		"any":            {newNames(10, false), []string{"a", "b", "a"}, []string{"a", "b", "a"}},
		"one too many":   {newNames(2, false, "a"), []string{"b", "c", "b", "a", "c"}, []string{"b", "other", "b", "a", "other"}},
		"none is free":   {newNames(1, false), []string{"", "a", "", "b"}, []string{"", "a", "", "other"}},
		"fixed":          {newNames(10, true, "a"), []string{"a", "b", ""}, []string{"a", "other", ""}},
		"not UTF-8":      {newNames(10, false), []string{"a\xff"}, []string{"other"}},
		"too long":       {newNames(10, false), []string{strings.Repeat("a", 129)}, []string{"other"}},
		"known stay":     {newNames(1, false, "a", "b"), []string{"b", "c"}, []string{"b", "other"}},
		"longest passes": {newNames(10, false), []string{strings.Repeat("a", 128)}, []string{strings.Repeat("a", 128)}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, in := range tt.in {
				got = append(got, tt.names.admit(in))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNamesConcurrent(t *testing.T) {
	t.Parallel()

	n := newNames(50, false)
	done := make(chan map[string]bool)
	for range 8 {
		go func() {
			got := map[string]bool{}
			for i := range 200 {
				got[n.admit(fmt.Sprint("name", i))] = true
			}
			done <- got
		}()
	}
	all := map[string]bool{}
	for range 8 {
		for name := range <-done {
			all[name] = true
		}
	}
	if len(all) != 51 || !all[other] {
		t.Errorf("%d values of a label admitted, want 50 and other", len(all))
	}
}
