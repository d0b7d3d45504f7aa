package workers

import "github.com/tidemill/tidemill/config"

// ConfigKinds are the built-in kinds as the configuration sees them.
func ConfigKinds() []config.Kind {
	return []config.Kind{
		config.ImportKind(), config.HTTPKind(), config.CommandKind(), config.EmailKind(), config.SQLKind(), config.ExportKind(), config.CleanupKind(), config.EachKind(),
	}
}
