// Command tidemill runs and steers batch jobs on PostgreSQL; see tidemill help.
package main

import tidemillcmd "github.com/tidemill/tidemill/cmd"

func main() { tidemillcmd.Main(nil) }
