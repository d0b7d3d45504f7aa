// Command tidemill runs and steers batch jobs on PostgreSQL; see tidemill help.
package main

import "github.com/tidemill/tidemill"

func main() { tidemill.Main(nil) }
