package workers

import (
	"github.com/tidemill/tidemill/config"
	"github.com/tidemill/tidemill/internal/kinds/cleanupjob"
	"github.com/tidemill/tidemill/internal/kinds/commandjob"
	"github.com/tidemill/tidemill/internal/kinds/eachjob"
	"github.com/tidemill/tidemill/internal/kinds/emailjob"
	"github.com/tidemill/tidemill/internal/kinds/exportjob"
	"github.com/tidemill/tidemill/internal/kinds/httpjob"
	"github.com/tidemill/tidemill/internal/kinds/importjob"
	"github.com/tidemill/tidemill/internal/kinds/sqljob"
	"github.com/tidemill/tidemill/workers/kind"
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
