// Command waitkind is the whole tidemill command with a kind of job more, whose jobs wait:
//
//	cd examples/waitkind && go run . demo
package main

import tidemillcmd "github.com/tidemill/tidemill/cmd"

func main() { tidemillcmd.Main(nil, Kind()) }
