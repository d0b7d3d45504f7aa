package importjob

import (
	"reflect"
	"testing"

	"github.com/tidemill/tidemill/config/field"
)

// The fields below those of the job, too: each is read into a field of its Go type, and takes its own default.
func TestFieldsFillTheColumns(t *testing.T) {
	t.Parallel()
	for name, pair := range map[string][2]int{
		"RejectLimit": {len(rejectLimitFields()), reflect.TypeFor[RejectLimit]().NumField()},
		// Target is the key; Number shares its field with Field; ValueFormat has a line of its own.
		"Column":      {len(columnFields()) - reflect.TypeFor[ValueFormat]().NumField(), reflect.TypeFor[Column]().NumField() - 3},
		"ValueFormat": {len(elementFields()) + len(arrayFields()), reflect.TypeFor[ValueFormat]().NumField()},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %d fields in the table, %d in Go", name, pair[0], pair[1])
		}
	}
	c := field.New("", field.Opts{})
	columnFields().Reset(c, &Column{})
	rejectLimitFields().Reset(c, &RejectLimit{})
	if problems := c.Problems(); len(problems) > 0 {
		t.Errorf("defaults are refused: %v", problems)
	}
}
