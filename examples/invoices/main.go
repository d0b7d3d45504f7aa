// Command invoices is an application with its own jobs, and the whole tidemill command with these jobs in it:
//
//	go run ./examples/invoices worker
//	go run ./examples/invoices runs list
package main

import (
	"github.com/riverqueue/river"

	tidemillcmd "github.com/tidemill/tidemill/cmd"

	"github.com/tidemill/tidemill"
)

func main() { tidemillcmd.Main(register) }

func register(app *tidemill.App) error {
	if err := river.AddWorkerSafely(app.Workers, &InvoiceWorker{pool: app.Pool}); err != nil {
		return err
	}
	return river.AddWorkerSafely(app.Workers, newRescoreWorker())
}
