// Package tidemill puts River to work: batch and background processing for programs whose data is in PostgreSQL.
//
// A Go program that adds its own workers is the whole tool with these workers in it:
//
//	func main() { tidemillcmd.Main(register) }
//
//	func register(app *tidemill.App) error {
//		river.AddWorker(app.Workers, &InvoiceWorker{})
//		return nil
//	}
//
// Main gives it every subcommand of the tidemill command. A program that only inserts jobs uses Load or New and the
// App's Client, which is plain River, and StartTx, which starts a job of tidemill.yaml in the program's own transaction.
package tidemill
