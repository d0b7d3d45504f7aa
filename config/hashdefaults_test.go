package config_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/tidemill/tidemill/internal/kinds/importjob"
)

// The hash holds what a field comes to, not how it is written. If a default changes, a definition that leaves the field out
// has another hash with the new version: a run that has begun by the old meaning is not gone on with by the new one, and a file
// that was imported by the old one is not taken for imported. So each field is in the hash, or here, with the reason.
func TestHashHoldsDefaults(t *testing.T) {
	t.Parallel()

	how := map[string]string{
		"Source":      "where files are, not what becomes of them",
		"RejectLimit": "when to give up",
		"MaxRecord":   "when to give a record up",
		"Writers":     "the outcome is that of one",
		"Again":       "whether content is imported once more, not what becomes of it",
	}
	base := "jobs: {j: {kind: import, table: app.t, columns: {a: {field: A, type: number}}}}"
	want := mustParse(t, base).Jobs["j"].Hash()
	hold := func(name string, pick func(*importjob.Config) reflect.Value) {
		for field := range pick(mustParse(t, base).Jobs["j"].Spec.(*importjob.Config)).NumField() {
			job := mustParse(t, base).Jobs["j"]
			at := pick(job.Spec.(*importjob.Config))
			called := name + at.Type().Field(field).Name
			change(t, called, at.Field(field))
			if got, in := job.Hash() != want, how[called] == ""; got != in {
				t.Errorf("%s: a change of it changes the hash: %t, want %t", called, got, in)
			}
		}
	}
	hold("", func(i *importjob.Config) reflect.Value { return reflect.ValueOf(i).Elem() })
	hold("Columns.", func(i *importjob.Config) reflect.Value {
		i.Columns = slices.Clone(i.Columns)
		return reflect.ValueOf(&i.Columns[0]).Elem()
	})
	spelled := "jobs: {j: {kind: import, table: app.t, format: csv, header: true, ragged: reject, on_conflict: error, mode: chunked, columns: {a: {field: A, type: number, trim: false}}}}"
	if got := mustParse(t, spelled).Jobs["j"].Hash(); got != want {
		t.Error("defaults that are spelled out have another hash")
	}
}

// change gives a field another value.
func change(t *testing.T, name string, field reflect.Value) {
	t.Helper()
	switch field.Kind() {
	case reflect.String:
		field.SetString(field.String() + "x")
	case reflect.Bool:
		field.SetBool(!field.Bool())
	case reflect.Int, reflect.Int64:
		field.SetInt(field.Int() + 1)
	case reflect.Uint8:
		field.SetUint(field.Uint() + 1)
	case reflect.Float64:
		field.SetFloat(field.Float() + 1)
	case reflect.Slice:
		field.Set(reflect.Append(field, reflect.New(field.Type().Elem()).Elem()))
	case reflect.Pointer:
		field.Set(reflect.New(field.Type().Elem()))
	case reflect.Struct:
		change(t, name, field.Field(0))
	default:
		t.Fatalf("%s is of a type that this test cannot change: %s", name, field.Type())
	}
}
