package cleanupjob

import (
	"reflect"
	"testing"

	"github.com/tidemill/tidemill/config/field"
)

// Each field of a rule is read into a field of its Go type, and takes its own default.
func TestFieldsFillTheRules(t *testing.T) {
	t.Parallel()
	if rows, members := len(cleanupRuleFields()), reflect.TypeFor[Rule]().NumField(); rows != members {
		t.Errorf("%d fields in the table, %d in Go", rows, members)
	}
	c := field.New("", field.Opts{})
	cleanupRuleFields().Reset(c, &Rule{})
	if problems := c.Problems(); len(problems) > 0 {
		t.Errorf("defaults are refused: %v", problems)
	}
}
