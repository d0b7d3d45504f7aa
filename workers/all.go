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
	"github.com/tidemill/tidemill/workers/sqljob"
)

// ConfigKinds are the built-in kinds as the configuration sees them.
func ConfigKinds() []config.Kind {
	return []config.Kind{
		importjob.ConfigKind(), httpjob.ConfigKind(), commandjob.ConfigKind(), emailjob.ConfigKind(), sqljob.ConfigKind(), exportjob.ConfigKind(), cleanupjob.ConfigKind(), eachjob.ConfigKind(),
	}
}
