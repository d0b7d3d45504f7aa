package config_test

import (
	"strings"
	"testing"
)

func TestParamFields(t *testing.T) {
	t.Parallel()
	const jsonNumber = ` is not a number in JSON (put it in quotes to keep it as text, or write it without leading zeros, plus signs and bare dots)`
	for fields, want := range map[string]string{
		"a: text": "", "_a2: uuid": "",
		"n: {type: text, default: '${N}'}":                 "", // text from outside is text whatever it looks like
		"n: {type: integer, default: '${N}'}":              "",
		"n: {type: json, default: [1]}":                    "",
		"A: text":                                          `.A: "A" is not the name of a param (lower-case letters, digits and _, no digit first, at most 63)`,
		strings.Repeat("a", 64) + ": text":                 "." + strings.Repeat("a", 64) + `: "` + strings.Repeat("a", 59) + `…" is not the name of a param (lower-case letters, digits and _, no digit first, at most 63)`,
		"a: txt":                                           `.a: "txt" is not one of text, integer, number, boolean, date, timestamp, uuid, json (did you mean text?)`,
		"a: ":                                              ".a: has no value (give a text, or remove it)",
		"a: [text]":                                        ".a: is a list, not text",
		"a: {}":                                            ".a: type is missing (add type:)",
		"a: {type: text, defualt: x}":                      ".a.defualt: unknown field (did you mean default?)",
		"a: {type: date, default: tomorrow}":               `.a.default: "tomorrow" is not a date (write it like 2026-01-31)`,
		"a: {type: date, default: '${N}'}":                 `.a.default: "${N}" is not a date (write it like 2026-01-31)`,
		"a: {type: text, default: 5}":                      `.a.default: "5" is not a text (put it in quotes)`,
		"a: {type: text, default: scheduled_for}":          `.a.default: "scheduled_for" is a default of a date or a timestamp (change the type)`,
		"a: {type: integer, default: [1]}":                 ".a.default: a list is not a whole number (write it like 12 or -5)",
		"a: {type: integer, default: }":                    ".a.default: has no value (give a value, or remove it)",
		"a: {type: integer, default: 007}":                 `.a.default: "007"` + jsonNumber,
		"a: {type: integer, default: 1e3}":                 `.a.default: "1e3" is not a whole number (write it like 12 or -5)`,
		"a: {type: integer, default: 9999999999999999999}": `.a.default: "9999999999999999999" has more than 64 bits (declare the param as number)`,
	} {
		got := strings.Join(messages(t, "jobs: {j: {kind: own, params: {"+fields+"}}}", lookup(map[string]string{"N": "5"})), "\n")
		if _, after, ok := strings.Cut(got, "jobs.j.params"); ok {
			got = after
		}
		if got != want {
			t.Errorf("%s\n got %s\nwant %s", fields, got, want)
		}
	}
	got := strings.Join(messages(t, "jobs: {j: {kind: own, params: [a]}}", lookup(nil)), "\n")
	if want := "1:23: jobs.j.params: is a list, not a mapping from names to types"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
