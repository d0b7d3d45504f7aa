package workers

import (
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/workers/cleanupjob"
	"github.com/tidemill/tidemill/workers/commandjob"
	"github.com/tidemill/tidemill/workers/eachjob"
	"github.com/tidemill/tidemill/workers/emailjob"
	"github.com/tidemill/tidemill/workers/exportjob"
	"github.com/tidemill/tidemill/workers/httpjob"
	"github.com/tidemill/tidemill/workers/importjob"
	"github.com/tidemill/tidemill/workers/kind"
	"github.com/tidemill/tidemill/workers/sqljob"
)

// All are the kinds that Tidemill brings, in the order of the documentation.
func All() []kind.Kind {
	return []kind.Kind{
		importjob.Kind(),
		httpjob.Kind(),
		commandjob.Kind(),
		emailjob.Kind(),
		sqljob.Kind(),
		exportjob.Kind(),
		cleanupjob.Kind(),
		eachjob.Kind(),
	}
}

// Configs are all of them as the configuration has them, for [config.Opts].
func Configs() []config.Kind { return kind.Configs(All()) }
