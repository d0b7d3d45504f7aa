package valuefmt

import "testing"

func TestRule(t *testing.T) {
	t.Parallel()

	zero, none := "0", "none"
	text := Rule{}
	trimmed := Rule{Trim: true, NullIf: []string{"", "N/A"}}
	number := Rule{Format: Format{Type: Number, Decimal: ","}, Default: &zero, NullIf: []string{"-"}}
	filled := Rule{Default: &none}
	flag := Rule{Format: Format{Type: Boolean, True: []string{"x"}, False: []string{""}}}
	const null, bad = "<null>", "<error>"
	tests := []struct {
		rule  Rule
		value string
		state State
		want  string
	}{
		{text, " a ", Present, " a "}, {text, "", Present, ""}, {text, "", Empty, null}, {text, "", Missing, null}, {text, "", Null, null},
		{trimmed, " a ", Present, "a"}, {trimmed, " N/A ", Present, null}, {trimmed, "  ", Present, null},
		{number, "1,5", Present, "1.5"}, {number, "", Present, "0"}, {number, "", Empty, "0"}, {number, "-", Present, "0"}, {number, "", Missing, "0"}, {number, "", Null, null}, {number, "x", Present, bad},
		{filled, "", Present, ""}, {filled, "", Empty, "none"}, {filled, "", Missing, "none"},
		{flag, "x", Present, "true"}, {flag, "", Present, "false"}, {flag, "", Empty, null},
	}
	for _, tt := range tests {
		c, err := tt.rule.Compile()
		if err != nil {
			t.Fatal(err)
		}
		out, isNull, err := c.Append([]byte(">"), []byte(tt.value), tt.state)
		got := string(out[1:])
		if isNull {
			got += null
		}
		if err != nil {
			got += bad
		}
		if got != tt.want {
			t.Errorf("%+v: %q in state %d: %q, want %q", tt.rule, tt.value, tt.state, got, tt.want)
		}
	}
	if _, err := (Rule{Format: Format{Type: "x"}}).Compile(); err == nil {
		t.Error("a bad format compiles")
	}
}
