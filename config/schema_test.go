package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/config/field"
)

// schemaCheck is as much of a JSON Schema validator as our schema uses; a keyword that
// it does not know is an error, so that nothing goes unchecked.
type schemaCheck struct{ root map[string]any }

func (c schemaCheck) validate(s map[string]any, v any, at string) []string {
	var problems []string
	fail := func(format string, args ...any) { problems = append(problems, at+": "+fmt.Sprintf(format, args...)) }
	object, _ := v.(map[string]any)
	for keyword, arg := range s {
		switch keyword {
		case "$schema", "$defs", "title", "description", "default", "then":
		case "$ref":
			name := strings.TrimPrefix(arg.(string), "#/$defs/")
			problems = append(problems, c.validate(c.root["$defs"].(map[string]any)[name].(map[string]any), v, at)...)
		case "type":
			types, ok := arg.([]any)
			if !ok {
				types = []any{arg}
			}
			if !slices.ContainsFunc(types, func(t any) bool { return hasType(v, t.(string)) }) {
				fail("is not of type %v", arg)
			}
		case "enum":
			if !slices.Contains(arg.([]any), v) {
				fail("is not one of %v", arg)
			}
		case "const":
			if v != arg {
				fail("is not %v", arg)
			}
		case "pattern":
			if text, ok := v.(string); ok && !regexp.MustCompile(arg.(string)).MatchString(text) {
				fail("%q does not match %s", text, arg)
			}
		case "minLength", "maxLength":
			if text, ok := v.(string); ok {
				n, limit := float64(utf8.RuneCountInString(text)), arg.(float64)
				if keyword == "minLength" && n < limit || keyword == "maxLength" && n > limit {
					fail("%q breaks %s", text, keyword)
				}
			}
		case "minimum", "maximum", "exclusiveMaximum":
			if n, ok := v.(float64); ok {
				limit := arg.(float64)
				if keyword == "minimum" && n < limit || keyword == "maximum" && n > limit || keyword == "exclusiveMaximum" && n >= limit {
					fail("%v breaks %s %v", n, keyword, limit)
				}
			}
		case "minProperties":
			if object != nil && float64(len(object)) < arg.(float64) {
				fail("has too few properties")
			}
		case "required":
			for _, name := range arg.([]any) {
				if _, ok := object[name.(string)]; object != nil && !ok {
					fail("%s is missing", name)
				}
			}
		case "properties":
			for name, sub := range arg.(map[string]any) {
				if value, ok := object[name]; ok {
					problems = append(problems, c.validate(sub.(map[string]any), value, at+"."+name)...)
				}
			}
		case "additionalProperties":
			known, _ := s["properties"].(map[string]any)
			for name, value := range object {
				if _, ok := known[name]; ok || matchesAny(s["patternProperties"], name) {
					continue
				}
				if sub, ok := arg.(map[string]any); ok {
					problems = append(problems, c.validate(sub, value, at+"."+name)...)
				} else {
					fail("unknown property %s", name)
				}
			}
		case "patternProperties": // with additionalProperties
		case "propertyNames":
			for name := range object {
				problems = append(problems, c.validate(arg.(map[string]any), name, at+"."+name)...)
			}
		case "minItems":
			if list, ok := v.([]any); ok && float64(len(list)) < arg.(float64) {
				fail("has too few items")
			}
		case "items":
			list, _ := v.([]any)
			for i, item := range list {
				problems = append(problems, c.validate(arg.(map[string]any), item, fmt.Sprintf("%s[%d]", at, i))...)
			}
		case "anyOf":
			if !slices.ContainsFunc(arg.([]any), func(sub any) bool { return len(c.validate(sub.(map[string]any), v, at)) == 0 }) {
				fail("fits none of %d forms", len(arg.([]any)))
			}
		case "allOf":
			for _, sub := range arg.([]any) {
				problems = append(problems, c.validate(sub.(map[string]any), v, at)...)
			}
		case "not":
			if len(c.validate(arg.(map[string]any), v, at)) == 0 {
				fail("is excluded")
			}
		case "if":
			if len(c.validate(arg.(map[string]any), v, at)) == 0 {
				problems = append(problems, c.validate(s["then"].(map[string]any), v, at)...)
			}
		default:
			fail("keyword %s is unknown to this test", keyword)
		}
	}
	return problems
}

func hasType(v any, name string) bool {
	switch v := v.(type) {
	case nil:
		return name == "null"
	case bool:
		return name == "boolean"
	case string:
		return name == "string"
	case float64:
		return name == "number" || name == "integer" && v == float64(int64(v))
	case []any:
		return name == "array"
	default:
		return name == "object"
	}
}

