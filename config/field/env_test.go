package field

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestExpand(t *testing.T) {
	t.Parallel()
	values := map[string]string{"A": "1", "EMPTY": "", "NEST": "${A}", "_x9": "y"}
	vars := func(name string) (string, bool) { v, ok := values[name]; return v, ok }
	tests := map[string]Expansion{
		"plain":             {Text: "plain"},
		"${A}":              {Text: "1", Replaced: true},
		"x${A}y${_x9}z":     {Text: "x1yyz", Replaced: true},
		"${NEST}":           {Text: "${A}", Replaced: true},
		"${EMPTY}":          {Text: "", Replaced: true},
		"${EMPTY:-d}":       {Text: "d", Replaced: true},
		"${NO:-}":           {Text: "", Replaced: true},
		"${NO:-a:-b $c}":    {Text: "a:-b $c", Replaced: true},
		"${NO}-${A}":        {Text: "${NO}-1", Replaced: true, Unset: []string{"NO"}},
		"$$":                {Text: "$"},
		"$${A}":             {Text: "${A}"},
		"$$${A}":            {Text: "$1", Replaced: true},
		"cost $5, $A, end$": {Text: "cost $5, $A, end$"},
		"${A":               {Text: "${A", Problem: "${ has no closing brace"},
		"${}":               {Text: "${}", Problem: "${} is not ${NAME} or ${NAME:-default}"},
		"${1A}":             {Text: "${1A}", Problem: "${1A} is not ${NAME} or ${NAME:-default}"},
		"${A-b}":            {Text: "${A-b}", Problem: "${A-b} is not ${NAME} or ${NAME:-default}"},
	}
	for in, want := range tests {
		if diff := cmp.Diff(want, Expand(in, vars), cmp.AllowUnexported(Expansion{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", in, diff)
		}
	}
}
