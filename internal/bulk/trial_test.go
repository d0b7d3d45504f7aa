package bulk

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCutNextval(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string][]string{
		`nextval('s'::regclass)`:                                 {"", `'s'::regclass`, ""},
		`('a)'::text || nextval(('x")('::text)::regclass)) || 1`: {`('a)'::text || `, `('x")('::text)::regclass`, `) || 1`},
		`nextval('"it''s (odd"'::regclass) + 1`:                  {"", `'"it''s (odd"'::regclass`, " + 1"},
		`'nextval(1)'::text`:                                     nil,
		`app.nextval(1)`:                                         nil,
		`my_nextval(1)`:                                          nil,
		`0`:                                                      nil,
		`nextval('s'`:                                            nil,
	} {
		before, arg, after, ok := cutNextval(expr)
		var got []string
		if ok {
			got = []string{before, arg, after}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", expr, diff)
		}
	}
}