func setupSchema(t *testing.T) (check schemaCheck, instance func(src string) any) {
	t.Helper()
	if err := json.Unmarshal(config.Schema(allKinds()), &check.root); err != nil {
		t.Fatal(err)
	}
	return check, func(src string) any {
		// An editor sees the names, not their values.
		c := field.New("", field.Opts{Lookup: func(name string) (string, bool) { return "${" + name + "}", true }})
		var b bytes.Buffer
		field.WriteJSON(&b, c, c.Parse([]byte(src)))
		var v any
		if err := json.Unmarshal(b.Bytes(), &v); err != nil || len(c.Problems()) > 0 {
			t.Fatalf("%s: %v %v", src, err, c.Problems())
		}
		return v
	}
}

func matchesAny(patterns any, name string) bool {
	known, _ := patterns.(map[string]any)
	for pattern := range known {
		if regexp.MustCompile(pattern).MatchString(name) {
			return true
		}
	}
	return false
}

func TestSchemaAcceptsWhatParseAccepts(t *testing.T) {
	t.Parallel()
	check, instance := setupSchema(t)
	for _, src := range []string{
		exampleText(t),
		"jobs:\nqueues:\ndatabase:\n",
		"x-low: &low {queue: low, own: [words]}\nx-: \njobs: {a: {kind: own}}",
		"queues: {a: {workers: 3}, b: 4}",
		`queues: {a: "${N:-3}"}`,
		"retry: {jitter: 0.5, delay: 1h2m3s, max_delay: 1d2h3m, backoff: constant}",
		`retry: {jitter: "${J:-5%}", backoff: "${B:-linear}", delay: "${D:-1s}", max_attempts: "${M:-1}"}`,
		`retention: {succeeded: 0s, failed: forever, runs: 1d12h, rejects: "${R:-1h}", cancelled: "${C:-forever}"}`,
		"jobs: {a: {kind: own, retention: {cancelled: forever}}}",
		"jobs: {a: {kind: own}, b: {kind: other, args: {x: [1, {y: null}]}}}",
		`jobs: {a: {kind: import, table: t, header: false, columns: {a: 1, b: {field: 2}}, delimiter: tab, quote: "'"}}`,
		`jobs: {a: {kind: import, table: t, columns: {a, b: x}, match: , set: , delimiter: "\t"}}`,
		`jobs: {a: {kind: import, table: t, delimiter: '\t', max_record: 1.5MiB, reject_limit: {ratio: 0.01}}}`,
		`jobs: {a: {kind: import, table: t, columns: {a: {type: number, decimal: ",", grouping: ".", default: 0}, b: {type: boolean, true_if: ja, false_if: [nein, ""]}, c: {type: "${T:-array}", separator: ";", element: {type: date, layout: [iso, d.M.yyyy]}}}}}`,
		"schedules:\nserver: {tokens: }\njobs: {a: {kind: own, schedule: 0 9 * * *}, b: {kind: own, schedule: {every: 1h, params: {a: [1]}}}}",
		`schedules: {"b": {job: "${J:-a}", every: "${E:-1d}", timezone: "${Z:-UTC}", catch_up: "${C:-all}", overlap: "${O:-allow}", jitter: "${S:-1s}"}}` + "\njobs: {a: {kind: own}}",
		"server: {cron_secret: [0123456789abcdef], tokens: [{name: a, role: operator, token: fedcba9876543210}]}",
		`jobs: {a: {kind: import, table: "${T:-t}", header: "${H:-true}", max_record: "${R:-1MiB}"}}`,
	} {
		if got := messages(t, src, exampleEnv()); got != nil {
			t.Errorf("Parse refuses\n%s\n%s", src, strings.Join(got, "\n"))
		}
		if problems := check.validate(check.root, instance(src), ""); len(problems) > 0 {
			t.Errorf("schema refuses\n%s\n%s", src, strings.Join(problems, "\n"))
		}
	}
}

