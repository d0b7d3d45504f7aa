package tidemillcmd_test

import (
	"context"
	"fmt"

	"github.com/riverqueue/river"

	"github.com/tidemill/tidemill"
	tidemillcmd "github.com/tidemill/tidemill/cmd"
)

type invoiceArgs struct {
	Customer int64 `json:"customer"`
}

func (invoiceArgs) Kind() string { return "invoice" }

// register adds the program's own workers, whose kinds jobs of tidemill.yaml may then have.
func register(app *tidemill.App) error {
	return river.AddWorkerSafely(app.Workers, river.WorkFunc(func(context.Context, *river.Job[invoiceArgs]) error { return nil }))
}

// A program whose main function is tidemillcmd.Main(register) is the whole tidemill command; Run is for one that does more.
func ExampleRun() {
	status := tidemillcmd.Run(context.Background(), []string{"config", "check", "--offline", "testdata/invoices.yaml"}, register)
	fmt.Println("exit status", status)

	// Output:
	// testdata/invoices.yaml: 1 job, no problem found (database not asked)
	// exit status 0
}
