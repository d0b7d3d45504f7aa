package field_test

import (
	"fmt"
	"time"

	"github.com/tidemill/tidemill/config/field"
)

type backup struct {
	Folder string
	Every  time.Duration
	Keep   int
}

// A table of fields reads a mapping, checks it and writes its JSON Schema and reference.
func ExampleTable() {
	table := field.Table[backup]{
		field.Row("folder", field.Text{}, "", "Where the copies go.", func(b *backup) *string { return &b.Folder }).Require(),
		field.Row("every", field.Duration{Min: time.Minute, Max: 7 * field.Day}, "1d", "Time between two copies.",
			func(b *backup) *time.Duration { return &b.Every }),
		field.Row("keep", field.Integer[int]{Min: 1, Max: 100}, "7", "How many copies are kept.", func(b *backup) *int { return &b.Keep }),
	}

	read := func(yaml string) {
		checker := field.New("backup.yaml", field.Opts{})
		var b backup
		table.Reset(checker, &b)
		field.Section[backup]{Fields: table}.Read(checker, checker.Parse([]byte(yaml)), &b)
		if problems := checker.Problems(); len(problems) > 0 {
			fmt.Println(problems)
			return
		}
		fmt.Printf("%+v\n", b)
	}
	read("folder: /srv/backup\nkeep: 30\n")
	read("folder: /srv/backup\nevery: 10d\nkep: 30\n")

	// Output:
	// {Folder:/srv/backup Every:24h0m0s Keep:30}
	// backup.yaml:2:1: every: "10d" is not from 1m to 7d
	// backup.yaml:3:1: kep: unknown field (did you mean keep?)
}