func TestSchemaRefusesWrongStructure(t *testing.T) {
	t.Parallel()
	check, instance := setupSchema(t)
	for _, src := range []string{
		"job: {}", "queues: {a: 0}", "schedules: {a: 0 9 * * *}", "schedules: {a: {every: 1h}}", "schedules: {A: {job: a, every: 1h}}", "schedules: {a: {job: a, every: 1h, overlap: no}}",
		"jobs: {a: {kind: own, schedule: }}", "jobs: {a: {kind: own, schedule: 5}}", "jobs: {a: {kind: own, schedule: {job: a, every: 1h}}}",
		"server: {cron_secret: []}", "server: {tokens: {}}", "server: {tokens: [{name: a, role: root, token: fedcba9876543210}]}", "server: {tokens: [{name: a}]}", "queues: {A: 1}", "queues: {a: {worker: 1}}", "queues: {}", "retry: {delay: 30}", "retry: {delay: 1w}",
		"retry: {jitter: 1}", "retry: {backoff: none}", "retry: {max_attempts: 1.5}", "retention: {failed: never}", "retention: {run: 1d}", "jobs: {a: {kind: own, retention: {runs: 90}}}", "drain_timeout: soon", "database: {schema: A-b}",
		"jobs: {A: {kind: own}}", "jobs: {a: {}}", "jobs: {a: own}", "jobs: {a: {kind: sync}}", "jobs: {a: {kind: tidemill.x}}", "jobs: {a: {kind: own, table: x}}",
		"jobs: {a: {kind: own, args: [1]}}", "jobs: {a: {kind: import}}", "jobs: {a: {kind: import, table: t, args: {}}}",
		"jobs: {a: {kind: import, table: t, header: 1}}", "jobs: {a: {kind: import, table: t, columns: [a]}}", "jobs: {a: {kind: import, table: t, columns: {a: {name: x}}}}",
		"jobs: {a: {kind: import, table: t, columns: {a: {type: money}}}}", "jobs: {a: {kind: import, table: t, columns: {a: {default: [1]}}}}", "jobs: {a: {kind: import, table: t, columns: {a: {type: array, element: {type: array}}}}}",
		"jobs: {a: {kind: import, table: t, match: a}}", "jobs: {a: {kind: import, table: t, match: [1]}}", "jobs: {a: {kind: import, table: t, set: {a: now}}}",
		"jobs: {a: {kind: import, table: t, on_conflict: skp}}", "jobs: {a: {kind: import, table: t, max_record: 8M}}", "jobs: {a: {kind: import, table: t, delimiter: ab}}",
		"jobs: {a: {kind: import, table: t, reject_limit: {row: 1}}}", "jobs: {a: {kind: import, table: t, priority: 5}}", "jobs: {a: {kind: import, table: t, retry: {dely: 1s}}}",
	} {
		if len(messages(t, src, lookup(nil))) == 0 {
			t.Errorf("Parse accepts %s", src)
		}
		if len(check.validate(check.root, instance(src), "")) == 0 {
			t.Errorf("schema accepts %s", src)
		}
	}
}

// Every field of the tables is a property of the schema with its text, is in the
// reference.
func TestEveryFieldIsEverywhere(t *testing.T) {
	t.Parallel()
	check, _ := setupSchema(t)
	reference := string(config.Reference(allKinds()))
	var fields int
	var walk func(at string, fields []field.Info, schema map[string]any)
	walk = func(at string, list []field.Info, schema map[string]any) {
		properties, _ := schema["properties"].(map[string]any)
		for _, f := range list {
			fields++
			if f.Doc == "" || f.Meta.Words == "" {
				t.Errorf("%s%s has no description", at, f.Name)
			}
			if row := fmt.Sprintf("| `%s` | %s |", f.Name, strings.ReplaceAll(f.Meta.Words, "|", `\|`)); !strings.Contains(reference, row) {
				t.Errorf("%s%s is not in the reference", at, f.Name)
			}
			property, ok := properties[f.Name].(map[string]any)
			if !ok || property["description"] != f.Doc || f.Default != "" && property["default"] == nil {
				t.Errorf("%s%s is not in the schema with its text and default", at, f.Name)
				continue
			}
			below := property
			if f.Meta.Keys != "" {
				values := "additionalProperties"
				if f.Meta.Keys == "[]" {
					values = "items"
				}
				below = property[values].(map[string]any)
			}
			if forms, ok := below["anyOf"].([]any); ok {
				for _, form := range forms {
					if m := form.(map[string]any); m["properties"] != nil {
						below = m
					}
				}
			}
			if len(f.Meta.Variants) == 0 {
				walk(at+f.Name+".", f.Meta.Fields, below)
				continue
			}
			branches, kinds := below["allOf"].([]any), append(allKinds(), config.Kind{Name: "own"})
			if len(branches) != len(kinds) || len(f.Meta.Variants) != len(kinds) {
				t.Fatalf("%s%s: %d variants and %d branches for %d kinds", at, f.Name, len(f.Meta.Variants), len(branches), len(kinds))
			}
			for i := range f.Meta.Variants {
				walk(at+f.Name+".", f.Meta.FieldsOf(field.New("", field.Opts{}).Parse([]byte("kind: "+kinds[i].Name)).Node), branches[i].(map[string]any)["then"].(map[string]any))
			}
		}
	}
	walk("", config.Fields(allKinds()), check.root)
	if fields < 180 {
		t.Errorf("only %d fields were looked at", fields)
	}
}
