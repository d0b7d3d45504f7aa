package config

import (
	"reflect"
	"testing"

	"github.com/tidemill/tidemill/config/field"
)

func TestTableNames(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Table{
		`users`:           {Name: "users"},
		`app.users_2$`:    {Schema: "app", Name: "users_2$"},
		`"My Schema"."T"`: {Schema: "My Schema", Name: "T"},
		`app."a.b""c"`:    {Schema: "app", Name: `a.b"c`},
		`日本.表`:            {Schema: "日本", Name: "表"},
	} {
		parts, problem, _ := splitTable(text)
		if problem != "" {
			t.Errorf("%s: %s", text, problem)
			continue
		}
		got := Table{Name: parts[len(parts)-1]}
		if len(parts) == 2 {
			got.Schema = parts[0]
		}
		if got != want || got.String() != text {
			t.Errorf("%s: got %+v, written %s", text, got, got)
		}
	}
}

// Each default of the field tables must itself be a value that the field takes.
func TestDefaultsAreValid(t *testing.T) {
	t.Parallel()
	d, c := field.New("", field.Opts{}), &Config{}
	c.fields().Reset(d, c)
	newJobs(nil, c).fields().Reset(d, &Job{})
	programFields().Reset(d, &Job{})
	paramFields().Reset(d, &Param{})
	if problems := d.Problems(); len(problems) > 0 {
		t.Errorf("defaults are refused:\n%v", problems)
	}
}

// Every field of the tables is read into a field of the Go types.
func TestFieldsFillTheConfig(t *testing.T) {
	t.Parallel()
	// Leaves and sections of the Go types that no field of the file fills.
	filledBesides := map[string]int{
		"Config":   1, // File
		"Job":      2, // Name and OwnDelays; Spec has the fields of the kind
		"Param":    1, // Name is the key
		"Schedule": 1, // so it is here
	}
	for name, pair := range map[string][2]int{
		"Config":    {len((&Config{}).fields()), reflect.TypeFor[Config]().NumField() - 2}, // root, kinds
		"Database":  {len(databaseFields()), reflect.TypeFor[Database]().NumField()},
		"Storage":   {len(storageFields()), reflect.TypeFor[Storage]().NumField()},
		"Server":    {len(serverFields()), reflect.TypeFor[Server]().NumField()},
		"Token":     {len(tokenFields()), reflect.TypeFor[Token]().NumField()},
		"Schedule":  {len(scheduleFields()), reflect.TypeFor[Schedule]().NumField()},
		"Metrics":   {len(metricsFields()), reflect.TypeFor[Metrics]().NumField()},
		"Retention": {len(retentionFields()), reflect.TypeFor[Retention]().NumField()},
		"Queue":     {len(queueFields()), reflect.TypeFor[Queue]().NumField()},
		"Retry":     {len(retryFields()), reflect.TypeFor[Retry]().NumField()},
		"Job":       {len(newJobs(nil, &Config{}).fields()) + len(programFields()), reflect.TypeFor[Job]().NumField() - 1},
		"Mail":      {len(mailFields()), reflect.TypeFor[Mail]().NumField()},
		"Param":     {len(paramFields()), reflect.TypeFor[Param]().NumField()},
	} {
		if rows, members := pair[0], pair[1]-filledBesides[name]; rows != members {
			t.Errorf("%s: %d fields in the tables, %d in Go", name, rows, members)
		}
	}
}
