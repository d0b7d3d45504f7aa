package valuefmt

import "testing"

func TestRule(t *testing.T) {
	t.Parallel()

	zero, none, empty := "0", "none", "{}"
	text := Rule{}
	trimmed := Rule{Trim: true, NullIf: []string{"", "N/A"}}
	number := Rule{Format: Format{Type: Number, Decimal: ","}, Default: &zero, NullIf: []string{"-"}}
	filled := Rule{Default: &none}
	flag := Rule{Format: Format{Type: Boolean, True: []string{"x"}, False: []string{""}}}
	const null, bad = "<null>", "<error>"
	german := Rule{Format: Format{Type: Number, Decimal: ",", Grouping: "."}}
	words := Rule{Format: Format{Type: Boolean, True: []string{"ja", "1"}, False: []string{"nein", "2"}}}
	list := Rule{Format: Format{Type: Array, Separator: ";", Element: &german.Format}}
	document := Rule{Format: Format{Type: JSON}, NullIf: []string{"-"}, Default: &empty}
	documents := Rule{Format: Format{Type: Array, Element: &Format{Type: JSON}}}
	tests := []struct {
		rule  Rule
		value string
		state State
		want  string
	}{
		{text, " a ", Bare, " a "}, {text, "", Quoted, ""}, {text, "", String, ""}, {text, "", Bare, null}, {text, "", Missing, null}, {text, "", Null, null}, {text, `{"a": 1}`, Value, `{"a": 1}`},
		{trimmed, " a ", Quoted, "a"}, {trimmed, " N/A ", Bare, null}, {trimmed, "  ", Quoted, null},
		{Rule{Trim: true}, "  ", Bare, null}, {Rule{Trim: true}, "  ", Quoted, ""},
		{number, "1,5", Bare, "1.5"}, {number, "", Quoted, "0"}, {number, "", Bare, "0"}, {number, "-", Quoted, "0"}, {number, "", Missing, "0"}, {number, "", Null, null}, {number, "x", Bare, bad},
		{filled, "", Quoted, ""}, {filled, "", Bare, "none"}, {filled, "", Missing, "none"}, {filled, "", String, ""},
		{flag, "x", Bare, "true"}, {flag, "", Quoted, "false"}, {flag, "", Bare, null},

		{german, "1.234", Bare, "1234"}, {german, "1.234", String, "1234"}, {german, "1.234", Value, "1.234"}, {german, "true", Value, bad},
		{words, "JA", String, "true"}, {words, "true", String, bad}, {words, "true", Value, "true"}, {words, "false", Value, "false"}, {words, "1", Value, "true"}, {words, "3", Value, bad},
		{list, "1,5;2", Bare, `{"1.5","2"}`}, {list, "1,5;2", String, `{"1.5","2"}`}, {list, `[1.5, "1,5", null]`, Value, `{"1.5","1.5",NULL}`}, {list, "1.5", Value, bad},
		{document, `{"a":1}`, Quoted, `{"a":1}`}, {document, "abc", Quoted, bad}, {document, "a\"\\\n\x01<é", String, `"a\"\\\n\u0001<é"`}, {document, "", String, `""`}, {document, "-", String, "{}"}, {document, "1.0", Value, "1.0"}, {document, "", Missing, "{}"},
		{documents, `["a", {"b": 1}, null, "\u00e9"]`, Value, `{"\"a\"","{\"b\": 1}",NULL,"\"\\u00e9\""}`},
	}
	for _, tt := range tests {
		c, err := tt.rule.Compile()
		if err != nil {
			t.Fatal(err)
		}
		out, outcome, err := c.Append([]byte(">"), []byte(tt.value), tt.state)
		got := string(out[1:])
		if outcome.Null {
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

func TestOutcome(t *testing.T) {
	t.Parallel()

	none := "none"
	rule := Rule{Trim: true, NullIf: []string{"-", ""}}
	filled := Rule{Trim: true, NullIf: []string{"-"}, Default: &none}
	tests := []struct {
		rule  Rule
		value string
		state State
		want  Outcome
	}{
		{rule, "a", Bare, Outcome{}},
		{rule, " a", Quoted, Outcome{Trimmed: true}},
		{rule, " - ", String, Outcome{Trimmed: true, NullIf: true, Null: true}},
		{rule, "", Bare, Outcome{Null: true}},
		{rule, "", Null, Outcome{Null: true}},
		{rule, " 1 ", Value, Outcome{}},
		{filled, "-", Bare, Outcome{NullIf: true, Default: true}},
		{filled, "", Missing, Outcome{Default: true}},
		{filled, "", Null, Outcome{Null: true}},
		{filled, "  ", Quoted, Outcome{Trimmed: true}},
	}
	for _, tt := range tests {
		c, err := tt.rule.Compile()
		if err != nil {
			t.Fatal(err)
		}
		if _, got, err := c.Append(nil, []byte(tt.value), tt.state); err != nil || got != tt.want {
			t.Errorf("%+v: %q in state %d: %+v, %v, want %+v", tt.rule, tt.value, tt.state, got, err, tt.want)
		}
	}
}
