package workers_test

import (
	"reflect"
	"testing"

	"github.com/tidemill/tidemill/workers"
)

// Every field of a kind is read into a field of its Go type, and takes its own default.
func TestFieldsFillTheKinds(t *testing.T) {
	t.Parallel()
	for _, k := range workers.Configs() {
		spec, problems := k.Default()
		if len(problems) > 0 {
			t.Errorf("kind %s: defaults are refused: %v", k.Name, problems)
		}
		if rows, members := len(k.Fields()), reflect.TypeOf(spec).Elem().NumField(); rows != members {
			t.Errorf("kind %s: %d fields in the table, %d in Go", k.Name, rows, members)
		}
	}
}
