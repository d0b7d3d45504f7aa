package workers_test

import (
	"fmt"

	"github.com/tidemill/tidemill/workers"
)

func ExampleAll() {
	for _, kind := range workers.All() {
		fmt.Println(kind.Name, kind.River())
	}

	// Output:
	// import [tidemill.import tidemill.scan]
	// http [tidemill.http]
	// command [tidemill.command]
	// email [tidemill.email]
	// sql [tidemill.sql]
	// export [tidemill.export]
	// cleanup [tidemill.cleanup]
	// each [tidemill.each]
}
