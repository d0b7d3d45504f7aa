package config_test

import (
	"errors"
	"fmt"

	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/config/field"
	"github.com/tidemill/tidemill/workers"
)

// A file is read with the kinds that its jobs may have. Values come from the environment, or from a function.
func ExampleParse() {
	cfg, err := config.Parse("tidemill.yaml", []byte(`
database: {url: "${DATABASE_URL}"}
jobs:
  import-people: {kind: import, table: app.people, match: [email], on_conflict: skip}
  tell-crm:
    kind: http
    url: https://crm.example.com/refresh
    schedule: {cron: "0 6 * * 1-5", timezone: Europe/Berlin, params: {since: "2026-01-31"}}
    params: {since: date}
`), &config.Opts{
		Kinds:  workers.Configs(),
		Lookup: func(string) (string, bool) { return "postgres://localhost/app", true },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, job := range []*config.Job{cfg.Jobs["import-people"], cfg.Jobs["tell-crm"]} {
		fmt.Println(job.Name, job.Kind, job.Queue, job.Retry.MaxAttempts)
	}
	for _, schedule := range cfg.Schedules {
		fmt.Println(schedule.Name, schedule.Job, schedule.Cron, schedule.Timezone)
	}
	fmt.Println(cfg.Jobs["tell-crm"].CheckParams([]byte(`{"since": "yesterday"}`)))

	// Output:
	// import-people import default 10
	// tell-crm http default 10
	// tell-crm tell-crm 0 6 * * 1-5 Europe/Berlin
	// param "since": "yesterday" is not a date; write it like 2026-01-31
}

// All problems of a file are found at once, with their places.
func ExampleParse_problems() {
	_, err := config.Parse("tidemill.yaml", []byte(`
database: {url: "postgres://localhost/app"}
jobs:
  import-people: {kind: import, table: app.people, match: [email], on_conflict: skp}
  tell-crm: {kind: http, urll: https://crm.example.com/refresh}
`), &config.Opts{Kinds: workers.Configs()})

	problems, _ := errors.AsType[field.Errors](err)
	for _, problem := range problems {
		fmt.Println(problem.Line, problem.Path, problem.Message, problem.Hint)
	}

	// Output:
	// 4 jobs.import-people.on_conflict is not one of skip, update, error did you mean skip?
	// 5 jobs.tell-crm url is missing add url:
	// 5 jobs.tell-crm.urll unknown field did you mean url?

}
